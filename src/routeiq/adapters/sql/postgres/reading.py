"""Reading the outcome log in PostgreSQL: one decision with everything that came of it, or all that somebody judged."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, LiteralString

import psycopg

from routeiq.adapters.sql.postgres.availability import Availability
from routeiq.adapters.sql.postgres.link import Connection, Link, reason_of
from routeiq.adapters.sql.postgres.recent import Recent
from routeiq.adapters.sql.postgres.spill import Parts, Spill
from routeiq.adapters.sql.postgres.store import GONE
from routeiq.adapters.sql.rows import read_decision, read_feedback, read_outcome
from routeiq.core.errors import ConfigError, DataError, StoreUnavailable
from routeiq.core.remembered import Record

PAGE: Final = 500
PAGE_BOUND_S: Final = 60.0

_DECISION: Final = "SELECT * FROM routeiq.decisions WHERE id = $1"
_OUTCOMES: Final = "SELECT * FROM routeiq.outcomes WHERE decision_id = ANY($1)"
_FEEDBACK: Final = "SELECT * FROM routeiq.feedback WHERE decision_id = ANY($1) ORDER BY at, seq"
_LABELLED: Final = """
    SELECT * FROM routeiq.decisions d WHERE seq > $1 AND at >= $2 AND ($3::text IS NULL OR alias = $3)
    AND EXISTS (SELECT 1 FROM routeiq.feedback WHERE decision_id = d.id) ORDER BY seq LIMIT $4
"""


class PostgresReader:
    """What is durable in PostgreSQL and on disk, as one; implements `adapters.sql.outcome_log.Reader`."""

    def __init__(self, link: Link, spill: Spill, recent: Recent, available: Availability) -> None:
        self._link = link
        self._spill = spill
        self._recent = recent
        self._available = available

    def fetch(self, decision_id: str) -> Record | None:
        """Return what is durable of a decision, or None; raises StoreUnavailable when that cannot be known.

        Without PostgreSQL, decisions that this worker took lately are known all the same, and those on disk.
        """
        # The disk is asked first: a row that is brought to PostgreSQL in between is then found there.
        parts = self._parts(decision_id)
        gone = self._available.reason
        stored = None
        if self._available.open:
            try:
                stored, gone = self._link.run(lambda connection: _stored(connection, decision_id)), None
            except GONE as error:
                gone = self._available.failed(error)
        found = _joined(stored if gone is None else self._recent.find(decision_id), parts)
        if found is None and (gone is not None or not self._available.settled()):
            told = f"PostgreSQL cannot be used: {gone}" if gone else "records of an outage may still be on their way"
            raise StoreUnavailable(f"the outcome log does not know this decision ({told}); send it again later")
        return found

    def _parts(self, decision_id: str) -> Parts:
        try:
            return self._spill.parts(decision_id)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the outcome log cannot be read ({self._spill.reason_of(error)})") from error

    def close(self) -> None:
        """Close the connections."""
        self._link.discard()
        self._spill.close()


def _stored(connection: Connection, decision_id: str) -> Record | None:
    found = connection.execute(_DECISION, (decision_id,)).fetchall()
    return next(iter(_records(connection, found)), None)


def _joined(stored: Record | None, parts: Parts) -> Record | None:
    """Return a decision with all that is known of it in either place; what PostgreSQL has counts first."""
    record = stored
    if record is None:
        if parts.decision is None:
            return None
        record = Record(*read_decision(parts.decision))
    if record.outcome is None and parts.outcome is not None:
        record = replace(record, outcome=read_outcome(parts.outcome))
    if parts.feedback:
        known = {given.id: given for given in (*read_feedback(parts.feedback), *record.feedback)}
        record = replace(record, feedback=tuple(sorted(known.values(), key=lambda given: given.at)))
    return record


def read_labelled(url: Callable[[], str], *, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
    """Yield every decision that somebody gave feedback on, in the order they were written; blocks on I/O.

    As `sqlite.read_labelled`; what waits on the disks of gateways is not seen. Raises DataError when PostgreSQL cannot
    be read.
    """
    link, last = Link(url, PAGE_BOUND_S), 0
    try:
        while True:
            connection = link.connection()
            page = connection.execute(_LABELLED, (last, since, alias, PAGE)).fetchall()
            if not page:
                return
            yield from _records(connection, page)
            last = page[-1]["seq"]
    except psycopg.Error as error:
        raise DataError(f"the outcome log in PostgreSQL cannot be read ({reason_of(error)})") from None
    except ConfigError as error:
        raise DataError(error.message) from None
    finally:
        link.discard()


def _records(connection: Connection, rows: list[dict[str, Any]]) -> list[Record]:
    """Return decisions with everything that came of them, in their order."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]

    def of(statement: LiteralString) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for row in connection.execute(statement, (ids,)).fetchall():
            found.setdefault(row["decision_id"], []).append(row)
        return found

    outcomes, feedback = of(_OUTCOMES), of(_FEEDBACK)
    records = []
    for row in rows:
        outcome = next(iter(outcomes.get(row["id"], ())), None)
        given = read_feedback(feedback.get(row["id"], ()))
        records.append(Record(*read_decision(row), read_outcome(outcome) if outcome else None, given))
    return records
