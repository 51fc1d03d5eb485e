"""Folders of one run among the system's temporary files, which the next run removes when this one could not.

Owns the lock by which a folder in use is told from one that a killed process left: the kernel takes it away when the
last process that holds it ends, be it the one that made the folder or one that was forked from it. What is in a folder
belongs to who asked for it.
"""

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class Scratch:
    """A new folder that only this user can enter, gone with `close` or with the process; a context manager.

    Folders of the same `kind`, which is one word, whose processes are gone are removed first. Raises OSError where no
    folder can be made.
    """

    def __init__(self, kind: str) -> None:
        prefix = f"routeiq-{kind}-"
        sweep(prefix)
        self.path, held = _make(prefix)
        self._end = weakref.finalize(self, _remove, self.path, held, os.getpid())

    def close(self) -> None:
        """Remove the folder; may be called again."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(prefix: str) -> None:
    """Remove this user's temporary folders whose names begin so and which no process holds."""
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
    for path in found:
        with suppress(OSError):  # somebody else's, or gone meanwhile
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(held).st_uid == os.getuid():
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)


def _make(prefix: str) -> tuple[Path, int]:
    """Return a new folder and the open lock on it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another run took it for a left one before it was locked
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        except OSError:  # a file system without locks: nothing is ever taken for a left one
            return path, held
        if path.exists():
            return path, held
        os.close(held)


def _remove(path: Path, held: int, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)
