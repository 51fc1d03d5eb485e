"""The outcome log in PostgreSQL, for any number of workers on any number of hosts.

Owns the joining of its parts: what writes, what reads, what keeps records on disk while PostgreSQL is away and brings
them there afterwards.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg

from routeiq.adapters.sql.outcome_log import Pace, SqlOutcomeLog
from routeiq.adapters.sql.postgres.availability import Availability
from routeiq.adapters.sql.postgres.link import BOUND_S, Link
from routeiq.adapters.sql.postgres.old import OldRows
from routeiq.adapters.sql.postgres.reading import PostgresReader, read_labelled
from routeiq.adapters.sql.postgres.recent import Recent
from routeiq.adapters.sql.postgres.replay import LOOK_S, Replay
from routeiq.adapters.sql.postgres.spill import Spill
from routeiq.adapters.sql.postgres.store import PostgresStore, SpillingStore
from routeiq.adapters.sql.retention import LOOK_S as RETENTION_S
from routeiq.adapters.sql.retention import Retention
from routeiq.adapters.sql.rows import RowWriter
from routeiq.core.decision import Decision
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock, Vector
from routeiq.core.remembered import LogStatus, Record
from routeiq.core.request import RouteRequest

PACE = Pace(answer_s=5.0)
"""Feedback waits for a transaction that times out and for the disk, if need be."""

SPILL_BYTES = 512 << 20


class PostgresOutcomeLog(SqlOutcomeLog):
    """Implements `core.ports.OutcomeLog` on PostgreSQL, with three connections, and for moments a fourth.

    `url` gives the URL to connect to now; one that has changed is used from the next batch on. `salt` keys the hash of
    prompts and is to be the same in all gateways. While PostgreSQL cannot be used, what is recorded goes to the file
    `spill`, of at most `spill_bytes`, which all workers of a host share; whichever of them finds PostgreSQL back
    brings it there. `answered` is told of each try to use PostgreSQL, from any thread, one at a time. With `keep_days`
    what was decided longer ago is deleted, in the background, every `retention_s` seconds, by one worker of all.

    Does not raise when PostgreSQL cannot be reached. Raises ConfigError for a URL or a schema that cannot be used.
    """

    def __init__(
        self,
        url: Callable[[], str],
        spill: str | Path,
        *,
        salt: bytes,
        clock: Clock,
        store_prompts: bool = False,
        spill_bytes: int = SPILL_BYTES,
        answered: Callable[[bool], None] = lambda ok: None,
        pace: Pace = PACE,
        bound_s: float = BOUND_S,
        look_s: float = LOOK_S,
        chance: random.Random | None = None,
        keep_days: float | None = None,
        retention_s: float = RETENTION_S,
    ) -> None:
        drawn = chance or random.Random()  # noqa: S311 - jitter
        self._url = url
        self._available = available = Availability(clock, answered)
        self._recent = Recent()

        def kept() -> Spill:
            return Spill(Path(spill), spill_bytes)

        links = tuple(Link(url, bound_s) for _ in range(3))
        writing, reading, replaying = links
        self._store = SpillingStore(PostgresStore(writing), kept(), available)
        reader = PostgresReader(reading, kept(), self._recent, available)
        super().__init__(self._store, reader, RowWriter(salt, store_prompts), clock, pace, drawn)
        # What had to wait in memory, because the disk was full too, is not kept waiting.
        available.on_open(self._backlog.barrier)
        replayed = PostgresStore(replaying)

        def follow() -> None:
            for link in links:
                link.follow()

        self._replay = Replay(replayed, kept(), available, drawn, look_s, follow)
        try:
            # What is wrong is known at the start and not at the first request.
            replayed.ping()
        except psycopg.Error as error:
            available.failed(error)
        else:
            available.ok()
        self._writer.start()
        self._replay.start()
        self._retention: Retention | None = None
        if keep_days is not None:
            self._retention = Retention(OldRows(Link(url, bound_s)), keep_days, clock, drawn, retention_s)
            self._retention.start()

    def record_decision(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Queue a decision. `embedding` has shape (dimensions,) and must not change any more."""
        super().record_decision(request, decision, embedding)
        self._recent.decided(request, decision, embedding)

    def record_outcome(self, outcome: Outcome) -> None:
        """Queue an outcome; only the first one of a decision is kept."""
        super().record_outcome(outcome)
        self._recent.ended(outcome)

    def read_labelled(self, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
        """Yield what is in PostgreSQL of every decision that somebody judged, see `reading.read_labelled`; blocks."""
        return read_labelled(self._url, since=since, alias=alias)

    def status(self) -> LogStatus:
        """Return how the log is doing; takes microseconds."""
        available = self._available
        reason = available.reason or self._writer.last_error_reason
        return replace(
            super().status(),
            last_error_reason=reason if self._writer.healthy else self._writer.last_error_reason,
            on_disk=self._replay.waiting,
            spilled=self._store.spilled,
            replayed=self._replay.moved,
        )

    async def close(self) -> None:
        """Write what is queued, to PostgreSQL or to disk, within the bound, and let go of both."""
        self._replay.close()
        if self._retention is not None:
            self._retention.close()
        await super().close()
