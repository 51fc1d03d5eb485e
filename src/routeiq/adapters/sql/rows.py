"""Nouns to rows and back.

Owns which column holds what. Whatever a caller sent fits into a row: text that is not valid Unicode, numbers that are
not finite or too large for a column are made to fit here, so that one odd request cannot hold up a whole batch.
"""

import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from routeiq.core.decision import Affinity, CandidateReport, Decision, Hold, InnerCall, Reason
from routeiq.core.outcome import Feedback, Outcome, Status, Usage
from routeiq.core.ports import Vector
from routeiq.core.remembered import PromptRecord
from routeiq.core.request import Caller, RouteRequest, Surface

Row: TypeAlias = tuple[Any, ...]

DECISION_COLUMNS: Final = (
    "id, request_id, at, alias, surface, strategy, choice, ranking, propensity, reason, score, degraded, artifact, "
    "embedder, snapshot, experiment, arm, duration_ms, candidates, caller_key, caller_team, caller_user, caller_tags, "
    "caller_admin, prompt_tokens, prompt_digest, embedding, prompt, calls, unit, affinity"
)
OUTCOME_COLUMNS: Final = (
    "decision_id, request_id, at, model, status, input_tokens, output_tokens, cost_usd, latency_s, ttft_s, retries, "
    "streamed, cached, error, delivered"
)
FEEDBACK_COLUMNS: Final = "id, decision_id, at, source, score, other, preferred"

_LARGEST: Final = 2**63 - 1
_REPORT: Final = tuple(column.name for column in fields(CandidateReport))


