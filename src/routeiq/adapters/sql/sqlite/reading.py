"""Reading the outcome log: one decision with everything that came of it, or all that somebody judged."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from routeiq.adapters.sql.rows import read_decision, read_feedback, read_outcome
from routeiq.adapters.sql.sqlite.database import Database
from routeiq.core.errors import DataError
from routeiq.core.remembered import Record

PAGE: Final = 500
"""Decisions read at a time: short reads, so that a long export does not keep the writer from tidying its WAL file."""

_LABELLED: Final = """
    SELECT * FROM decisions WHERE seq > ?1 AND at >= ?2 AND (?3 IS NULL OR alias = ?3)
    AND EXISTS (SELECT 1 FROM feedback WHERE decision_id = decisions.id) ORDER BY seq LIMIT ?4
"""
_FEEDBACK: Final = "SELECT * FROM feedback WHERE decision_id = ? ORDER BY at, seq"


def fetch(connection: sqlite3.Connection, decision_id: str) -> Record | None:
    """Return what is stored of a decision, or None; raises sqlite3.Error."""
    found = _rows(connection).execute("SELECT * FROM decisions WHERE id = ?", (decision_id,)).fetchone()
    return None if found is None else _record(connection, found)


def read_labelled(path: str | Path, *, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
    """Yield every decision that somebody gave feedback on, in the order they were written.

    `since` (seconds since the epoch) and `alias` narrow them. `Record.score` is the mean over sources of each source's
    latest score, None where there are only comparisons; `Record.outcome` is None where the end of the request was lost.
    The propensity of the choice stands in `Record.decision`. Raises DataError when the file cannot be read.
    """
    database = Database(Path(path))
    if not database.path.is_file():
        raise DataError(f"outcome log {path}: there is no such file")
    last = 0
    try:
        connection = _rows(database.connection())
        while page := connection.execute(_LABELLED, (last, since, alias, PAGE)).fetchall():
            yield from [_record(connection, row) for row in page]
            last = page[-1]["seq"]
    except sqlite3.Error as error:
        raise DataError(f"outcome log {path}: {error}") from error
    finally:
        database.discard()


def _rows(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = sqlite3.Row
    return connection


def _record(connection: sqlite3.Connection, row: sqlite3.Row) -> Record:
    decision, caller, prompt = read_decision(row)
    outcome = connection.execute("SELECT * FROM outcomes WHERE decision_id = ?", (decision.id,)).fetchone()
    feedback = connection.execute(_FEEDBACK, (decision.id,)).fetchall()
    return Record(decision, caller, prompt, read_outcome(outcome) if outcome else None, read_feedback(feedback))
