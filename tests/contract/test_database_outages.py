"""The outcome log in PostgreSQL when the server dies, freezes, fills up its stand-in, or changes its mind."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.sql.outcome_log import Pace
from routeiq.adapters.sql.postgres import PostgresOutcomeLog
from routeiq.adapters.sql.postgres.link import Link
from routeiq.adapters.sql.postgres.schema import MIGRATIONS, migrate
from routeiq.adapters.sql.postgres.store import PostgresStore
from routeiq.adapters.sql.rows import QueuedDecision, Rows, RowWriter
from routeiq.core.errors import ConfigError, DataError, StoreUnavailable, UnknownDecision
from routeiq.guard.degraded import DATABASE, Degraded
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres, running_postgres
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback

LIMIT_S = 90.0
PATIENT_S = 15.0
"""A bound that a busy machine does not reach by itself."""
PROGRAM = [sys.executable, "-m", "tests.contract.database_worker"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def started() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def server(started: Postgres) -> Postgres:
    """The same, running and without a log in it."""
    if started.process is None:
        started.start()
    started.thaw()
    started.run("DROP SCHEMA IF EXISTS routeiq CASCADE")
    return started


def opened(server: Postgres, folder: Path, url: Callable[[], str] | None = None, **changes: Any) -> PostgresOutcomeLog:
    defaults = {"salt": SALT, "clock": WallClock(), "pace": Pace(settle_s=0.1, answer_s=30.0), "look_s": 0.5}
    return PostgresOutcomeLog(url or (lambda: server.url), folder / "spill.db", **{**defaults, **changes})


def decide(log: PostgresOutcomeLog, *numbers: int) -> None:
    for number in numbers:
        log.record_decision(a_request(number), a_decision(number), None)
        log.record_outcome(an_outcome(number))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.05)


async def brought(log: PostgresOutcomeLog) -> None:
    """Wait until nothing is on disk any more."""
    await until(lambda: log.status().replayed > 0)
    await until(lambda: log.status().on_disk == 0)


def kept(server: Postgres, table: str = "outcomes") -> list[str]:
    """What is in a table, each row by the decision it is about."""
    key = "id" if table == "decisions" else "decision_id"
    return sorted(row[0] for row in server.run(f"SELECT {key} FROM routeiq.{table}"))


def ids(*numbers: int) -> list[str]:
    return sorted(f"dec_{number}" for number in numbers)


@pytest.mark.parametrize("incident", ["killed", "frozen"])
async def test_an_outage_loses_and_doubles_nothing(server: Postgres, tmp_path: Path, incident: str) -> None:
    """What is recorded and judged while the server is dead or frozen is there once when it is back, and it is told."""
    degraded = Degraded(WallClock())
    changes: list[bool] = []
    degraded.on_change(lambda name, gone, _: changes.append(gone))
    log = opened(server, tmp_path, answered=lambda ok: degraded.report(DATABASE, ok))
    decide(log, *range(10))
    await log.flush()
    (server.kill if incident == "killed" else server.freeze)()
    decide(log, *range(10, 30))
    await log.add_feedback(some_feedback(3))
    await log.add_feedback(some_feedback(20))
    await until(lambda: degraded.gone(DATABASE))
    status = log.status()
    assert status.healthy
    assert status.spilled >= 42
    found = await log.find("dec_20")
    assert found is not None
    assert (found.outcome, len(found.feedback)) == (an_outcome(20), 1)
    with pytest.raises(StoreUnavailable, match="send it again"):
        await log.find("dec_404")
    (server.start if incident == "killed" else server.thaw)()
    decide(log, *range(30, 40))
    await brought(log)
    await until(lambda: not degraded.gone(DATABASE))
    await log.close()
    assert kept(server) == kept(server, "decisions") == ids(*range(40))
    assert kept(server, "feedback") == ids(3, 20)
    assert changes[::2] == [True] * (len(changes) // 2)
    assert changes[1::2] == [False] * (len(changes) // 2)


async def test_recording_does_not_wait_for_a_frozen_server(server: Postgres, tmp_path: Path) -> None:
    """While a server holds up a thread for seconds, neither recording nor the event loop stands still."""
    log = opened(server, tmp_path, bound_s=6.0)

    async def record(numbers: range) -> float:
        """Record one after the other, and return the longest time between two."""
        worst, last = 0.0, time.monotonic()
        for number in numbers:
            decide(log, number)
            await asyncio.sleep(0.01)
            now = time.monotonic()
            worst, last = max(worst, now - last), now
        return worst

    calm = await record(range(100))
    await log.flush()
    server.freeze()
    worst = await record(range(100, 300))
    server.thaw()
    await until(lambda: log.status().queued == 0 and log.status().on_disk == 0)
    await log.close()
    assert worst < 3.0 + calm
    assert kept(server) == ids(*range(300))


async def test_closing_against_a_frozen_server_leaves_all_on_disk(server: Postgres, tmp_path: Path) -> None:
    """A gateway that stops while its database stands still ends, and the next one brings what it had."""
    log = opened(server, tmp_path, bound_s=1.0, pace=Pace(answer_s=20.0))
    await log.flush()
    server.freeze()
    decide(log, *range(50))
    await asyncio.wait_for(log.close(), LIMIT_S)
    assert log.status().queued == 0
    server.thaw()
    following = opened(server, tmp_path)
    await until(lambda: kept(server) == ids(*range(50)))
    await following.close()
    assert kept(server, "decisions") == ids(*range(50))


async def test_what_a_killed_worker_kept_is_brought_by_another(server: Postgres, tmp_path: Path) -> None:
    """Acknowledged feedback of a worker that was killed during an outage comes to PostgreSQL by another worker."""
    opened_first = opened(server, tmp_path)
    await opened_first.close()
    server.kill()
    process = subprocess.Popen(
        [*PROGRAM, server.url, str(tmp_path / "spill.db")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        acknowledged = [json.loads(process.stdout.readline()) for _ in range(100)]
    finally:
        process.kill()
        rest, _ = process.communicate(timeout=30)
    acknowledged += [json.loads(line) for line in rest.splitlines() if line.endswith('"')]
    server.start()
    first, second = opened(server, tmp_path), opened(server, tmp_path)
    await until(lambda: first.status().replayed + second.status().replayed > 0)
    await until(lambda: first.status().on_disk == second.status().on_disk == 0)
    await first.close()
    await second.close()
    given = [row[0] for row in server.run("SELECT id FROM routeiq.feedback")]
    assert set(acknowledged) <= set(given)
    assert len(given) == len(set(given))
    assert set(kept(server, "feedback")) <= set(kept(server, "decisions"))


async def test_a_log_closed_at_the_end_of_the_interpreter_is_written(server: Postgres, tmp_path: Path) -> None:
    """Closing works when threads can no longer be started, and says nothing on standard error."""
    command = [*PROGRAM, server.url, str(tmp_path / "spill.db"), "exit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(server) == kept(server, "decisions") == ids(1)


async def test_bringing_it_twice_changes_nothing(server: Postgres, tmp_path: Path) -> None:
    """Rows that are in PostgreSQL already, as after a cut between writing there and forgetting here, are left alone."""
    store, writer = PostgresStore(Link(lambda: server.url)), RowWriter(SALT)
    decision = writer.decision(QueuedDecision(a_request(), a_decision(), None))
    rows = Rows([decision], [writer.outcome(an_outcome())], [writer.feedback(some_feedback(id="fb_1"))])
    for _ in range(2):
        store.write(rows)
    store.close()
    assert kept(server) == kept(server, "decisions") == kept(server, "feedback") == ids(1)


async def test_a_full_disk_under_an_outage_refuses_feedback(server: Postgres, tmp_path: Path) -> None:
    """With neither PostgreSQL nor space feedback is refused and records wait in memory; later nothing is missing."""
    log = opened(server, tmp_path, spill_bytes=400_000)
    decide(log, 0)
    await log.flush()
    server.kill()
    decide(log, *range(1, 600))
    await until(lambda: not log.status().healthy)
    assert log.status().last_error_reason == "disk_full"
    with pytest.raises(StoreUnavailable, match="disk_full"):
        await log.add_feedback(some_feedback(0))
    server.start()
    await brought(log)
    await until(lambda: log.status().queued == 0)
    await log.close()
    assert kept(server) == ids(*range(600))
    assert log.status().dropped == 0


async def test_a_fail_over_to_a_standby_is_followed(server: Postgres, tmp_path: Path) -> None:
    """With both servers in the address the log writes on when the primary dies and its standby is promoted."""
    with server.standby() as second:
        hosts = f"127.0.0.1:{server.port},127.0.0.1:{second.port}"
        url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        log = PostgresOutcomeLog(lambda: url, tmp_path / "spill.db", salt=SALT, clock=WallClock(), look_s=0.5)

        def copied(numbers: range) -> bool:
            there = second.run("SELECT to_regclass('routeiq.outcomes')")[0][0] is not None
            return there and kept(second) == ids(*numbers)

        decide(log, *range(20))
        await until(lambda: copied(range(20)))
        server.kill()
        decide(log, *range(20, 40))
        await until(lambda: log.status().spilled > 0)
        second.promote()
        decide(log, *range(40, 60))
        await until(lambda: copied(range(60)))
        await log.close()
        assert kept(second, "decisions") == ids(*range(60))


async def test_a_decision_of_another_host_is_found(server: Postgres, tmp_path: Path) -> None:
    """Two hosts share the log: a decision of one is explained and judged at the other, written or about to be."""
    pace = Pace(settle_s=10.0, answer_s=30.0)
    here, there = (opened(server, tmp_path / name, pace=pace) for name in ("here", "there"))
    decide(here, 1)
    await there.add_feedback(some_feedback(1))
    found = await here.find("dec_1")
    assert found is not None
    assert len(found.feedback) == 1
    assert found.outcome == an_outcome(1)
    for log in (here, there):
        await log.close()


async def test_unknown_is_not_said_soon_after_an_outage(server: Postgres, tmp_path: Path) -> None:
    """While records of an outage may still be on another host, an unknown decision is "try again", not "unknown"."""
    log = opened(server, tmp_path)
    with pytest.raises(UnknownDecision):
        await log.add_feedback(some_feedback(404))
    server.kill()
    decide(log, 1)
    await log.flush()
    server.start()
    await brought(log)
    with pytest.raises(StoreUnavailable, match="on their way"):
        await log.add_feedback(some_feedback(404))
    await log.close()


def test_a_schema_is_made_once_however_many_start(server: Postgres, tmp_path: Path) -> None:
    """Ten workers that start together on an empty database find or make the same tables."""

    def start(number: int) -> bool:
        log = opened(server, tmp_path / str(number), bound_s=30.0)
        asyncio.run(log.close())
        return log.status().last_error_reason is None

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(start, range(10)))
    assert server.run("SELECT version FROM routeiq.schema_version") == [(len(MIGRATIONS),)]


def test_an_older_worker_goes_on_while_a_newer_one_is_rolled_out(server: Postgres, tmp_path: Path) -> None:
    """A newer schema that only adds does not stop older workers; one that says so is refused, in words."""
    asyncio.run(opened(server, tmp_path).close())
    link = Link(lambda: server.url)
    migrate(link.connection(), (*MIGRATIONS, "ALTER TABLE routeiq.outcomes ADD COLUMN later TEXT"))
    log = opened(server, tmp_path)
    decide(log, 1)
    asyncio.run(log.close())
    assert kept(server) == ids(1)
    migrate(link.connection(), (*MIGRATIONS, "SELECT 1", "SELECT 1"), oldest=3)
    link.discard()
    with pytest.raises(ConfigError, match="schema version 3, which needs a RouteIQ that knows version 3"):
        opened(server, tmp_path)


def test_whatever_came_in_has_a_row(server: Postgres, tmp_path: Path) -> None:
    """Text that PostgreSQL refuses is made to fit: NUL, half a surrogate pair, in columns and inside JSON."""
    log = opened(server, tmp_path, store_prompts=True)
    odd = 'a\0b\ud800 \\u0000 "\u20ac'
    request, decision = a_request(text=odd, alias=odd), a_decision(alias=odd, ranking=(odd,), choice=odd)
    log.record_decision(request, decision, None)
    log.record_outcome(an_outcome(error=odd, cost_usd=float("nan")))
    found = asyncio.run(_found(log))
    assert found.decision.ranking == ('a\ufffdb? \\u0000 "\u20ac',)
    assert found.prompt.text == 'a\ufffdb? \\u0000 "\u20ac'


async def _found(log: PostgresOutcomeLog) -> Any:
    await log.flush()
    found = await log.find("dec_1")
    await log.close()
    return found


def test_a_row_that_is_never_taken_is_given_up_alone(server: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """One row that breaks a rule of the table does not hold up those beside it."""
    store, writer = PostgresStore(Link(lambda: server.url)), RowWriter(SALT)
    rows = [writer.outcome(an_outcome(number)) for number in range(8)]
    rows[5] = (*rows[5][:4], None, *rows[5][5:])  # without a status
    store.write(Rows(outcomes=rows))
    store.close()
    assert kept(server) == ids(0, 1, 2, 3, 4, 6, 7)
    assert "gave up on a row" in caplog.text


async def test_a_schema_that_was_dropped_is_made_again(server: Postgres, tmp_path: Path) -> None:
    """A database that was restored without the tables gets them at the next write."""
    log = opened(server, tmp_path)
    server.run("DROP SCHEMA routeiq CASCADE")
    decide(log, 1)
    await log.flush()
    await until(lambda: log.status().on_disk == 0)
    await log.close()
    assert kept(server) == ids(1)


async def test_a_password_is_rotated_under_load(server: Postgres, tmp_path: Path) -> None:
    """New user, switch, verify, take the rights, drop: five steps under load, and no outcome or judgement is lost."""
    server.run("CREATE ROLE owners NOLOGIN")
    server.run("GRANT CREATE ON DATABASE postgres TO owners")
    options = "?options=-c%20role%3Downers"
    url = server.role("gateway_a", "first-secret") + options
    server.run("GRANT owners TO gateway_a")
    log = opened(server, tmp_path)
    await log.close()
    server.run("DROP SCHEMA routeiq CASCADE")
    current = [url]
    log = opened(server, tmp_path, lambda: current[0], bound_s=PATIENT_S)
    numbers, going = iter(range(1_000_000)), True

    async def load() -> int:
        for number in numbers:
            decide(log, number)
            if number % 20 == 0:
                await log.add_feedback(some_feedback(number))
            await asyncio.sleep(0.005)
            if not going:
                return number + 1
        raise AssertionError

    loading = asyncio.create_task(load())

    def users() -> set[str]:
        active = "SELECT usename FROM pg_stat_activity WHERE application_name = 'routeiq'"
        return {str(row[0]) for row in server.run(active)}

    await until(lambda: users() == {"gateway_a"})
    # 1. a new user with the same rights; 2. the switch
    new = await asyncio.to_thread(server.role, "gateway_b", "second-secret")
    server.run("GRANT owners TO gateway_b")
    current[0] = new + options
    # 3. verified: nobody uses the old one
    await until(lambda: users() == {"gateway_b"})
    # 4. no login any more; 5. gone
    server.run("ALTER ROLE gateway_a NOLOGIN")
    server.run("DROP OWNED BY gateway_a")
    server.run("DROP ROLE gateway_a")
    await asyncio.sleep(0.5)
    going = False
    count = await loading
    await log.close()
    assert log.status().spilled == 0
    assert kept(server) == kept(server, "decisions") == ids(*range(count))
    assert kept(server, "feedback") == ids(*range(0, count, 20))


async def test_a_password_that_stops_working_loses_nothing(
    server: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ALTER ROLE cuts the log off until it is given the new password; then all is there, and no line shows either."""
    current = [server.role("changed", "first-secret")]
    log = opened(server, tmp_path, lambda: current[0], bound_s=PATIENT_S)
    decide(log, *range(5))
    await log.flush()
    server.run("ALTER ROLE changed PASSWORD 'second-secret'")
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'changed'")
    decide(log, *range(5, 10))
    await log.add_feedback(some_feedback(7))
    await until(lambda: log.status().last_error_reason == "login_refused")
    assert log.status().spilled == 11
    current[0] = current[0].replace("first-secret", "second-secret")
    await brought(log)
    decide(log, *range(10, 15))
    await log.close()
    assert kept(server) == ids(*range(15))
    assert kept(server, "feedback") == ids(7)
    assert "secret" not in caplog.text + repr(log.status())


