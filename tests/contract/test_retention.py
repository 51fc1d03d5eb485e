"""Outcome logs that are told for how long to keep what they know."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from routeiq.adapters.sql.outcome_log import Pace
from routeiq.adapters.sql.postgres import PostgresOutcomeLog
from routeiq.adapters.sql.postgres.link import Link
from routeiq.adapters.sql.postgres.old import LOCK, OldRows
from routeiq.adapters.sql.retention import DAY_S, Retention
from routeiq.adapters.sql.sqlite import SqliteOutcomeLog
from routeiq.config.load import load
from routeiq.guard.degraded import Degraded
from routeiq.wiring.remembering import outcome_log_of
from tests.servers.postgres import Postgres, running_postgres
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback

LIMIT_S = 60.0
OLD, NEW = range(1_100), range(2_000, 2_020)
"""Numbers of decisions: those of a hundred days ago are more than two batches."""

Opened = Callable[..., SqliteOutcomeLog | PostgresOutcomeLog]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with running_postgres() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens a log over the same records each time; at first there are none."""
    pace = Pace(settle_s=0.05, answer_s=30.0)
    if request.param == "sqlite":
        return lambda **more: SqliteOutcomeLog(
            tmp_path / "log.db", salt=SALT, clock=WallClock(), answer_s=30.0, settle_s=0.05, **more
        )
    server: Postgres = request.getfixturevalue("server")
    server.run("DROP SCHEMA IF EXISTS routeiq CASCADE")
    return lambda **more: PostgresOutcomeLog(
        lambda: server.url, tmp_path / "spill.db", salt=SALT, clock=WallClock(), pace=pace, bound_s=15.0, **more
    )


async def filled(log: SqliteOutcomeLog | PostgresOutcomeLog) -> None:
    now = time.time()
    for numbers, at in ((OLD, now - 100 * DAY_S), (NEW, now - 10 * DAY_S)):
        for number in numbers:
            log.record_decision(a_request(number), a_decision(number, at=at), None)
            log.record_outcome(an_outcome(number, at=at + 1))
    await log.flush()
    for number in (OLD[0], OLD[-1], NEW[0]):
        await log.add_feedback(some_feedback(number))


def deleting() -> bool:
    """Whether a thread is there that deletes."""
    return "routeiq-outcome-log-retention" in {thread.name for thread in threading.enumerate()}


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def test_what_is_older_than_it_may_be_is_deleted(opened: Opened) -> None:
    """All of it goes, outcomes and feedback too, while requests are recorded; what is newer stays, by default all."""
    plain = opened()
    await filled(plain)
    await asyncio.sleep(0.2)
    assert await plain.find(f"dec_{OLD[0]}") is not None
    await plain.close()
    log = opened(keep_days=30.0, retention_s=0.05)
    number = 5_000
    assert log._retention is not None
    while log._retention.forgotten < len(OLD):
        number += 1
        assert number < 20_000
        log.record_decision(a_request(number), a_decision(number, at=time.time()), None)
        await asyncio.sleep(0.01)
    await log.flush()
    for gone in (OLD[0], OLD[-1]):
        assert await log.find(f"dec_{gone}") is None
    kept = [await log.find(f"dec_{kept}") for kept in (*NEW, 5_001, number)]
    assert [None if record is None else record.decision.id for record in kept] == [
        f"dec_{kept}" for kept in (*NEW, 5_001, number)
    ]
    assert kept[0] is not None
    assert (kept[0].outcome is not None, len(kept[0].feedback)) == (True, 1)
    assert log.status().dropped == 0
    await log.close()


async def test_one_worker_of_all_deletes(server: Postgres, tmp_path: Path) -> None:
    """While another one does, nothing is deleted and nobody waits; outcomes without a decision go too."""
    server.run("DROP SCHEMA IF EXISTS routeiq CASCADE")
    log = PostgresOutcomeLog(lambda: server.url, tmp_path / "spill.db", salt=SALT, clock=WallClock(), bound_s=15.0)
    for number in range(3):
        log.record_decision(a_request(number), a_decision(number), None)
        log.record_outcome(an_outcome(number + 2))
    await log.flush()
    await log.close()
    link = Link(lambda: server.url, 15.0)
    old = OldRows(link)
    with psycopg.connect(server.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        assert old.forget(time.time()) is None
    assert [old.forget(time.time()) for _ in range(3)] == [3, 2, 0]
    old.release()
    counted = [server.run(f"SELECT COUNT(*) FROM routeiq.{table}")[0][0] for table in ("decisions", "outcomes")]
    assert counted == [0, 0]


class Rows:
    """Old rows that cannot be reached at first."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.released = 0

    def forget(self, before: float) -> int | None:
        self.asked.append(before)
        if len(self.asked) == 1:
            raise OSError("away")
        return 7 if len(self.asked) in (2, 4) else None if len(self.asked) == 3 else 0

    def release(self) -> None:
        self.released += 1


async def test_it_tries_again_at_the_next_look(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is away, or another that deletes, ends a look and not the thread; closing ends the thread."""
    rows = Rows()
    retention = Retention(rows, 30.0, WallClock(), random.Random(1), look_s=0.01)
    retention.start()
    await until(lambda: len(rows.asked) >= 6)
    retention.close()
    await until(lambda: not deleting())
    assert retention.forgotten == 14
    assert rows.released >= 3
    assert abs(time.time() - 30 * DAY_S - rows.asked[-1]) < LIMIT_S
    assert "could not delete what is too old (OSError)" in caplog.text


@pytest.mark.parametrize(("said", "deletes"), [({}, False), ({"keep_days": 90}, True)])
async def test_the_setting_has_it_done(tmp_path: Path, said: dict[str, Any], deletes: bool) -> None:
    """`outcome_log.keep_days` has a gateway delete; without it nothing does."""
    await until(lambda: not deleting())
    path = tmp_path / "config.yaml"
    lines = [f"    {name}: {value}\n" for name, value in {"path": tmp_path / "log.db", **said}.items()]
    path.write_text("routeiq_settings:\n  outcome_log:\n" + "".join(lines))
    log = outcome_log_of(load(path), WallClock(), Degraded(WallClock()))
    found = deleting()
    await log.close()
    assert found == deletes
    await until(lambda: not deleting())
