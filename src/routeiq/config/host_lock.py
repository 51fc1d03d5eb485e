"""One process of a host at a time: a locked file with a heartbeat.

Owns who may go on when a process ends (at once: the kernel takes its lock away) and when one stands still (after its
lease, because a process that was stopped keeps its lock). Who comes back later finds by a fencing number that another
has gone on in its place (`config.artifact_cache`).
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL_S = 0.05
BEATS = 4
"""How often the holder says that it is alive, in one lease."""


@contextmanager
def host_lock(path: Path, *, lease_s: float, wait_s: float = 0.0) -> Iterator[bool]:
    """Say whether this process has the lock, after waiting for it at most `wait_s` seconds.

    A holder that has not said for `lease_s` seconds that it is alive is replaced.
    """
    deadline = time.monotonic() + wait_s
    while (file := _take(path, lease_s)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if file is None:
        yield False
        return
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(file.fileno(), lease_s, done), name="routeiq-lock", daemon=True)
    beating.start()
    try:
        yield True
    finally:
        done.set()
        beating.join()
        file.close()


def _take(path: Path, lease_s: float) -> IO[bytes] | None:
    """Return the locked file, or None while another lives that has it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        replaced = _replace(path, file, lease_s)
        file.close()
        return replaced
    if not _is(path, file):  # another has put a new file in its place
        file.close()
        return None
    os.utime(file.fileno())
    return file


def _replace(path: Path, held: IO[bytes], lease_s: float) -> IO[bytes] | None:
    """Put a locked file of our own in the place of one whose holder stands still; None when it does not."""
    if time.time() - os.fstat(held.fileno()).st_mtime < lease_s:
        return None
    ours = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    file = ours.open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)
    with path.with_name(path.name + ".turn").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if _is(path, held):
            os.replace(ours, path)
            return file
    file.close()
    ours.unlink(missing_ok=True)
    return None


def _is(path: Path, file: IO[bytes]) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == ((mine := os.fstat(file.fileno())).st_dev, mine.st_ino)


def _beat(handle: int, lease_s: float, done: threading.Event) -> None:
    while not done.wait(lease_s / BEATS):
        os.utime(handle)
