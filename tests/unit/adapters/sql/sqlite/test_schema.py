"""The schema of the SQLite outcome log and how it moves forward."""

import sqlite3
from pathlib import Path

import pytest

from routeiq.adapters.sql.sqlite import SqliteOutcomeLog
from routeiq.adapters.sql.sqlite.schema import MIGRATIONS, migrate
from routeiq.core.errors import ConfigError
from tests.unit.adapters.records import SALT, WallClock


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "x.db", isolation_level=None)


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_file_gets_every_step(connection: sqlite3.Connection) -> None:
    """An empty file ends at the newest version."""
    migrate(connection, "x.db")
    assert version(connection) == len(MIGRATIONS)
    assert connection.execute("SELECT COUNT(*) FROM decisions").fetchone() == (0,)


def test_an_older_file_gets_the_steps_it_lacks(connection: sqlite3.Connection) -> None:
    """A file of an older version keeps its rows and gains what is new."""
    older = ("CREATE TABLE t (a); INSERT INTO t VALUES (1);",)
    migrate(connection, "x.db", older)
    migrate(connection, "x.db", (*older, "ALTER TABLE t ADD COLUMN b; UPDATE t SET b = a + 1;"))
    assert version(connection) == 2
    assert connection.execute("SELECT a, b FROM t").fetchall() == [(1, 2)]


def test_a_step_that_fails_leaves_no_trace(connection: sqlite3.Connection) -> None:
    """A step is applied whole or not at all."""
    with pytest.raises(sqlite3.Error):
        migrate(connection, "x.db", ("CREATE TABLE t (a); CREATE TABLE t (a);",))
    assert version(connection) == 0
    assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)


def test_a_newer_file_is_refused_by_name(tmp_path: Path) -> None:
    """A file that a newer RouteIQ wrote is an error that names it, both versions and what to do."""
    with sqlite3.connect(tmp_path / "new.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(ConfigError, match=rf"new\.db: its schema is version 99.* up to {len(MIGRATIONS)}; .*upgrade"):
        SqliteOutcomeLog(tmp_path / "new.db", salt=SALT, clock=WallClock())