async def test_what_was_judged_is_imported(server: Postgres, tmp_path: Path) -> None:
    """`routeiq import` reads the log at the address in a variable, and takes none on the command line."""
    log = opened(server, tmp_path, store_prompts=True)
    for number in range(40):
        log.record_decision(a_request(number, text=f"question {number}"), a_decision(number), None)
        log.record_outcome(an_outcome(number))
        await log.add_feedback(some_feedback(number))
    await log.close()
    command = [sys.executable, "-m", "routeiq", "import", "--from", "outcome-log", "--output", str(tmp_path / "data")]
    environment = {**os.environ, "LOG_AT": server.url + "?schema=public"}
    found = [
        subprocess.run([*command, name], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        for name in ("os.environ/LOG_AT", "postgresql://user:hunter2@db/app")
    ]
    assert found[0].returncode == 0, found[0].stderr
    assert "40 prompts" in found[0].stdout
    assert found[1].returncode == 2
    assert "give os.environ/NAME" in " ".join(found[1].stderr.split())
    assert "hunter2" not in found[1].stderr


async def test_the_statements_of_the_page_run(server: Postgres, tmp_path: Path) -> None:
    """Setting up, asking and deleting go as docs/operations/postgresql.md says, with a user that owns nothing."""
    page = (ROOT / "docs" / "operations" / "postgresql.md").read_text()
    set_up, *others = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    server.run(set_up)
    url = server.url.replace("postgres@", "routeiq_a@")
    log = opened(server, tmp_path, lambda: url, bound_s=PATIENT_S)
    decide(log, *range(5))
    await log.add_feedback(some_feedback(1))
    recent = a_decision(9, at=time.time())
    log.record_decision(a_request(9), recent, None)
    log.record_outcome(an_outcome(9))
    await log.close()
    assert log.status().spilled == 0
    owners = {row[0] for row in server.run("SELECT tableowner FROM pg_tables WHERE schemaname = 'routeiq'")}
    assert owners == {"routeiq_owner"}
    assert len(others) == 4
    for statement in others:
        server.run(statement)
    assert kept(server) == kept(server, "decisions") == ids(9)
    assert kept(server, "feedback") == []


async def test_a_server_that_is_not_there_is_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A log begins on disk when PostgreSQL is away, acknowledges feedback, and never shows the URL's password."""
    caplog.set_level(logging.DEBUG)
    url = f"postgresql://user:hunter2@127.0.0.1:{free_port()}/db"
    log = PostgresOutcomeLog(lambda: url, tmp_path / "spill.db", salt=SALT, clock=WallClock())
    decide(log, 1)
    await log.add_feedback(some_feedback(1))
    with pytest.raises(StoreUnavailable) as raised:
        await log.find("dec_404")
    assert "unreachable" in raised.value.message
    with pytest.raises(DataError) as unread:
        list(log.read_labelled())
    await log.close()
    seen = caplog.text + str(raised.value) + str(unread.value) + repr(vars(log)) + repr(unread.value.__context__)
    assert "hunter2" not in seen


def test_an_option_that_libpq_does_not_know_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    """A URL that can never work is told at the start, without showing it."""
    with pytest.raises(ConfigError, match="option") as raised:
        PostgresOutcomeLog(
            lambda: "postgresql://user:hunter2@127.0.0.1/db?colour=blue",
            tmp_path / "s.db",
            salt=SALT,
            clock=WallClock(),
        )
    assert "hunter2" not in str(raised.value)
