"""What is kept on disk while PostgreSQL cannot be used: a SQLite file of the same tables, shared by a host's workers.

Owns its bound, and that a row leaves it only when somebody says so. Whoever finds rows in it may bring them to
PostgreSQL; a lock on a file beside it, which ends with its holder, keeps two from doing so at once.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from routeiq.adapters.sql.rows import DECISION_COLUMNS, FEEDBACK_COLUMNS, OUTCOME_COLUMNS, Found, Rows
from routeiq.adapters.sql.sqlite.database import Database
from routeiq.adapters.sql.sqlite.store import SqliteStore
from routeiq.adapters.sql.sqlite.transaction import writing

AT_ONCE: Final = 300
"""Rows of each table that are brought to PostgreSQL in one transaction."""

_KEYS: Final = {"decisions": "id", "outcomes": "decision_id", "feedback": "id"}
_ORDER: Final = {"decisions": "seq", "outcomes": "decision_id", "feedback": "seq"}
"""By the key that each table is stored by, so that a batch is read without looking at the rest."""


class Parts:
    """What stands on disk of one decision; each may be missing."""

    def __init__(self, decision: Found | None, outcome: Found | None, feedback: list[Found]) -> None:
        self.decision, self.outcome, self.feedback = decision, outcome, feedback


class Spill(SqliteStore):
    """A file of at most `limit_bytes`. Each thread has a `Spill` of its own on the same file."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._file = Database(path, limit_bytes=limit_bytes)
        super().__init__(self._file)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def waiting(self) -> int:
        """Return how many rows wait; raises sqlite3.Error or OSError."""
        if not self.path.exists():
            return 0
        connection = self._file.connection()
        return sum(int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]) for table in _KEYS)  # noqa: S608

    def batch(self, most: int = AT_ONCE) -> Rows:
        """Return rows to bring next, at most so many of each table; raises sqlite3.Error or OSError."""
        if not self.path.exists():
            return Rows()
        connection = self._file.connection()

        def of(table: str, columns: str) -> list[tuple[object, ...]]:
            found = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {_ORDER[table]} LIMIT ?", (most,))  # noqa: S608
            return [tuple(row) for row in found.fetchall()]

        return Rows(
            of("decisions", DECISION_COLUMNS), of("outcomes", OUTCOME_COLUMNS), of("feedback", FEEDBACK_COLUMNS)
        )

    def remove(self, rows: Rows) -> None:
        """Forget rows, which are durable elsewhere; raises sqlite3.Error or OSError."""
        connection = self._file.connection()
        with writing(connection):
            for table, _, found in rows.tables:
                # The key is the first column of each table. One statement: between two the interpreter is fought for
                # again, hundreds of times, while other workers wait for this transaction.
                for start in range(0, len(found), AT_ONCE):
                    keys = [row[0] for row in found[start : start + AT_ONCE]]
                    marks = ", ".join("?" * len(keys))
                    connection.execute(f"DELETE FROM {table} WHERE {_KEYS[table]} IN ({marks})", keys)  # noqa: S608

    def parts(self, decision_id: str) -> Parts:
        """Return what waits of a decision; raises sqlite3.Error or OSError."""
        if not self.path.exists():
            return Parts(None, None, [])
        connection = self._file.connection()
        connection.row_factory = sqlite3.Row
        try:
            decision = connection.execute("SELECT * FROM decisions WHERE id = ?", (decision_id,)).fetchone()
            outcome = connection.execute("SELECT * FROM outcomes WHERE decision_id = ?", (decision_id,)).fetchone()
            given = connection.execute("SELECT * FROM feedback WHERE decision_id = ?", (decision_id,)).fetchall()
        finally:
            connection.row_factory = None
        return Parts(decision, outcome, given)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Say whether nobody else of this host brings rows to PostgreSQL, and keep it so."""
        beside = self.path.with_name(self.path.name + ".lock")
        beside.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
