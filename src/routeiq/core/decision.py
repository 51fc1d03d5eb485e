"""What the router decided, with everything that is needed to explain it, replay it and learn from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

SCHEMA_VERSION = "1"
"""Version of the decision headers and of the JSON form; raised when a field changes its meaning."""


class Reason(StrEnum):
    """Why the choice is the choice: one word for the header, the metric label and the log."""

    BEST = "best"
    """The strategy's own ranking put it first."""
    ONLY = "only_candidate"
    """Nothing else was left after filtering."""
    EXPLORATION = "exploration"
    """The picker drew a candidate other than the best one, on purpose and with a known probability."""
    DRAWN = "drawn"
    """The strategy is a draw by design: random, weighted, round-robin."""
    NAMED = "named"
    """The caller named the model itself; nothing was routed, but the outcome is learned from."""
    HINT = "hint"
    """The caller asked for it by `X-RouteIQ-Hint`, and it was a candidate."""
    COMPOUND = "compound"
    """The method of a compound model came to this answer; the decision's `calls` say how."""
    STATIC_ORDER = "static_order"
    """RouteIQ could not decide in time or failed; the operator's order was used. `degraded` says why."""


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """How one candidate fared in a decision.

    `utility` is what the picker ranked by; `expected_score` (0..1), `expected_cost_usd` and `expected_latency_s` are
    what the strategy expected of this candidate, `None` where it has no opinion. `filtered_by` names the filter that
    removed it, and is `None` for those that were ranked. `evidence` is how many recorded outcomes (effective number)
    the expectation rests on.
    """

    name: str
    probability: float
    utility: float | None = None
    expected_score: float | None = None
    expected_cost_usd: float | None = None
    expected_latency_s: float | None = None
    evidence: float | None = None
    filtered_by: str | None = None


@dataclass(frozen=True, slots=True)
class InnerCall:
    """One call that a compound model made to a candidate.

    `role` is what it was for (answer, sample, verify, decompose, part, policy, aggregate). `score` is what came of
    checking this answer (0..1), None where nothing was checked. `cost_usd` is None where no price is known. `error` is
    one word or a class name, None for a call that was answered; `served` is whether the client was given its text.
    """

    model: str
    role: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float | None = None
    score: float | None = None
    error: str | None = None
    served: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The router's answer for one request.

    `ranking` is the order in which candidates are to be tried, the choice first. `propensity` is the probability with
    which the choice was drawn, known only at decision time. `candidates` may be built when first read, so that the
    request path does not pay for it. `score` is the expected score of the choice where the strategy predicts one, else
    its utility. `degraded` is the reason word of what was missing (an embedder that was too late, an internal error),
    `None` when nothing was. `duration_ms` covers features and decision. `calls` are those of a compound model, in the
    order in which they began; empty for all others.
    """

    id: str
    request_id: str
    at: float
    alias: str
    strategy: str
    choice: str
    ranking: tuple[str, ...]
    propensity: float
    reason: Reason
    candidates: Sequence[CandidateReport] = ()
    score: float | None = None
    degraded: str | None = None
    artifact: str | None = None
    embedder: str | None = None
    snapshot: str = ""
    experiment: str | None = None
    arm: str | None = None
    duration_ms: float = 0.0
    calls: tuple[InnerCall, ...] = ()

    def timed(self, duration_ms: float, degraded: str | None = None) -> "Decision":
        """Return the same decision with its measured duration and, when given, what was missing."""
        return replace(self, duration_ms=duration_ms, degraded=self.degraded or degraded)

    @property
    def report(self) -> dict[str, CandidateReport]:
        """Reports by candidate name."""
        return {candidate.name: candidate for candidate in self.candidates}
