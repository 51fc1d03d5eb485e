"""Fakes of the ports for tests: time that stands still, records instead of effects. Shipped for authors of scorers and
stores; each is deterministic and keeps everything it was told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from routeiq.core.audit import AuditEvent, NoAudit
from routeiq.core.decision import Decision
from routeiq.core.errors import UnknownDecision
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Vector
from routeiq.core.request import Caller, RouteRequest


@dataclass(slots=True)
class FakeClock:
    """Time that moves only when it is told to."""

    seconds: float = 1_000.0

    def now(self) -> float:
        """Return the time of the fake."""
        return self.seconds

    def monotonic(self) -> float:
        """Return the time of the fake."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision as `RecordingLog` gives it back."""

    decision: Decision
    caller: Caller
    outcome: Outcome | None
    feedback: tuple[Feedback, ...]
    embedding: Vector | None = None


@dataclass(slots=True)
class RecordingLog:
    """An outcome log in lists."""

    decisions: list[tuple[RouteRequest, Decision, Vector | None]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    closed: bool = False

    def record_decision(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Keep a decision."""
        self.decisions.append((request, decision, embedding))

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes.append(outcome)

    async def add_feedback(self, feedback: Feedback) -> None:
        """Keep feedback; raises UnknownDecision."""
        if await self.find(feedback.decision_id) is None:
            raise UnknownDecision(f"no decision {feedback.decision_id!r}")
        self.feedback.append(feedback)

    async def find(self, decision_id: str) -> Kept | None:
        """Return what was kept of a decision."""
        for request, decision, embedding in self.decisions:
            if decision.id == decision_id:
                outcome = next((o for o in self.outcomes if o.decision_id == decision_id), None)
                said = tuple(f for f in self.feedback if f.decision_id == decision_id)
                return Kept(decision, request.caller, outcome, said, embedding)
        return None

    async def flush(self) -> None:
        """Return at once: a list is as durable as it gets."""

    async def close(self) -> None:
        """Note that the log was closed."""
        self.closed = True


@dataclass
class RecordingAudit(NoAudit):
    """An audit in a list. With a `trouble` it is one that cannot be written."""

    events: list[AuditEvent] = field(default_factory=list)
    flushed: int = 0
    trouble: str | None = None

    def record(self, event: AuditEvent) -> None:
        """Keep an event."""
        self.events.append(event)

    def flush(self, within_s: float) -> bool:
        """Note how many events were durable then."""
        self.flushed = len(self.events)
        return True


@dataclass(slots=True)
class RecordingTelemetry:
    """Telemetry in lists."""

    decisions: list[tuple[Decision, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Keep a decision with its parent span."""
        self.decisions.append((decision, parent))

    def ended(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.outcomes.append(outcome)

    def failed(self, where: str, error: BaseException) -> None:
        """Keep a swallowed error."""
        self.failures.append((where, error))


@dataclass(slots=True)
class FixedKeys:
    """An authenticator that knows its keys by heart; `models` lists what a key hash may call, all when absent."""

    callers: dict[str, Caller]
    models: dict[str, set[str]] = field(default_factory=dict)

    async def authenticate(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the caller of a bearer key."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return self.callers.get(key) if scheme.lower() == "bearer" else None

    async def permitted(self, caller: Caller, model: str) -> bool:
        """Return whether the key may call a model; an admin may call all."""
        allowed = self.models.get(caller.key_hash or "")
        return caller.admin or allowed is None or model in allowed
