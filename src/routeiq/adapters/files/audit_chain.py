"""The end of an audit's chain: where workers add lines.

Owns that all workers of a host write one chain, one at a time, under a lock that ends with the process that holds it:
with a file for each worker nobody would notice that one is missing, and the events of one change would stand in as many
places as there are workers. Events are rare, so that nobody waits long. Owns rotation and retention too, and what is
done about half a line that a crash left: it is cut off, and the chain says so.
"""

import fcntl
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from routeiq.adapters.files.audit_lines import BROKEN, CHAIN_ID, PRUNED, TORN, Link, files_of, line_of, link_of
from routeiq.core.audit import GATEWAY, AuditEvent, Result
from routeiq.core.ports import Clock

LOGGER: Final = logging.getLogger("routeiq.audit")

LOCK: Final = ".lock"
LOCKED_S: Final = 5.0
"""How long the lock is waited for before a try counts as failed: whoever holds it may be frozen."""

TAIL_BYTES: Final = 256 << 10
"""How much of the end of a file is read for its last line, which is far shorter."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long and how much: a file is closed at `file_bytes` or `file_s` after its first line, and removed `keep_s`
    after its last, or when all together are more than `total_bytes`. `fsync` is for a machine that loses power.
    """

    file_bytes: int = 16 << 20
    file_s: float = 30 * 86_400.0
    keep_s: float = 400 * 86_400.0
    total_bytes: int = 1 << 30
    fsync: bool = True


class Chain:
    """The chain of a folder. Blocks, and raises OSError."""

    def __init__(self, folder: Path, keeping: Keeping, clock: Clock) -> None:
        self.at = Link()
        self._folder, self._keeping, self._clock = folder, keeping, clock

    def write(self, events: Sequence[AuditEvent]) -> None:
        """Add lines, all of them or none, durable when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            path, at, found = self._end()
            if at.seq < self.at.seq:
                LOGGER.error("audit: line %d with hash %s was removed from %s", self.at.seq, self.at.hash, self._folder)
                found.append(self._said(BROKEN, path, self.at.hash, f"line {self.at.seq} was removed", "failed"))
            path, gone = self._room(path, at)
            pruned = [self._said(PRUNED, old, last.hash, f"line {last.seq}") for old, last in gone]
            lines = []
            for event in (*found, *pruned, *events):
                line, at = line_of(event, at)
                lines.append(line)
            self._append(path, b"".join(lines))
            self.at = at
            for old, _ in gone:
                old.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the folder; raises BlockingIOError when somebody else does for too long."""
        handle = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + LOCKED_S
            while not _locked(handle, last=time.monotonic() > until):
                time.sleep(0.01)
            yield
        finally:
            os.close(handle)

    def _end(self) -> tuple[Path, Link, list[AuditEvent]]:
        """Return the file to write to, the last link, and what has to be said of what was found there."""
        files = files_of(self._folder)
        if not files:
            _write(self._folder / CHAIN_ID, f"{secrets.token_hex(6)}\n".encode(), os.O_TRUNC)
            return self._named(1), Link(), []
        path, told = files[-1][1], []
        cut = _cut(path)
        if cut:
            told.append(self._said(TORN, path, hashlib.sha256(cut).hexdigest(), f"{len(cut)} bytes"))
        for first, file in reversed(files):  # the newest is empty if a crash came right after it was made
            line = _tail(file).rstrip(b"\n").rpartition(b"\n")[2]
            if line:
                link, holds = _taken_as(line, first)
                if not holds:
                    told.append(self._said(BROKEN, file, link.hash, f"line {link.seq}", "failed"))
                return path, link, told
        return path, Link(), told

    def _room(self, path: Path, at: Link) -> tuple[Path, list[tuple[Path, Link]]]:
        """Return the file to write to, a new one if this one is full or old, and then those that were kept enough."""
        size = path.stat().st_size if path.exists() else 0
        if size == 0:
            return path, []
        if size < self._keeping.file_bytes and self._clock.now() - _began(path) < self._keeping.file_s:
            return path, []
        LOGGER.info("audit: %s is closed, its last line %d has hash %s", path.name, at.seq, at.hash)
        return self._named(at.seq + 1), self._kept_enough()

    def _kept_enough(self) -> list[tuple[Path, Link]]:
        files = files_of(self._folder)
        total, now = sum(path.stat().st_size for _, path in files), self._clock.now()
        gone = []
        for first, path in files[:-1]:
            about = path.stat()
            if total <= self._keeping.total_bytes and now - about.st_mtime < self._keeping.keep_s:
                break
            gone.append((path, _taken_as(_tail(path).rstrip(b"\n").rpartition(b"\n")[2], first)[0]))
            total -= about.st_size
        return gone

    def _append(self, path: Path, content: bytes) -> None:
        new = not path.exists()
        _write(path, content, os.O_APPEND, fsync=self._keeping.fsync)
        if new and self._keeping.fsync:
            _sync_folder(self._folder)

    def _named(self, first: int) -> Path:
        return self._folder / f"audit-{first:012d}.jsonl"

    def _said(self, kind: str, path: Path, before: str, after: str, result: Result = "ok") -> AuditEvent:
        return AuditEvent(self._clock.now(), kind, GATEWAY, path.name, before, after, result)


def _locked(handle: int, *, last: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if last:
            raise
        return False
    return True


def _taken_as(line: bytes, first: int) -> tuple[Link, bool]:
    """Return the link that a last line is, and whether it holds; one that was tampered with must not end the audit."""
    try:
        return link_of(line)[0], True
    except ValueError:
        pass
    try:
        seq = int(json.loads(line)["seq"])
    except (ValueError, TypeError, KeyError):
        seq = first
    return Link(seq, hashlib.sha256(line).hexdigest()), False


def _began(path: Path) -> float:
    """Return when the first line of a file was recorded, the beginning of time when it does not say."""
    with path.open("rb") as file:
        line = file.readline(TAIL_BYTES)
    try:
        return float(json.loads(line)["at"])
    except (ValueError, TypeError, KeyError):
        return 0.0


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - TAIL_BYTES))
        return file.read()


def _cut(path: Path) -> bytes:
    """Cut half a line off the end of a file, and return it."""
    rest = _tail(path).rpartition(b"\n")[2]
    if rest:
        os.truncate(path, path.stat().st_size - len(rest))
    return rest


def _write(path: Path, content: bytes, how: int, *, fsync: bool = False) -> None:
    """Write to a file, all of it or nothing."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    try:
        size = os.fstat(handle).st_size
        try:
            while content:
                content = content[os.write(handle, content) :]
            if fsync:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
