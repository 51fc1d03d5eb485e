"""The servers that other tests start keep the promises that those tests build on."""

import time

import psycopg
import pytest

from tests.servers.postgres import Postgres, missing, running_postgres

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

RECOVERY_S = 30.0


def connected(server: Postgres) -> "psycopg.Connection[tuple[int]]":
    """A connection, as soon as the server is done with its recovery."""
    deadline = time.monotonic() + RECOVERY_S
    while True:
        try:
            return psycopg.connect(server.url, connect_timeout=5)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_postgresql_keeps_what_it_committed() -> None:
    """What was committed is there after kill -9 and a start on the same port, and what was not is gone."""
    with running_postgres() as server:
        with connected(server) as connection:
            connection.execute("CREATE TABLE kept (n integer PRIMARY KEY)")
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.commit()
            connection.execute("INSERT INTO kept VALUES (2)")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
            connection.close()
        server.start()
        with connected(server) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
    assert not server.folder.exists()
