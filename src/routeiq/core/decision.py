"""What the router decided, with everything that is needed to explain it, replay it and learn from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

SCHEMA_VERSION = "1"
"""Version of the decision headers and of the JSON form; raised when a field changes its meaning."""


BREAKER = "breaker"
"""The word for a candidate whose circuit breaker, or whose provider's, is open: it is tried when all others were."""


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
    AFFINITY = "affinity"
    """The conversation stays on its model, because another one's gain is not worth what a change costs."""
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


class Hold(StrEnum):
    """What became of the model that a conversation was on."""

    AGREED = "agreed"
    """The strategy chose it anyway."""
    KEPT = "kept"
    """The strategy would have chosen another, but the gain is not worth the change."""
    BROKEN = "broken"
    """Another one's gain is worth the change."""
    GONE = "gone"
    """It cannot or may not serve this request, or the caller asked for another."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """Whether a conversation stayed on its model, and the two numbers that were compared.

    `preferred` is what the strategy chose without regard to the conversation, and `gain` how much higher its utility
    is than the model's, None where the strategy's utilities are no qualities. `cached_tokens` of the prompt are taken
    to be in the provider's prompt cache, which makes them cheaper by `cache_saving_usd` as long as the model stays.
    `switching_cost` is that saving in points of utility, with the margin that every change must exceed.
    """

    model: str
    hold: Hold
    preferred: str
    gain: float | None = None
    switching_cost: float = 0.0
    cache_saving_usd: float = 0.0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The router's answer for one request.

    `ranking` is the order in which candidates are to be tried, the choice first. `propensity` is the probability with
    which the choice was drawn, known only at decision time. `candidates` may be built when first read, so that the
    request path does not pay for it. `score` is the expected score of the choice where the strategy predicts one, else
    its utility. `degraded` is the reason word of what was missing (an embedder that was too late, an internal error),
    `None` when nothing was. `unit` names the run of the experiment and, hashed, who keeps the arm. `affinity` is None
    where no conversation went before. `duration_ms` covers features and decision. `calls` are those of a compound
    model, in the order in which they began; empty for all others.
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
    unit: str | None = None
    affinity: Affinity | None = None
    duration_ms: float = 0.0
    calls: tuple[InnerCall, ...] = ()

    def timed(self, duration_ms: float, degraded: str | None = None) -> "Decision":
        """Return the same decision with its measured duration and, when given, what was missing."""
        return replace(self, duration_ms=duration_ms, degraded=self.degraded or degraded)

    @property
    def report(self) -> dict[str, CandidateReport]:
        """Reports by candidate name."""
        return {candidate.name: candidate for candidate in self.candidates}
