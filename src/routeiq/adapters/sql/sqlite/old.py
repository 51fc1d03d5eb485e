"""What is too old in a SQLite file, deleted a batch at a time.

Owns the statements. SQLite lets one process write at a time, so no two delete together; the pages become free in the
file, which does not shrink. When that is done, and how often, is `adapters.sql.retention`'s.
"""

from typing import Final

from routeiq.adapters.sql.sqlite.database import Database
from routeiq.adapters.sql.sqlite.transaction import writing

AT_ONCE: Final = 100
"""Decisions in one transaction: whoever writes meanwhile waits for it, a few milliseconds."""


class OldRows:
    """Implements `adapters.sql.retention.Old` on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def forget(self, before: float) -> int | None:
        """Delete a batch; raises sqlite3.Error, OSError or ConfigError."""
        connection = self._database.connection()
        found = connection.execute("SELECT id FROM decisions WHERE at < ? ORDER BY at LIMIT ?", (before, AT_ONCE))
        old = [row[0] for row in found.fetchall()]
        if not old:
            return 0
        marks = ", ".join("?" * len(old))
        with writing(connection):
            for table, key in (("outcomes", "decision_id"), ("feedback", "decision_id"), ("decisions", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {key} IN ({marks})", old)  # noqa: S608 - constants
        return len(old)

    def release(self) -> None:
        """Close the connection."""
        self._database.discard()
