"""Rows to the tables in PostgreSQL, one transaction for each batch, and to disk while there is no PostgreSQL."""

import json
from functools import cache
from typing import Any, Final

import psycopg

from routeiq.adapters.sql.postgres.availability import LOGGER, Availability
from routeiq.adapters.sql.postgres.link import ROWS_FAULT, Connection, Link
from routeiq.adapters.sql.postgres.spill import Spill
from routeiq.adapters.sql.rows import Rows
from routeiq.core.errors import ConfigError

ROWS_AT_ONCE: Final = 32
"""Rows in one statement."""

GONE: Final = (psycopg.Error, ConfigError)
"""What means that PostgreSQL cannot be used now."""

_JSON: Final = frozenset({"ranking", "candidates", "caller_tags", "calls", "affinity"})

_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)


class PostgresStore:
    """Writes rows on one link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write(self, rows: Rows) -> None:
        """Return when the rows are durable; rows of a known key are left as they are. Raises one of `GONE`.

        A row that PostgreSQL will never take is given up on, alone.
        """
        try:
            self._link.run(lambda connection: _write(connection, rows))
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith(ROWS_FAULT):
                raise
            if len(rows) == 1:
                LOGGER.warning("outcome log gave up on a row that PostgreSQL does not take (%s)", error.sqlstate)
                return
            for part in _halves(rows):
                self.write(part)

    def ping(self) -> None:
        """Return when PostgreSQL would take a write; raises one of `GONE`."""
        self._link.run(_ask)

    def close(self) -> None:
        """Close the connection."""
        self._link.discard()


class SpillingStore:
    """PostgreSQL while it can be used, else the disk; implements `adapters.sql.writer.Store`."""

    def __init__(self, database: PostgresStore, spill: Spill, available: Availability) -> None:
        self._database = database
        self._spill = spill
        self._available = available
        self.spilled = 0

    def write(self, rows: Rows) -> None:
        """Return when the rows are durable in one of the two; raises sqlite3.Error or OSError when in neither."""
        if self._available.open:
            try:
                self._database.write(rows)
            except GONE as error:
                self._available.failed(error)
            else:
                self._available.ok()
                return
        self._spill.write(rows)
        self.spilled += len(rows)

    def reason_of(self, error: BaseException) -> str:
        """Return the word for why the disk did not take rows."""
        return self._spill.reason_of(error)

    def recover(self, reason: str) -> None:
        """Get ready for another try."""
        self._spill.recover(reason)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
        self._spill.close()


def _write(connection: Connection, rows: Rows) -> None:
    connection.execute("BEGIN")
    connection.execute(_DURABLE)
    for table, columns, found in rows.tables:
        in_json = tuple(name in _JSON for name in columns.split(", "))
        for start in range(0, len(found), ROWS_AT_ONCE):
            part = found[start : start + ROWS_AT_ONCE]
            fitting = [_fit(*pair) for row in part for pair in zip(row, in_json, strict=True)]
            connection.execute(_insert(table, columns, len(part)), fitting)
    connection.execute("COMMIT")


@cache
def _insert(table: str, columns: str, rows: int) -> bytes:
    """Return the statement that inserts so many rows; a row of a known key is left as it is."""
    width = columns.count(",") + 1
    values = ", ".join(f"({', '.join(f'${row * width + at + 1}' for at in range(width))})" for row in range(rows))
    return f"INSERT INTO routeiq.{table} ({columns}) VALUES {values} ON CONFLICT DO NOTHING".encode()  # noqa: S608


def _ask(connection: Connection) -> None:
    found = connection.execute("SELECT pg_is_in_recovery() AS standby").fetchone()
    if found is None or found["standby"]:
        raise psycopg.errors.ReadOnlySqlTransaction("a standby server")


def _halves(rows: Rows) -> tuple[Rows, Rows]:
    """Return rows in two parts, in the same order."""
    first, second = Rows(), Rows()
    for (_, _, found), (_, _, one), (_, _, other) in zip(rows.tables, first.tables, second.tables, strict=True):
        for row in found:
            (one if len(first) < (len(rows) + 1) // 2 else other).append(row)
    return first, second


def _fit(value: Any, json_column: bool) -> Any:
    """Return a value that PostgreSQL takes: neither text nor JSON may hold a NUL, nor may JSON hold half a pair."""
    if type(value) is not str:
        return value
    if json_column:
        if "\\u" not in value:
            return value
        return json.dumps(_clean(json.loads(value)), ensure_ascii=False, separators=(",", ":"))
    return value.replace("\0", "\ufffd")


def _clean(found: Any) -> Any:
    if isinstance(found, str):
        return found.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(found, list):
        return [_clean(one) for one in found]
    if isinstance(found, dict):
        return {_clean(name): _clean(one) for name, one in found.items()}
    return found
