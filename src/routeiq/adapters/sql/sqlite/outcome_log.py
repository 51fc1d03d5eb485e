"""The outcome log in one SQLite file. Several processes of one machine may use it.

Owns the joining of its parts, and that a file that cannot be used now does not keep a gateway from starting.
"""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from routeiq.adapters.sql.outcome_log import Pace, SqlOutcomeLog
from routeiq.adapters.sql.retention import LOOK_S, Retention
from routeiq.adapters.sql.rows import RowWriter
from routeiq.adapters.sql.sqlite.database import Database, reason_of
from routeiq.adapters.sql.sqlite.old import OldRows
from routeiq.adapters.sql.sqlite.reading import fetch, read_labelled
from routeiq.adapters.sql.sqlite.store import SqliteStore
from routeiq.core.errors import StoreUnavailable
from routeiq.core.ports import Clock
from routeiq.core.remembered import Record


class SqliteReader:
    """Reads the file on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fetch(self, decision_id: str) -> Record | None:
        """Return what is written of a decision, or None; raises StoreUnavailable."""
        try:
            return fetch(self._database.connection(), decision_id)
        except (sqlite3.Error, OSError) as error:
            self._database.discard()
            raise StoreUnavailable(f"the outcome log cannot be read ({reason_of(error)})") from error

    def close(self) -> None:
        """Close the connection. The last one moves the journal into the file and removes it."""
        self._database.discard()


class SqliteOutcomeLog(SqlOutcomeLog):
    """Implements `core.ports.OutcomeLog` on a SQLite file in WAL mode, with one writer thread.

    `salt` keys the hash of prompts (see `load_or_create_salt`); prompt text is stored only with `store_prompts`. With
    `keep_days` what was decided longer ago is deleted, in the background, every `retention_s` seconds. The other
    arguments are those of `Pace`.

    A file that cannot be opened now does not raise: the log starts unhealthy and tries again. Raises ConfigError for a
    file that a newer RouteIQ wrote.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        salt: bytes,
        clock: Clock,
        store_prompts: bool = False,
        queue_limit: int = Pace.queue_limit,
        queue_bytes: int = Pace.queue_bytes,
        batch: int = Pace.batch,
        linger_s: float = Pace.linger_s,
        answer_s: float = Pace.answer_s,
        settle_s: float = Pace.settle_s,
        chance: random.Random | None = None,
        keep_days: float | None = None,
        retention_s: float = LOOK_S,
    ) -> None:
        self._path = Path(path)
        pace = Pace(queue_limit, queue_bytes, batch, linger_s, answer_s, settle_s)
        reading = Database(self._path)
        store, reader = SqliteStore(Database(self._path)), SqliteReader(reading)
        super().__init__(store, reader, RowWriter(salt, store_prompts), clock, pace, chance)
        try:
            # What is wrong with the file is known at the start and not at the first request.
            reading.connection()
        except (sqlite3.Error, OSError) as error:
            self._writer.failed(error)
        self._writer.start()
        self._retention: Retention | None = None
        if keep_days is not None:
            old, drawn = OldRows(Database(self._path)), chance or random.Random()  # noqa: S311 - jitter
            self._retention = Retention(old, keep_days, clock, drawn, retention_s)
            self._retention.start()

    def read_labelled(self, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
        """Yield what is written of every decision that somebody judged, see `reading.read_labelled`; blocks on I/O."""
        return read_labelled(self._path, since=since, alias=alias)

    async def close(self) -> None:
        """Write what is queued, as far as that is possible within the bound, and let go of the file."""
        if self._retention is not None:
            self._retention.close()
        await super().close()
