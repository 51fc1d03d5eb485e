"""The SQLite outcome log when it is killed, shared, locked, broken, forbidden, and when the disk is full."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.sql.backlog import Backlog
from routeiq.adapters.sql.sqlite import SqliteOutcomeLog, database, read_labelled
from routeiq.core.errors import StoreUnavailable, UnknownDecision
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback

ROOT = Path(__file__).resolve().parents[5]
PROGRAM = [sys.executable, "-m", "tests.unit.adapters.sql.sqlite.processes"]
OWN_MOUNTS = ["unshare", "--mount", "--map-root-user"]


def opened(path: Path, **changes: Any) -> SqliteOutcomeLog:
    return SqliteOutcomeLog(path, **{"salt": SALT, "clock": WallClock(), "settle_s": 0.05, **changes})


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Every judgement acknowledged before kill -9 is in the file afterwards, with the decision it belongs to."""
    process = start("judge", tmp_path)
    try:
        assert process.stdout is not None
        acknowledged = [json.loads(process.stdout.readline()) for _ in range(200)]
    finally:
        process.kill()
        rest, _ = process.communicate(timeout=30)
    acknowledged += [json.loads(line) for line in rest.splitlines() if line.endswith("]")]
    kept = {
        (record.decision.id, given.id) for record in read_labelled(tmp_path / "log.db") for given in record.feedback
    }
    assert {(decision, given) for decision, given in acknowledged} <= kept


def test_two_workers_share_a_file(tmp_path: Path) -> None:
    """Two processes with five writers each lose nothing and disturb nobody."""
    workers = [start("share", tmp_path, name) for name in ("a", "b")]
    try:
        said = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert said == [{"dropped": 0}, {"dropped": 0}]
    with sqlite3.connect(tmp_path / "log.db") as connection:
        counts = [
            connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("decisions", "outcomes", "feedback")
        ]
        assert counts == [2 * (4 * 300 + 40), 2 * 4 * 300, 2 * 40]
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()


