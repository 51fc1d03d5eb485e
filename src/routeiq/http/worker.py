"""One worker: uvicorn's server around our edge, the signals and orders it obeys, and how it stops.

Owns the event loop's process from start to exit status. Which phase a drain is in is `guard.drain`'s business, what is
under way `http.traffic`'s, how many workers there are `http.supervisor`'s.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Protocol

import uvicorn

from routeiq.guard.drain import Phase
from routeiq.http.acceptor import Acceptor
from routeiq.http.edge import Edge

HEADERS_LIMIT: Final = 1 << 20
"""Most bytes of a request's head where h11 parses it; its own 16 KB cut a head that comes in pieces."""

TICK_S: Final = 0.1
KEEP_ALIVE_S: Final = 75
"""How long a connection may wait for its next request: longer than a load balancer keeps one (nginx: 60 s), as whoever
closes first must not be the one who is just being sent a request."""

IDLE_S: Final = 5.0
"""How long a worker that retires waits for a request on connections that have none."""

CUT_S: Final = 2.0
"""How long what was cut may take to say its last words."""

CLOSE_S: Final = 5
"""How long uvicorn waits for connections to close after everything has ended or was cut."""

logger = logging.getLogger(__name__)


class Order(IntEnum):
    """What a supervisor tells a worker, one byte each."""

    DRAIN = 1
    DRAIN_NOW = 2
    HURRY = 3
    RETIRE = 4


class Line(Protocol):
    """The worker's end of its connection to the supervisor (`multiprocessing.connection.Connection`)."""

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is an order."""
        ...

    def recv_bytes(self) -> bytes:
        """Return an order or a piece of news; raises EOFError when the supervisor is gone."""
        ...

    def send_bytes(self, message: bytes) -> None:
        """Tell the supervisor something."""
        ...


def _ignore(_: bytes) -> None:
    return


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands: its number, its supervisor if it has one, and what it shares with the others."""

    listener: socket.socket
    index: int = 0
    line: Line | None = None
    loads: MutableSequence[int] = field(default_factory=lambda: [0])
    news: Callable[[bytes], None] = _ignore
    """Is given what the supervisor says that is no order; see `http.foreman`."""


def serve(build: Callable[[], Edge], place: Place, log_level: str) -> None:
    """Serve until told to stop; returns when everything is closed.

    `build` makes the edge, inside the event loop. Raises SystemExit with status 3 when the start fails.
    """
    config = uvicorn.Config(
        build,
        factory=True,
        lifespan="on",
        log_level=log_level,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
        h11_max_incomplete_event_size=HEADERS_LIMIT,
    )
    made: list[Edge] = []

    def once() -> Edge:
        made.append(build())
        return made[0]

    config.app = once
    WorkerServer(config, place, made).run()


class WorkerServer(uvicorn.Server):  # type: ignore[misc]  # uvicorn is not looked into
    """Uvicorn's server with our way of accepting, of obeying and of stopping."""

    def __init__(self, config: Any, place: Place, made: list[Edge]) -> None:
        super().__init__(config)
        self._place = place
        self._made = made
        self._parent = os.getppid()
        self._retired_at: float | None = None
        self._cut_at: float | None = None
        self._standing = 0
        self._drained_at: float | None = None
        self._acceptor = Acceptor(
            place.listener, self._protocol, lambda: len(self.server_state.connections), place.loads, place.index
        )

    @property
    def _edge(self) -> Edge:
        return self._made[0]

    def _protocol(self) -> Any:
        return self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept; the supervisor hears of it."""
        await super().startup(sockets=[])
        if self.should_exit:
            return
        self._acceptor.start()
        line = self._place.line
        if line is not None:
            asyncio.get_running_loop().add_reader(line.fileno(), self._obey, line)
            line.send_bytes(b"ready")

    async def main_loop(self) -> None:
        """Serve until there is nothing left to do."""
        counter = 0
        await self.on_tick(counter)
        while not self._done(time.monotonic()):
            counter = (counter + 1) % 864_000
            await asyncio.sleep(TICK_S)
            await self.on_tick(counter)
            self._acceptor.publish()

    def _done(self, now: float) -> bool:
        if self._place.line is not None and os.getppid() != self._parent:
            self.drain(lame_duck=False)
        phase, _ = self._edge.settle()
        if phase is Phase.CUTTING:
            self._cut_at = self._cut_at or now
            return not self._edge.traffic.under_way or now - self._cut_at >= CUT_S
        if phase is Phase.REFUSING:
            return not self._edge.traffic.under_way
        if self._retired_at is not None:
            idle = not self._edge.traffic.under_way and now - self._retired_at > IDLE_S
            return idle or not self.server_state.connections
        return False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, have what is left close, and stop the application."""
        self._acceptor.stop()
        self._place.listener.close()
        traffic = self._edge.traffic
        seconds = 0.0 if self._drained_at is None else time.monotonic() - self._drained_at
        counts = {
            "under_way": self._standing,
            "cut": traffic.cut,
            "refused": traffic.refused,
            "seconds": round(seconds, 2),
        }
        logger.info("Graceful shutdown", extra={"routeiq": counts})
        if self._place.line is not None:
            asyncio.get_running_loop().remove_reader(self._place.line.fileno())
            self._tell(json.dumps(counts).encode())
        await super().shutdown(sockets=None)

    def drain(self, lame_duck: bool = True) -> bool:
        """Begin to stop; returns False when that had begun before."""
        begun = self._edge.drain(lame_duck)
        if begun:
            self._note_beginning()
        return begun

    def hurry(self) -> None:
        """Stop as soon as what is under way has heard of it."""
        self._edge.hurry()
        self._note_beginning()

    def retire(self) -> None:
        """Take no new connections and end when the present ones have gone; another worker is there already."""
        if self._retired_at is None:
            self._retired_at = time.monotonic()
            self._acceptor.stop()
            self._edge.retire()
            self._note_beginning()

    def _note_beginning(self) -> None:
        if self._drained_at is None:
            self._drained_at = time.monotonic()
            self._standing = len(self._edge.traffic.under_way)

    def _obey(self, line: Line) -> None:
        try:
            said = line.recv_bytes()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(line.fileno())
            self.drain(lame_duck=False)
            return
        if len(said) > 1:
            self._place.news(said)
            return
        order = Order(said[0])
        if order is Order.HURRY:
            self.hurry()
        elif order is Order.RETIRE:
            self.retire()
        else:
            self.drain(lame_duck=order is Order.DRAIN)

    def _tell(self, message: bytes) -> None:
        try:
            if self._place.line is not None:
                self._place.line.send_bytes(message)
        except OSError:
            logger.warning("the supervisor is gone")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals of a worker while it serves; one that is supervised leaves Ctrl-C to its supervisor."""
        supervised = self._place.line is not None
        handlers: dict[signal.Signals, Any] = {
            signal.SIGTERM: self._on_signal,
            signal.SIGINT: signal.SIG_IGN if supervised else self._on_signal,
        }
        if supervised:
            handlers[signal.SIGHUP] = signal.SIG_IGN
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        if not self._made or not self.started:
            raise SystemExit(128 + number)
        if self._place.line is not None:
            self.retire()
        elif not self.drain(lame_duck=number == signal.SIGTERM):
            self.hurry()
