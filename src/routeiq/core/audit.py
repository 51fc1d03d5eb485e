"""What the audit keeps: who changed what in a gateway, what was refused, and when.

Owns the event, its kinds, the port, and who acts for the time being. Where events are kept is `adapters.files.audit`'s
or nobody's. No prompt, key or other secret is ever part of an event: an actor is a hash of a key or one of the words
below, subjects and values are names and versions of the configuration.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from routeiq.core.ports import Clock

Result = Literal["ok", "refused", "failed"]

CONFIG_RELOADED: Final = "config.reloaded"
CONFIG_REJECTED: Final = "config.rejected"
CONFIG_ROLLED_BACK: Final = "config.rolled_back"
STRATEGY_CHANGED: Final = "strategy.changed"
EXPERIMENT_CHANGED: Final = "experiment.changed"
SECRET_ROTATED: Final = "secret.rotated"  # noqa: S105 - the name of an event
ARTIFACT_FETCHED: Final = "artifact.fetched"
ARTIFACT_REFUSED: Final = "artifact.refused"
RESTART_ORDERED: Final = "restart.ordered"
ACCESS_REFUSED: Final = "access.refused"

GATEWAY: Final = "gateway"
"""The actor of what a worker does by itself: because a file changed, or another worker did it."""

SIGNAL: Final = "signal"
"""The actor of what somebody on the machine asked for by a signal."""

STRANGER: Final = "stranger"
"""The actor of a request without a valid key."""

WORDS: Final = frozenset({GATEWAY, SIGNAL, STRANGER})
"""Actors that are no hash of a key."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. `at` is in seconds since the epoch.

    `actor` is LiteLLM's hash of the key, never the key, or one of `WORDS`. `subject` is what it was done to: an alias,
    an experiment, an endpoint, a version; of a secret its name. `before` and `after` are what it was and is, where that
    is a name. `reason` is a reason word of `core.errors`.
    """

    at: float
    kind: str
    actor: str
    subject: str
    before: str | None = None
    after: str | None = None
    result: Result = "ok"
    reason: str | None = None
    request_id: str | None = None
    replica: str = ""
    worker: str = ""


class Audit(Protocol):
    """Where events go."""

    def record(self, event: AuditEvent) -> None:
        """Keep an event; never blocks, never raises."""
        ...


class NoAudit:
    """Keeps nothing: for use as a library, and where the operator wants none. Implements `Audit`."""

    def record(self, event: AuditEvent) -> None:
        """Forget an event."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, and the id of the request by which."""

    actor: str = GATEWAY
    request_id: str | None = None


_ACTING: ContextVar[Acting] = ContextVar("routeiq_acting", default=Acting())  # noqa: B039 - frozen


def acting() -> Acting:
    """Return who acts in this task."""
    return _ACTING.get()


@contextmanager
def acts(actor: str, request_id: str | None = None) -> Iterator[None]:
    """Have what is done inside, in this task and those it starts, be done by an actor."""
    token = _ACTING.set(Acting(actor, request_id))
    try:
        yield
    finally:
        _ACTING.reset(token)


@dataclass(slots=True)
class AuditTrail:
    """The audit as one worker tells it: fills in when, who and where. `replica` gives its name. Implements `Audit`."""

    kept: Audit
    clock: Clock
    worker: str = ""
    replica: Callable[[], str] = lambda: ""

    def record(self, event: AuditEvent) -> None:
        """Keep an event as it is."""
        self.kept.record(event)

    def tell(
        self,
        kind: str,
        subject: str,
        *,
        before: str | None = None,
        after: str | None = None,
        result: Result = "ok",
        reason: str | None = None,
    ) -> None:
        """Keep that something happened now, done by whoever acts in this task."""
        by = acting()
        self.record(
            AuditEvent(
                at=self.clock.now(),
                kind=kind,
                actor=by.actor,
                subject=subject,
                before=before,
                after=after,
                result=result,
                reason=reason,
                request_id=by.request_id,
                replica=self.replica(),
                worker=self.worker,
            )
        )