def can_mount(folder: Path) -> bool:
    """Whether this machine lets a process mount a small disk of its own."""
    try:
        tried = subprocess.run(
            [*OWN_MOUNTS, "mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)],
            capture_output=True,
            timeout=20,
        )
    except OSError:
        return False
    return tried.returncode == 0


def check_recovery(seen: dict[str, Any], file_of: Path | None) -> None:
    """What must hold whatever took the space away."""
    assert seen["healthy"] is False
    assert "send it again" in seen["refused"]
    assert seen["refused_after_s"] < 3.0
    assert seen["queued"] == 2_000
    assert seen["waiting_is_found"]
    assert seen["written_is_found"]
    assert seen["healthy_after"] is True
    assert seen["dropped"] == 0
    if file_of is not None:
        kept = {record.decision.id: [given.id for given in record.feedback] for record in read_labelled(file_of)}
        assert kept == {"dec_0": ["before"], "dec_1000": ["after"]}


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On a full disk feedback is refused at once; when there is space again everything queued is written."""
    if can_mount(tmp_path):
        # The file is read inside, because the mount is gone with the process.
        inside = (
            'mount -t tmpfs -o size=6m tmpfs "$0" && "$@" && cp "$0"/log.db "$0"/log.db-* "$KEEP" 2>/dev/null; exit 0'
        )
        keep = tmp_path.with_name(f"{tmp_path.name}-kept")
        keep.mkdir()
        command = [*OWN_MOUNTS, "sh", "-c", inside, str(tmp_path), *PROGRAM, "disk", str(tmp_path)]
        environment, expected = {**os.environ, "KEEP": str(keep)}, "disk_full"
    else:
        command, keep, environment, expected = (
            [*PROGRAM, "limit", str(tmp_path)],
            tmp_path,
            dict(os.environ),
            "io_error",
        )
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    seen = json.loads(done.stdout)
    assert seen["reason"] == expected
    check_recovery(seen, keep / "log.db")


def test_a_file_size_limit_loses_nothing(tmp_path: Path) -> None:
    """When the system refuses to let the file grow, nothing queued and nothing acknowledged is lost."""
    done = subprocess.run([*PROGRAM, "limit", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    seen = json.loads(done.stdout)
    assert seen["reason"] == "io_error"
    check_recovery(seen, tmp_path / "log.db")


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "reason"), [(0o555, None, "cannot_open"), (0o777, 0o444, "read_only")]
)
async def test_a_place_that_may_not_be_written_is_reported(
    folder_mode: int, file_mode: int | None, reason: str
) -> None:
    """A log that may not be written leaves the gateway running, refuses feedback and says why."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if file_mode is not None:
            await opened(folder / "log.db").close()
            (folder / "log.db").chmod(file_mode)
        folder.chmod(folder_mode)
        done = subprocess.run([*PROGRAM, "forbidden", name], cwd=ROOT, capture_output=True, text=True, timeout=60)
        folder.chmod(0o777)
    assert json.loads(done.stdout) == {"healthy": False, "reason": reason}


async def test_feedback_waits_for_a_locked_file(tmp_path: Path) -> None:
    """Feedback outlasts several tries to write while somebody else holds the file, and is refused in none of them."""
    log = opened(tmp_path / "log.db", answer_s=60.0)
    log.record_decision(a_request(1), a_decision(1), None)
    await log.flush()
    blocker = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    given = asyncio.create_task(log.add_feedback(some_feedback(1)))
    flushed = asyncio.create_task(log.flush())
    await until(lambda: log.status().last_error_reason == "locked")
    log.record_decision(a_request(2), a_decision(2), None)
    second = asyncio.create_task(log.add_feedback(some_feedback(2)))
    await asyncio.sleep(0.2)
    assert not given.done()
    assert not second.done()
    blocker.execute("ROLLBACK")
    blocker.close()
    await asyncio.gather(given, flushed, second)
    assert log.status().healthy
    await log.close()
    kept = {record.decision.id: len(record.feedback) for record in read_labelled(tmp_path / "log.db")}
    assert kept == {a_decision(1).id: 1, a_decision(2).id: 1}


def test_feedback_that_nobody_waits_for_any_more_is_not_tried_again() -> None:
    """After a failed try whoever was told to send it again is left out; the others keep their order and wait on."""
    backlog = Backlog(10, 1_000_000)
    given = [some_feedback(number) for number in range(3)]
    first, gone = (backlog.add_feedback(one) for one in given[:2])
    flushed, left = backlog.barrier(), backlog.barrier()
    batch = backlog.take(10)
    last = backlog.add_feedback(given[2])
    assert gone.cancel()
    assert left.cancel()
    backlog.restore(batch, None)
    again = backlog.take(10)
    assert [one for one, _ in again.feedback] == [given[0], given[2]]
    backlog.done(again)
    assert [future.result(0) for future in (first, last, flushed)] == [None, None, None]


def test_a_file_that_another_makes_a_database_is_opened_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses at once, whatever its time limit, where two would turn a new file over; it is tried again."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        other.execute("ROLLBACK")

    monkeypatch.setattr(database.time, "sleep", pause)
    ours = database.Database(path, busy_s=60.0)
    assert ours.connection().execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(pauses) == 1
    ours.discard()
    other.close()


async def test_a_file_that_stays_locked_is_said_to_be(tmp_path: Path) -> None:
    """While another process holds the file for long feedback is refused; afterwards what waited is written."""
    log = opened(tmp_path / "log.db")
    log.record_decision(a_request(1), a_decision(1), None)
    await log.flush()
    blocker = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    log.record_decision(a_request(2), a_decision(2), None)
    with pytest.raises(StoreUnavailable, match="locked"):
        await log.add_feedback(some_feedback(2))
    assert log.status().last_error_reason == "locked"
    blocker.execute("ROLLBACK")
    blocker.close()
    await until(lambda: log.status().queued == 0)
    assert log.status().healthy
    await log.add_feedback(some_feedback(2))
    await log.close()


async def test_a_corrupt_file_is_reported_and_can_be_moved_away(tmp_path: Path) -> None:
    """A file that is no database is left untouched; moved away, a new one takes what waited, without a restart."""
    path = tmp_path / "log.db"
    garbage = b"this is not a database" * 500
    path.write_bytes(garbage)
    log = opened(path)
    assert log.status().last_error_reason == "corrupt"
    log.record_decision(a_request(1), a_decision(1), None)
    with pytest.raises(StoreUnavailable, match="corrupt"):
        await log.add_feedback(some_feedback(1))
    assert path.read_bytes() == garbage
    path.rename(tmp_path / "broken.db")
    await log.add_feedback(some_feedback(1))
    await log.close()
    assert [record.decision.id for record in read_labelled(path)] == ["dec_1"]


async def test_a_file_that_was_moved_is_not_written_to(tmp_path: Path) -> None:
    """When the file is exchanged under a running log, records go to the file that bears the name."""
    path = tmp_path / "log.db"
    log = opened(path)
    log.record_decision(a_request(1), a_decision(1), None)
    await log.flush()
    for file in tmp_path.iterdir():
        file.rename(file.with_name("old-" + file.name))
    log.record_decision(a_request(2), a_decision(2), None)
    await log.add_feedback(some_feedback(2))
    with pytest.raises(UnknownDecision):
        await log.add_feedback(some_feedback(1))
    await log.close()
    assert [record.decision.id for record in read_labelled(path)] == ["dec_2"]


async def test_an_unknown_decision_is_not_guessed_when_the_file_cannot_be_read(tmp_path: Path) -> None:
    """Without a readable file an unknown id is "unavailable", not "unknown"."""
    path = tmp_path / "log.db"
    path.write_bytes(b"garbage, garbage, garbage, garbage" * 100)
    log = opened(path)
    with pytest.raises(StoreUnavailable):
        await log.find("dec_1")
    await log.close()


async def test_the_oldest_give_way_when_too_many_wait(tmp_path: Path) -> None:
    """Beyond its bound the queue drops the oldest records, counts them, and keeps the newest to be asked for."""
    path = tmp_path / "log.db"
    path.write_bytes(b"garbage, garbage, garbage, garbage" * 100)
    log = opened(path, queue_limit=100)
    for number in range(250):
        log.record_decision(a_request(number), a_decision(number), None)
    status = log.status()
    assert status.queued <= 200
    assert status.dropped + status.queued == 250
    assert await log.find("dec_249") is not None
    with pytest.raises(StoreUnavailable):
        await log.find("dec_0")
    await log.close()


async def test_large_prompts_do_not_pile_up(tmp_path: Path) -> None:
    """The queue is bounded in bytes too, so that megabyte prompts cannot fill the memory during an outage."""
    path = tmp_path / "log.db"
    path.write_bytes(b"garbage, garbage, garbage, garbage" * 100)
    log = opened(path, queue_bytes=10_000_000)
    text = "x" * 1_000_000
    for number in range(50):
        log.record_decision(a_request(number, text=text), a_decision(number), None)
    assert log.status().queued <= 10
    assert log.status().dropped >= 40
    await log.close()


async def test_feedback_finds_a_decision_of_another_worker(tmp_path: Path) -> None:
    """A decision that another process has queued but not yet written can be judged and looked up."""
    first, second = (opened(tmp_path / "log.db", settle_s=2.0, linger_s=0.2) for _ in range(2))
    first.record_decision(a_request(1), a_decision(1), None)
    first.record_outcome(an_outcome(1))
    await second.add_feedback(some_feedback(1))
    found = await second.find("dec_1")
    assert found is not None
    assert len(found.feedback) == 1
    await first.close()
    await second.close()


def test_a_log_closed_at_the_end_of_the_interpreter_is_written(tmp_path: Path) -> None:
    """Closing works when threads can no longer be started, and says nothing on standard error."""
    done = subprocess.run([*PROGRAM, "exit", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, '"recorded"\n', "")
    connection = sqlite3.connect(tmp_path / "log.db")
    assert connection.execute("SELECT id FROM decisions").fetchall() == [("dec_1",)]
    connection.close()


async def test_closing_is_bounded_when_nothing_can_be_written(tmp_path: Path) -> None:
    """A broken store does not hold up the shutdown."""
    path = tmp_path / "log.db"
    path.write_bytes(b"garbage, garbage, garbage, garbage" * 100)
    log = opened(path, answer_s=1.0)
    log.record_decision(a_request(1), a_decision(1), None)
    began = time.monotonic()
    await log.close()
    assert time.monotonic() - began < 5.0
    with pytest.raises(StoreUnavailable):
        await log.add_feedback(some_feedback(1))
