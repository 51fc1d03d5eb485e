"""What the audit keeps: who changed what in a gateway, what was refused, and when.

Owns the event, its kinds, the port, and who acts for the time being. Where events are kept is `adapters.files.audit`'s
or nobody's. No prompt, key or other secret is ever part of an event: an actor is a hash of a key or one of the words
below, subjects and values are names and versions of the configuration.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

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
RELOAD_ORDERED: Final = "reload.ordered"
ROLLBACK_ORDERED: Final = "rollback.ordered"
RESTART_ORDERED: Final = "restart.ordered"
ACCESS_REFUSED: Final = "access.refused"

KINDS: Final = (
    CONFIG_RELOADED,
    CONFIG_REJECTED,
    CONFIG_ROLLED_BACK,
    STRATEGY_CHANGED,
    EXPERIMENT_CHANGED,
    SECRET_ROTATED,
    ARTIFACT_FETCHED,
    ARTIFACT_REFUSED,
    RELOAD_ORDERED,
    ROLLBACK_ORDERED,
    RESTART_ORDERED,
    ACCESS_REFUSED,
)
"""What is recorded; what an audit says of itself comes from whoever keeps it."""

GATEWAY: Final = "gateway"
"""The actor of what a worker does by itself: because a file changed, or another worker did it."""

SIGNAL: Final = "signal"
"""The actor of what somebody on the machine asked for by a signal."""

STRANGER: Final = "stranger"
"""The actor of a request without a valid key."""

NAMELESS: Final = "nameless"
"""The actor of a request that LiteLLM let in without saying by which key or for which user."""

WORDS: Final = frozenset({GATEWAY, SIGNAL, STRANGER, NAMELESS})
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


class AuditLog(Audit, Protocol):
    """Where events are kept."""

    @property
    def trouble(self) -> str | None:
        """Why events cannot be kept now, one word; None while they can."""
        ...

    @property
    def queued(self) -> int:
        """How many events are not durable yet."""
        ...

    @property
    def dropped(self) -> int:
        """How many events were lost."""
        ...

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many events were recorded, by kind and result."""
        ...

    def on_written(self, call: Callable[[], None]) -> None:
        """Have `call` called, by whatever thread, whenever events have become durable."""
        ...

    def flush(self, within_s: float) -> bool:
        """Wait until what was recorded so far is durable; return whether it is. Blocks."""
        ...

    def close(self) -> bool:
        """Keep what is queued; return whether all of it is durable. Blocks, and may be called again."""
        ...

    def chain_id(self) -> str | None:
        """Return the name of what all workers of this host write together, None before the first event. Blocks."""
        ...

    def entries(self, before: int | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield what is kept, the newest first, as JSON has it; from before a number, if one is given. Blocks."""
        ...

    def pseudonym(self, actor: str) -> str:
        """Return the name under which an actor stands in what is kept. Blocks."""
        ...


class NoAudit:
    """Keeps nothing: for use as a library, and where the operator wants none. Implements `AuditLog`."""

    trouble: str | None = None
    queued = 0
    dropped = 0
    counts: Mapping[tuple[str, str], int] = MappingProxyType({})

    def record(self, event: AuditEvent) -> None:
        """Forget an event."""

    def on_written(self, call: Callable[[], None]) -> None:
        """Never call."""

    def flush(self, within_s: float) -> bool:
        """Return that nothing waits."""
        return True

    def close(self) -> bool:
        """Return that nothing waits."""
        return True

    def chain_id(self) -> str | None:
        """Return that there is no chain."""
        return None

    def entries(self, before: int | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield nothing."""
        return iter(())

    def pseudonym(self, actor: str) -> str:
        """Return the actor."""
        return actor


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

    kept: AuditLog
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
