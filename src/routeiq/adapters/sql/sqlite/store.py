"""Rows to the tables of a SQLite file, one transaction for each batch."""

import sqlite3
from typing import Final

from routeiq.adapters.sql.rows import Row, Rows
from routeiq.adapters.sql.sqlite.database import Database, reason_of
from routeiq.adapters.sql.sqlite.transaction import writing

ROWS_AT_ONCE: Final = 16
"""Rows in one statement, about half a millisecond of work."""


class SqliteStore:
    """Writes on a connection of its own; implements `adapters.sql.writer.Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, rows: Rows) -> None:
        """Return when the rows are on disk; raises sqlite3.Error, OSError or ConfigError."""
        connection = self._database.connection()
        with writing(connection):
            for table, columns, found in rows.tables:
                _insert(connection, table, columns, found)

    def reason_of(self, error: BaseException) -> str:
        """Return the word for an error of SQLite or of the file system."""
        return reason_of(error)

    def recover(self, reason: str) -> None:
        """Open the file anew for the next try, unless that is of no use."""
        if reason not in {"locked", "disk_full"}:
            self._database.discard()

    def close(self) -> None:
        """Close the connection."""
        self._database.discard()


def _insert(connection: sqlite3.Connection, table: str, columns: str, rows: list[Row]) -> None:
    """Insert rows; one whose key is there already is left as it is, so that writing twice does no harm.

    Several rows go in one statement: for each statement the driver gives the interpreter away and fights for it again,
    several times, and it is a request that loses.
    """
    marks = f"({', '.join('?' * (columns.count(',') + 1))})"
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        values = ", ".join([marks] * len(part))
        statement = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES {values}"  # noqa: S608 - constants of this package
        connection.execute(statement, tuple(value for row in part for value in row))
