"""The audit in files: one chain for all processes of a host, which shows what was done to it, and loses nothing."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.files.audit import FileAudit
from routeiq.adapters.files.audit_chain import TAIL_BYTES, Keeping
from routeiq.adapters.files.audit_lines import files_of, newest_first, verify
from routeiq.core.audit import GATEWAY
from routeiq.core.errors import AuditBroken, ConfigError, DataError
from routeiq.testing.fakes import FakeClock
from tests.unit.adapters.files.audit_processes import SMALL, an_event, opened
from tests.unit.adapters.sql.sqlite.test_outages import OWN_MOUNTS, ROOT, can_mount

PROGRAM = [sys.executable, "-m", "tests.unit.adapters.files.audit_processes"]


def start(program: str, folder: Path, name: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen([*PROGRAM, program, str(folder), name], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def said(folder: Path) -> list[dict[str, Any]]:
    """What the lines say, the oldest first."""
    return [dict(entry) for entry in newest_first(folder)][::-1]


def keep(folder: Path, *numbers: int, **changes: Any) -> FileAudit:
    """Record events, each in a write of its own, and close."""
    audit = opened(folder, **changes)
    for number in numbers:
        audit.record(an_event(number))
        assert audit.flush(30.0)
    assert audit.close()
    return audit


def test_what_is_flushed_is_in_the_file_and_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Each line has its event, the number and the hash of the one before, also from one process to the next."""
    keep(tmp_path, 1, 2)
    keep(tmp_path, 3)
    found = said(tmp_path)
    assert [(entry["seq"], entry["subject"]) for entry in found] == [(1, "s1"), (2, "s2"), (3, "s3")]
    assert [entry["prev"] for entry in found[1:]] == [entry["hash"] for entry in found[:-1]]
    assert verify(tmp_path).form() == {
        "holds": True,
        "lines": 3,
        "files": 1,
        "first": 1,
        "last": 3,
        "hash": found[-1]["hash"],
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_workers_of_a_host_write_one_chain(tmp_path: Path) -> None:
    """Three processes that record at once lose nothing, fill several files, and the chain holds through all of them."""
    workers = [start("share", tmp_path, name) for name in "abc"]
    try:
        assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    found = verify(tmp_path)
    assert (found.lines, found.first) == (180, 1)
    assert found.files > 1
    by_worker = {name: [e["subject"] for e in said(tmp_path) if e["worker"] == name] for name in "abc"}
    assert by_worker == {name: [f"s{number}" for number in range(60)] for name in "abc"}


def test_what_was_durable_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 every event whose flush returned is there, half a line is cut off, and the chain goes on."""
    process = start("write", tmp_path)
    assert process.stdout is not None
    durable = 0
    while durable < 50:
        durable = int(process.stdout.readline())
    process.kill()
    rest = process.communicate(timeout=30)[0].split()
    durable = int(rest[-1]) if rest else durable
    found = {entry["subject"] for entry in said(tmp_path)}
    assert {f"s{number}" for number in range(durable + 1)} <= found
    with files_of(tmp_path)[-1][1].open("ab") as file:
        file.write(b'{"seq":9999,"at":')
    verify(tmp_path)  # half a line at the very end may be one that is being written
    keep(tmp_path, 7)
    torn, last = said(tmp_path)[-2:]
    assert (torn["kind"], torn["after"], last["subject"]) == ("audit.torn", "17 bytes", "s7")
    verify(tmp_path)


def changed(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"s3"', b'"s8"') for line in lines]


def signed_again(lines: list[bytes]) -> list[bytes]:
    """Line 3 with other content and a hash of its own that holds, but is not what line 4 names."""
    from routeiq.adapters.files.audit_lines import Link, line_of

    before = json.loads(lines[1])
    line, _ = line_of(an_event(8), Link(2, before["hash"]))
    return [*lines[:2], line[:-1], *lines[3:]]


@pytest.mark.parametrize(
    ("tamper", "row", "why"),
    [
        (changed, 3, "not what it was"),
        (signed_again, 4, "line 4 of the chain was expected here"),
        (lambda lines: lines[:2] + lines[3:], 3, "line 3 of the chain was expected here, found 4"),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 3, "found 4"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3, "found 2"),
        (lambda lines: lines[2:], 1, "named for line 1, but begins with line 3"),
        (lambda lines: [*lines[:2], b"nonsense", *lines[2:]], 3, "does not end with its hash"),
    ],
    ids=["changed", "signed again", "removed", "swapped", "doubled", "beginning removed", "put in"],
)
def test_tampering_is_named_by_its_first_line(
    tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]], row: int, why: str
) -> None:
    """Whatever is done to a line, verifying names the file and the first line that does not hold; writing goes on."""
    keep(tmp_path, 1, 2, 3, 4, 5)
    path = files_of(tmp_path)[0][1]
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"\n".join([*tamper(lines), b""]))
    with pytest.raises(AuditBroken, match=rf"{path.name}:{row}: .*{why}"):
        verify(tmp_path)
    keep(tmp_path, 6)
    assert said(tmp_path)[-1]["subject"] == "s6"


def test_an_end_that_was_changed_does_not_end_the_audit(tmp_path: Path) -> None:
    """After a last line that does not hold the next writer goes on, says so, and verifying still names that line."""
    keep(tmp_path, 1, 2)
    path = files_of(tmp_path)[0][1]
    path.write_bytes(path.read_bytes().replace(b'"s2"', b'"s9"'))
    keep(tmp_path, 3)
    assert [entry["kind"] for entry in said(tmp_path)][2:] == ["audit.broken", "config.reloaded"]
    with pytest.raises(AuditBroken, match=":2: "):
        verify(tmp_path)


def test_an_end_that_is_cut_off_while_it_is_written_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that finds fewer lines than it wrote says which is gone, in the chain and in the log."""
    audit = opened(tmp_path)
    for number in (1, 2):
        audit.record(an_event(number))
        assert audit.flush(30.0)
    gone = said(tmp_path)[-1]["hash"]
    path = files_of(tmp_path)[0][1]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    audit.record(an_event(3))
    assert audit.close()
    assert [(e["kind"], e["before"], e["result"]) for e in said(tmp_path)[1:2]] == [("audit.broken", gone, "failed")]
    assert f"line 2 with hash {gone} was removed" in caplog.text


def test_files_are_closed_by_size_and_age_and_removed_by_total_and_age(tmp_path: Path) -> None:
    """Old files go, the chain says which, and holds; a file that somebody else removed is missed."""
    clock = FakeClock(1_000_000.0)
    keeping = Keeping(file_bytes=1_500, total_bytes=6_000)
    audit = opened(tmp_path, clock=clock, keeping=keeping)
    for number in range(60):
        audit.record(an_event(number, at=clock.now()))
        assert audit.flush(30.0)
    found = verify(tmp_path)
    assert found.first > 1
    assert 3 <= found.files <= 6
    assert any(entry["kind"] == "audit.pruned" for entry in said(tmp_path))
    spared = tmp_path / "spared"
    shutil.copytree(tmp_path, spared)
    files_of(spared)[0][1].unlink()
    with pytest.raises(AuditBroken, match="are missing, and nothing says why"):
        verify(spared)
    shutil.rmtree(spared)
    files_of(tmp_path)[1][1].unlink()
    with pytest.raises(AuditBroken, match=r":1: line \d+ of the chain was expected here"):
        verify(tmp_path)
    assert audit.close()


def test_age_closes_a_file(tmp_path: Path) -> None:
    """A file that was begun long ago gets no more lines."""
    clock = FakeClock(1_000_000.0)
    audit = opened(tmp_path, clock=clock, keeping=Keeping(file_s=100.0))
    for number in range(4):
        audit.record(an_event(number, at=clock.now()))
        assert audit.flush(30.0)
        clock.advance(60.0)
    assert audit.close()
    assert [first for first, _ in files_of(tmp_path)] == [1, 3]


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Events wait while there is no space, a flush says so at once, and all of them are there when there is."""
    if can_mount(tmp_path):
        inside = 'mount -t tmpfs -o size=256k tmpfs "$0" && "$@" && cp -r "$0"/audit "$KEEP"'
        keep_in = tmp_path.with_name(f"{tmp_path.name}-kept")
        keep_in.mkdir()
        command = [*OWN_MOUNTS, "sh", "-c", inside, str(tmp_path), *PROGRAM, "full", str(tmp_path)]
        environment, word = {**os.environ, "KEEP": str(keep_in)}, "disk_full"
    else:
        limited = 'ulimit -f 8 && exec "$@"'
        command = ["sh", "-c", limited, "sh", *PROGRAM, "full", str(tmp_path)]
        keep_in, environment, word = tmp_path, dict(os.environ), "file_too_large"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.stdout.strip() == f"False,{word},40,True,None,0", done.stderr
    assert verify(keep_in / "audit").lines == 41


def test_a_lock_that_is_not_given_back_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a frozen process holds the lock events wait, and are written when it has ended."""
    monkeypatch.setattr("routeiq.adapters.files.audit_chain.LOCKED_S", 0.2)
    holder = start("hold", tmp_path)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        audit = opened(tmp_path)
        audit.record(an_event(1))
        assert not audit.flush(60.0)
        assert (audit.trouble, audit.queued) == ("locked", 1)
    finally:
        holder.kill()
        holder.communicate()
    written = threading.Event()
    audit.on_written(written.set)
    assert written.wait(60.0)
    assert (audit.trouble, audit.queued, verify(tmp_path).lines) == (None, 0, 1)
    assert audit.close()


def test_what_does_not_fit_is_counted_and_told(tmp_path: Path) -> None:
    """Beyond its bound the queue takes no more; the chain says how many were lost, when it can be written again."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    audit = opened(blocked / "audit", limit=5)
    for number in range(8):
        audit.record(an_event(number))
    assert not audit.flush(60.0)
    assert (audit.trouble, audit.queued, audit.dropped) == ("cannot_write", 5, 3)
    blocked.unlink()
    written = threading.Event()
    audit.on_written(written.set)
    assert written.wait(60.0)
    assert [e["subject"] for e in said(blocked / "audit")] == [*(f"s{n}" for n in range(5)), "queue"]
    assert said(blocked / "audit")[-1]["after"] == "3 events"
    assert audit.close()


def test_closing_writes_what_waits_and_says_what_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Closing tries once more even after failures; what still cannot be written is counted in a log line."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    audit = opened(blocked)
    audit.record(an_event(1))
    assert not audit.flush(60.0)
    assert not audit.close()
    assert "1 events could not be written before the end (cannot_write)" in caplog.text
    audit = opened(blocked)
    audit.record(an_event(2))
    assert not audit.flush(60.0)
    blocked.unlink()
    assert audit.close()
    assert [entry["subject"] for entry in said(blocked)] == ["s2"]


def test_no_key_and_no_secret_gets_in(tmp_path: Path) -> None:
    """An actor is a salted hash whatever was given, and texts are cleaned and short."""
    audit = opened(tmp_path, clean=lambda text: text.replace("sk-secret", "[redacted]"))
    audit.record(an_event(actor="sk-secret-key", subject="sk-secret", before="sk-secret", request_id="sk-secret"))
    audit.record(an_event(actor=GATEWAY, after="x" * 10_000))
    assert audit.close()
    content = b"".join(path.read_bytes() for _, path in files_of(tmp_path))
    assert b"sk-secret" not in content
    assert len(content) < 2_000
    first, second = said(tmp_path)
    assert first["actor"].startswith("key:")
    assert first["actor"] == audit.pseudonym("sk-secret-key") != opened(tmp_path, salt=lambda: b"x" * 32).pseudonym("k")
    assert second["actor"] == "gateway"


def test_a_salt_that_cannot_be_read_is_a_trouble(tmp_path: Path) -> None:
    """Without its salt nothing is written, as actors would be known by it."""

    def gone() -> bytes:
        raise ConfigError("salt: no such file")

    audit = opened(tmp_path, salt=gone)
    audit.record(an_event())
    assert not audit.flush(60.0)
    assert audit.trouble == "config_invalid"
    assert not audit.close()


def test_longest_lines_fit_into_what_is_read_of_the_end(tmp_path: Path) -> None:
    """Even a line of nothing but characters that JSON writes as six is far shorter than the tail that is read."""
    wide = "\N{GRINNING FACE}" * 10_000
    audit = opened(tmp_path)
    audit.record(an_event(subject=wide, before=wide, after=wide, reason=wide, request_id=wide))
    assert audit.close()
    assert files_of(tmp_path)[0][1].stat().st_size < TAIL_BYTES / 4
    keep(tmp_path, 2)
    assert verify(tmp_path).lines == 2


def test_reading_goes_backwards_from_a_number(tmp_path: Path) -> None:
    """Entries come newest first over all files, and from before a number on."""
    keep(tmp_path, *range(100), keeping=SMALL)
    assert len(files_of(tmp_path)) > 1
    assert [entry["seq"] for entry in newest_first(tmp_path)] == list(range(100, 0, -1))
    assert [entry["seq"] for entry in newest_first(tmp_path, before=40)] == list(range(39, 0, -1))


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    """A folder without an audit is named."""
    with pytest.raises(DataError, match=str(tmp_path)):
        verify(tmp_path)
