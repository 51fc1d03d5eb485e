"""One connection to the file of the outcome log, reopened when it broke or when the file was exchanged.

Owns pragmas, and the words for what can go wrong with a file. Not shared between threads.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from routeiq.adapters.sql.sqlite.schema import migrate
from routeiq.core.errors import RouteIQError

BUSY_S: Final = 1.0
"""How long a statement waits for another process's transaction."""

OPEN_AGAIN_S: Final = 0.02
"""Between two tries to open a file, in as long as a statement waits: of two that make a new file a database at once one
is refused without waiting, because neither could let go of what the other needs."""

REASONS: Final = {
    "SQLITE_FULL": "disk_full",
    "SQLITE_READONLY": "read_only",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "corrupt",
    "SQLITE_CANTOPEN": "cannot_open",
    "SQLITE_IOERR": "io_error",
}
"""Words for SQLite's error names, by their beginning; docs/reference/outcome-log.md says what to do about each."""


def reason_of(error: BaseException) -> str:
    """Return the word for an error of SQLite or of the file system; `internal` for any other."""
    name = getattr(error, "sqlite_errorname", None) or ""
    found = next((word for prefix, word in REASONS.items() if name.startswith(prefix)), None)
    if found is not None:
        return found
    if isinstance(error, RouteIQError):
        return error.reason
    if isinstance(error, OSError):
        return "cannot_open"
    return "sqlite" if isinstance(error, sqlite3.Error) else "internal"


class Database:
    """A connection that is opened when it is first needed and remembers which file it belongs to.

    A file with a limit takes no more when it is reached, as if the disk were full.
    """

    def __init__(self, path: Path, busy_s: float = BUSY_S, limit_bytes: int | None = None) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def connection(self) -> sqlite3.Connection:
        """Return the open connection, opened again if the file at the path is no longer the one that was opened.

        Raises sqlite3.Error, OSError, and ConfigError for a file of a newer RouteIQ.
        """
        if self._connection is not None and self._identity != _identity(self.path):
            self.discard()
        if self._connection is None:
            self._connection = self._opened()
            self._identity = _identity(self.path)
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        deadline = time.monotonic() + self._busy_s
        while True:
            try:
                return self._open()
            except sqlite3.Error as error:
                if reason_of(error) != "locked" or time.monotonic() >= deadline:
                    raise
            time.sleep(OPEN_AGAIN_S)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            # SQLite would let everybody read the file; its journal gets the mode of the file.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
        try:
            # In WAL mode readers never wait for the writer. FULL makes every commit reach the disk, on macOS too.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
            migrate(connection, str(self.path))
            if self._limit_bytes is not None:
                page = int(connection.execute("PRAGMA page_size").fetchone()[0])
                connection.execute(f"PRAGMA max_page_count = {max(1, self._limit_bytes // page)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def discard(self) -> None:
        """Close the connection, if there is one; the next use opens a new one."""
        connection, self._connection, self._identity = self._connection, None, None
        if connection is not None:
            connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another that took its name, None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