class Found(Protocol):
    """A row as a database gives it back: values by the names of columns."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class QueuedDecision:
    """A decision with what is known of its prompt, as it waits to be written. `embedding` has shape (dimensions,)."""

    request: RouteRequest
    decision: Decision
    embedding: Vector | None


@dataclass(slots=True)
class Rows:
    """The rows of one transaction by table, in the order of the columns above."""

    decisions: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    feedback: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.decisions) + len(self.outcomes) + len(self.feedback)

    @property
    def tables(self) -> tuple[tuple[str, str, list[Row]], ...]:
        """Name, columns and rows of each table."""
        return (
            ("decisions", DECISION_COLUMNS, self.decisions),
            ("outcomes", OUTCOME_COLUMNS, self.outcomes),
            ("feedback", FEEDBACK_COLUMNS, self.feedback),
        )


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Makes rows. `salt` keys the hash of prompts; prompt text is kept only if `store_prompts`."""

    salt: bytes
    store_prompts: bool = False

    def decision(self, queued: QueuedDecision) -> Row:
        """Return the row of a decision."""
        request, decision, caller = queued.request, queued.decision, queued.request.caller
        reports = [_report(report) for report in decision.candidates]
        return (
            _text(decision.id),
            _text(decision.request_id),
            _number(decision.at),
            _text(decision.alias),
            request.surface.value,
            _text(decision.strategy),
            _text(decision.choice),
            json.dumps(decision.ranking),
            _number(decision.propensity),
            decision.reason.value,
            _finite(decision.score),
            _text_or_none(decision.degraded),
            _text_or_none(decision.artifact),
            _text_or_none(decision.embedder),
            _text(decision.snapshot),
            _text_or_none(decision.experiment),
            _text_or_none(decision.arm),
            _number(decision.duration_ms),
            json.dumps(reports, separators=(",", ":")),
            _text_or_none(caller.key_hash),
            _text_or_none(caller.team),
            _text_or_none(caller.user),
            json.dumps(caller.tags),
            int(caller.admin),
            _whole(request.prompt_tokens),
            self.digest(request.text),
            None if queued.embedding is None else np.asarray(queued.embedding, dtype=np.float16).tobytes(),
            _text(request.text) if self.store_prompts else None,
            _calls(decision.calls),
            _text_or_none(decision.unit),
            _affinity(decision.affinity),
        )

    def digest(self, text: str) -> str | None:
        """Return the salted hash of a prompt (HMAC-SHA256, hexadecimal), None for an empty one."""
        if not text:
            return None
        return hmac.digest(self.salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    @staticmethod
    def outcome(outcome: Outcome) -> Row:
        """Return the row of an outcome."""
        return (
            _text(outcome.decision_id),
            _text(outcome.request_id),
            _number(outcome.at),
            _text(outcome.model),
            outcome.status.value,
            _whole(outcome.usage.input_tokens),
            _whole(outcome.usage.output_tokens),
            _finite(outcome.cost_usd),
            _finite(outcome.latency_s),
            _finite(outcome.ttft_s),
            _whole(outcome.retries),
            int(outcome.streamed),
            int(outcome.cached),
            _text_or_none(outcome.error),
            None if outcome.delivered is None else _whole(outcome.delivered),
        )

    @staticmethod
    def feedback(given: Feedback) -> Row:
        """Return the row of one piece of feedback."""
        return (
            _text(given.id),
            _text(given.decision_id),
            _number(given.at),
            _text(given.source),
            _finite(given.score),
            _text_or_none(given.other),
            _text_or_none(given.preferred),
        )


def read_decision(row: Found) -> tuple[Decision, Caller, PromptRecord]:
    """Return what a row of `decisions` holds."""
    decision = Decision(
        id=row["id"],
        request_id=row["request_id"],
        at=row["at"],
        alias=row["alias"],
        strategy=row["strategy"],
        choice=row["choice"],
        ranking=tuple(json.loads(row["ranking"])),
        propensity=row["propensity"],
        reason=Reason(row["reason"]),
        candidates=tuple(CandidateReport(**report) for report in json.loads(row["candidates"])),
        score=row["score"],
        degraded=row["degraded"],
        artifact=row["artifact"],
        embedder=row["embedder"],
        snapshot=row["snapshot"],
        experiment=row["experiment"],
        arm=row["arm"],
        duration_ms=row["duration_ms"],
        calls=tuple(InnerCall(**call) for call in json.loads(row["calls"] or "[]")),
        unit=row["unit"],
        affinity=_read_affinity(row["affinity"]),
    )
    caller = Caller(
        key_hash=row["caller_key"],
        team=row["caller_team"],
        user=row["caller_user"],
        tags=tuple(json.loads(row["caller_tags"])),
        admin=bool(row["caller_admin"]),
    )
    vector = row["embedding"]
    prompt = PromptRecord(
        surface=Surface(row["surface"]),
        tokens=row["prompt_tokens"],
        digest=row["prompt_digest"],
        embedding=None if vector is None else np.frombuffer(vector, dtype=np.float16).astype(np.float32),
        text=row["prompt"],
    )
    return decision, caller, prompt


def read_outcome(row: Found) -> Outcome:
    """Return what a row of `outcomes` holds."""
    return Outcome(
        decision_id=row["decision_id"],
        request_id=row["request_id"],
        at=row["at"],
        model=row["model"],
        status=Status(row["status"]),
        usage=Usage(row["input_tokens"], row["output_tokens"]),
        cost_usd=row["cost_usd"],
        latency_s=row["latency_s"],
        ttft_s=row["ttft_s"],
        retries=row["retries"],
        streamed=bool(row["streamed"]),
        cached=bool(row["cached"]),
        error=row["error"],
        delivered=row["delivered"],
    )


def read_feedback(rows: Iterable[Found]) -> tuple[Feedback, ...]:
    """Return what rows of `feedback` hold."""
    return tuple(
        Feedback(
            id=row["id"],
            decision_id=row["decision_id"],
            at=row["at"],
            source=row["source"],
            score=row["score"],
            other=row["other"],
            preferred=row["preferred"],
        )
        for row in rows
    )


def _calls(calls: Iterable[InnerCall]) -> str | None:
    """Return the calls of a compound model, without what is unknown; None where there were none."""
    told = [{name: value for name, value in asdict(call).items() if _known(value)} for call in calls]
    return json.dumps(told, separators=(",", ":")) if told else None


def _affinity(held: Affinity | None) -> str | None:
    """Return what became of a conversation's model, None where there was none."""
    if held is None:
        return None
    told = {name: _finite(value) if isinstance(value, float) else value for name, value in asdict(held).items()}
    return json.dumps(told, separators=(",", ":"))


def _read_affinity(text: str | None) -> Affinity | None:
    found = json.loads(text) if text else None
    return Affinity(**{**found, "hold": Hold(found["hold"])}) if found else None


def _report(report: CandidateReport) -> Mapping[str, Any]:
    """Return a report without what is unknown."""
    found: dict[str, Any] = {}
    for name in _REPORT:
        value = getattr(report, name)
        if _known(value):
            found[name] = value
    return found


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _text(value: str) -> str:
    """Return text that a database can hold: lone surrogates become question marks."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _text_or_none(value: str | None) -> str | None:
    return None if value is None else _text(value)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _number(value: float) -> float:
    """Return a number for a column that must have one; SQLite would take NaN for an absent value."""
    return float(value) if math.isfinite(value) else 0.0


def _whole(value: int) -> int:
    return max(-_LARGEST, min(int(value), _LARGEST))
