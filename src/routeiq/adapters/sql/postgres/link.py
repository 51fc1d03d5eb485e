"""One connection to PostgreSQL that nobody waits for without end, made again when it broke or when the URL changed.

Owns how a connection is opened, its deadline, and the words for what can go wrong. The URL, with its password, is never
shown: what the driver says is not repeated. Each thread has a link of its own.
"""

import math
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from routeiq.adapters.sql.postgres.schema import migrate
from routeiq.core.errors import ConfigError, RouteIQError

Answer = TypeVar("Answer")
Connection: TypeAlias = "BoundedConnection"

BOUND_S: Final = 2.0
"""How long a transaction may take; a connection may take as long again."""

NOT_ANSWERED: Final = "timeout"

ROWS_FAULT: Final = ("22", "23", "54")
"""Classes of errors that lie in a row and would come again: data, integrity, limits."""

REASONS: Final = {
    "08": "unreachable",
    "28": "login_refused",
    "3D": "no_database",
    "42501": "not_permitted",
    "25006": "read_only",
    "53100": "disk_full",
    "53300": "too_many_connections",
    "55P03": "locked",
    "57P": "restarting",
}
"""Words for PostgreSQL's error codes, by their beginning; docs/operations/postgresql.md says what to do about each."""


class NotAnswered(psycopg.OperationalError):
    """PostgreSQL did not answer before the deadline; the connection is of no use any more."""


class BoundedConnection(psycopg.Connection[dict[str, Any]]):
    """A connection whose every wait ends at `deadline` (on the monotonic clock) with NotAnswered."""

    deadline: float = math.inf

    def wait(self, gen: Generator[Any, Any, Answer], *arguments: Any, **named: Any) -> Answer:
        """Run what the driver does on the connection, until the deadline."""
        return super().wait(self._bounded(gen), *arguments, **named)

    def _bounded(self, gen: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
        # Without an answer the driver comes back ten times a second with nothing that is ready.
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > self.deadline:
                    raise NotAnswered("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def reason_of(error: BaseException) -> str:
    """Return the word for an error of PostgreSQL or of the way to it; `internal` for any other."""
    if isinstance(error, NotAnswered | psycopg.errors.ConnectionTimeout):
        return NOT_ANSWERED
    code = getattr(error, "sqlstate", None) or ""
    found = next((word for prefix, word in REASONS.items() if code.startswith(prefix)), None)
    if found is not None:
        return found
    if isinstance(error, RouteIQError):
        return error.reason
    if isinstance(error, psycopg.OperationalError) and not code:
        # A refused login has no code when it comes while connecting.
        return "login_refused" if "authentication failed" in str(error) else "unreachable"
    return "postgresql" if isinstance(error, psycopg.Error) else "internal"


class Link:
    """A connection that is opened when it is first needed. `url` is asked before each use and never kept in a message.

    Each use has `bound_s` seconds.
    """

    def __init__(self, url: Callable[[], str], bound_s: float = BOUND_S) -> None:
        self._url = url
        self._bound_s = bound_s
        self._connection: BoundedConnection | None = None
        self._opened_with = ""
        self._in_use = threading.Lock()

    def run(self, call: Callable[[BoundedConnection], Answer]) -> Answer:
        """Return what a call on the connection returns. It is made again on a new connection when an old one broke.

        The call must not mind being made twice. Raises as `connection`, and what the call raises; the connection is
        given up then.
        """
        with self._in_use:
            reused = self._connection is not None
            try:
                return call(self.connection())
            except psycopg.Error as error:
                # A server that was restarted, or tables that were dropped, are noticed at the first use afterwards.
                self.discard()
                if not reused or isinstance(error, NotAnswered) or (error.sqlstate or "").startswith(ROWS_FAULT):
                    raise
            try:
                return call(self.connection())
            except psycopg.Error:
                self.discard()
                raise

    def follow(self) -> None:
        """Close the connection if the URL is another by now and nobody uses it; from any thread."""
        if not self._in_use.acquire(blocking=False):
            return
        try:
            if self._connection is not None and self._url() != self._opened_with:
                self.discard()
        except ConfigError:
            return
        finally:
            self._in_use.release()

    def connection(self) -> BoundedConnection:
        """Return the connection, with its time running from now; opened again when the URL is another.

        Raises psycopg.Error, and ConfigError for a URL or a schema that cannot be used.
        """
        url = self._url()
        if self._connection is not None and (self._connection.closed or url != self._opened_with):
            self.discard()
        if self._connection is None:
            self._connection = self._open(url)
            self._opened_with = url
        self._connection.deadline = time.monotonic() + self._bound_s
        return self._connection

    def _open(self, url: str) -> BoundedConnection:
        try:
            opened = BoundedConnection.connect(
                url,
                autocommit=True,
                row_factory=dict_row,
                # Parameters are $1, $2, ...: to find others in a long statement takes milliseconds that requests need.
                cursor_factory=psycopg.RawCursor,
                # Poolers hand a connection to another for each transaction: nothing may be left in it.
                prepare_threshold=None,
                connect_timeout=max(2, math.ceil(self._bound_s)),
                fallback_application_name="routeiq",
                client_encoding="utf8",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
            )
        except psycopg.ProgrammingError:
            raise ConfigError("the URL of the database has an option that PostgreSQL does not know") from None
        try:
            opened.deadline = time.monotonic() + self._bound_s
            opened.adapters.register_loader("jsonb", TextLoader)
            migrate(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def discard(self) -> None:
        """Close the connection, if there is one; the next use opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
