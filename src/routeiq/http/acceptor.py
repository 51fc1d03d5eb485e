"""How a worker takes connections from a listening socket that it shares with others.

Owns the even share: the kernel wakes whoever it likes, and a client keeps its connection for hours, so that one worker
would be busy and another idle. A worker that has more connections than another lets go for a moment, once.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from typing import Any, Final

BACKLOG: Final = 2048
YIELD_S: Final = 0.002
"""How long a worker with too many connections leaves a new one to the others."""

EXHAUSTED_S: Final = 0.5
"""The pause when the machine has no file or memory left for a connection."""

ABSENT: Final = -1
"""The load of a place whose worker takes no connections."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Acceptor:
    """Accepts connections one by one. `loads` has the connections of each worker, this one's at `index`.

    `protocol` makes the protocol of a connection, `open_now` counts this worker's connections.
    """

    listener: socket.socket
    protocol: Callable[[], Any]
    open_now: Callable[[], int]
    loads: MutableSequence[int]
    index: int
    _loop: asyncio.AbstractEventLoop | None = None
    _yielded: bool = False
    _coming: int = 0

    def start(self) -> None:
        """Listen, and accept from now on."""
        self._loop = asyncio.get_running_loop()
        self.listener.setblocking(False)
        self.listener.listen(BACKLOG)
        self._loop.add_reader(self.listener.fileno(), self._readable)
        self.publish()

    def stop(self) -> None:
        """Accept no more; the socket stays open for the others. May be called again."""
        if self._loop is not None:
            self._loop.remove_reader(self.listener.fileno())
            self._loop = None
        self.loads[self.index] = ABSENT

    def publish(self) -> int:
        """Tell the others how many connections this worker has, and return it."""
        mine = self.open_now() + self._coming
        if self._loop is not None:
            self.loads[self.index] = mine
        return mine

    def _readable(self) -> None:
        loop = self._loop
        if loop is None or self._wait_for_others():
            return
        self._yielded = False
        try:
            connection, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            logger.error("no connection can be accepted: %s", error.strerror)
            self._pause(EXHAUSTED_S)
            return
        connection.setblocking(False)
        self._coming += 1
        self.publish()
        task = loop.create_task(self._take(connection))
        task.add_done_callback(_look_at)

    async def _take(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self.protocol, connection)
        except OSError:
            connection.close()
        finally:
            self._coming -= 1

    def _wait_for_others(self) -> bool:
        """Return whether this worker leaves the connection to one that has fewer; never twice in a row."""
        others = [load for place, load in enumerate(self.loads) if place != self.index and load != ABSENT]
        if self._yielded or not others or self.publish() <= min(others):
            return False
        self._yielded = True
        self._pause(YIELD_S)
        return True

    def _pause(self, seconds: float) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self.listener.fileno())
            self._loop.call_later(seconds, self._again)

    def _again(self) -> None:
        if self._loop is not None:
            self._loop.add_reader(self.listener.fileno(), self._readable)


def _look_at(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a connection was lost", exc_info=task.exception())


def bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, not listening yet; raises OSError, as when another process listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
