"""Several workers over one listening socket: started, watched, replaced one by one, and stopped together.

Owns processes. Runs no event loop and imports nothing heavy: a process that is forked from it inherits what the caller
has loaded, and nothing that runs. When a worker is started again is `http.roster`'s business; what a worker does with
an order, `http.worker`'s.
"""

import json
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from typing import Any, Final

from routeiq.core.errors import RouteIQError
from routeiq.http.acceptor import ABSENT
from routeiq.http.foreman import Replacement, order_in
from routeiq.http.roster import Roster
from routeiq.http.worker import Order, Place

AFTER_LIMIT_S: Final = 20.0
"""How long after the limit of a drain a worker may take to cut, to write and to close, before it is killed."""

WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Worker:
    index: int
    process: Any
    line: Connection
    ready: bool = False


@dataclass(slots=True)
class Supervisor:
    """Runs `count` workers. `work(place)` is what each of them does, in its own process.

    `reload` is called before workers are replaced: it loads what the new ones inherit, and raises when that cannot be
    used; then the present ones go on. `limit_s` is the limit of a drain.
    """

    context: ForkContext | SpawnContext
    work: Callable[[Place], None]
    listener: socket.socket
    count: int
    limit_s: float
    reload: Callable[[], None] = lambda: None
    _roster: Roster = field(init=False)
    _loads: Any = field(init=False)
    _current: dict[int, _Worker] = field(default_factory=dict)
    _leaving: set[_Worker] = field(default_factory=set)
    _to_replace: deque[int] = field(default_factory=deque)
    _successor: _Worker | None = None
    _kill_at: float | None = None
    _failed: bool = False
    _counts: dict[str, float] = field(default_factory=dict)
    _told: bool = False
    _replacement: Replacement | None = None

    def __post_init__(self) -> None:
        self._roster = Roster(self.count)
        self._loads = self.context.RawArray("i", [ABSENT] * self.count)

    def run(self) -> int:
        """Run until told to stop, and return the exit status."""
        with self._signals() as woken:
            while True:
                now = time.monotonic()
                if self._kill_at is None:
                    for index in self._roster.due(now):
                        self._start_at(index)
                elif not self._all():
                    break
                elif now >= self._kill_at:
                    self._kill()
                self._wait(woken)
                if self._roster.hopeless and self._kill_at is None:
                    logger.error(
                        "workers end again and again as soon as they are started; giving up. Their first error is above"
                    )
                    self._failed = True
                    self._stop(Order.DRAIN_NOW)
        logger.info("Graceful shutdown: %s", json.dumps(self._counts))
        return int(self._failed)

    def _all(self) -> list[_Worker]:
        waiting = [] if self._successor is None else [self._successor]
        return [*self._current.values(), *self._leaving, *waiting]

    def _wait(self, woken: socket.socket) -> None:
        """Wait until something happens, and deal with it."""
        workers = self._all()
        due = self._roster.next_due() if self._kill_at is None else self._kill_at
        timeout = None if due is None else max(0.0, due - time.monotonic())
        lines = [worker.line for worker in workers if not worker.line.closed]
        happened = set(wait([woken, *lines, *(worker.process.sentinel for worker in workers)], timeout))
        if woken in happened:
            for number in woken.recv(64):
                self._on_signal(number)
        for worker in workers:
            if worker.line in happened:
                self._hear(worker)
            if worker.process.sentinel in happened:
                self._hear(worker)
                self._on_end(worker)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGUSR2:
            self._replace_all(f"signal-{time.time_ns()}")
        elif number == signal.SIGHUP:
            self._pass_on(signal.SIGHUP)
        elif self._kill_at is not None:
            self._stop(Order.HURRY)
        else:
            self._stop(Order.DRAIN if number == signal.SIGTERM else Order.DRAIN_NOW)

    def _pass_on(self, number: signal.Signals) -> None:
        for worker in self._all():
            if worker.ready:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, number)

    def _start_at(self, index: int) -> None:
        self._current[index] = self._start(index)
        self._roster.started(index)

    def _start(self, index: int) -> _Worker:
        ours, theirs = self.context.Pipe()
        strangers = [worker.line for worker in self._all() if not worker.line.closed]
        place = Place(self.listener, index, theirs, self._loads)
        entry = (self.work, place, [ours, *strangers] if self.context.get_start_method() == "fork" else [])
        # A signal between the fork and the worker's own handlers would be taken for one to this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            process = self.context.Process(target=_begin, args=entry, name=f"routeiq-worker-{index}")
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        theirs.close()
        logger.info("worker %d is process %d", index, process.pid)
        return _Worker(index, process, ours)

    def _hear(self, worker: _Worker) -> None:
        while not worker.line.closed:
            try:
                if not worker.line.poll():
                    return
                said = worker.line.recv_bytes()
            except (EOFError, OSError):
                worker.line.close()
                return
            order = order_in(said)
            if said == b"ready":
                self._on_ready(worker)
            elif order is not None:
                self._replace_all(order)
            else:
                for name, value in json.loads(said).items():
                    before = self._counts.get(name, 0)
                    self._counts[name] = max(before, value) if name == "seconds" else before + value

    def _on_ready(self, worker: _Worker) -> None:
        worker.ready = True
        if worker is self._successor:
            self._successor = None
            old = self._current.get(worker.index)
            self._current[worker.index] = worker
            if old is not None:
                self._leaving.add(old)
                self._order(old, Order.RETIRE)
            self._replaced_one()
        elif self._replacement is not None:
            self._say(worker, self._replacement.encoded())
        self._roster.ready(worker.index, time.monotonic())
        if self._roster.serving == self.count and not self._told:
            self._told = True
            logger.info("all %d workers serve", self.count)
        self._replace_next()

    def _on_end(self, worker: _Worker) -> None:
        worker.process.join()
        status = worker.process.exitcode
        worker.line.close()
        if worker in self._leaving or self._kill_at is not None:
            self._leaving.discard(worker)
            if self._current.get(worker.index) is worker:
                del self._current[worker.index]
            if worker is self._successor:
                self._successor = None
            self._failed = self._failed or (status != 0 and worker.ready)
            return
        if worker is self._successor:
            logger.error("the new worker %d ended with status %s; the present ones go on", worker.index, status)
            self._successor = None
            self._to_replace.clear()
            self._gave_up(f"a new worker ended with status {status} before it served; the log has its error")
            return
        del self._current[worker.index]
        self._loads[worker.index] = ABSENT
        pause = self._roster.ended(worker.index, time.monotonic())
        logger.error(
            "worker %d (process %s) ended with status %s; it is started again in %.1f s",
            worker.index,
            worker.process.pid,
            status,
            pause,
        )

    def _replace_all(self, order: str) -> None:
        """Begin to replace the workers one by one; a new one serves before an old one stops accepting."""
        if self._kill_at is not None or (self._replacement is not None and self._replacement.order == order):
            return
        if self._to_replace or self._successor is not None:
            self._tell(Replacement(order, "refused", 0, self.count, "the workers are being replaced already"))
            return
        self._replacement = Replacement(order, "replacing", 0, self.count)
        self._tell(self._replacement)
        try:
            self.reload()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new, the present workers serve on
            logger.error("workers are not replaced: %s", error)
            why = error.message if isinstance(error, RouteIQError) else type(error).__name__
            self._gave_up(f"the configuration cannot be used: {why}")
            return
        self._to_replace.extend(range(self.count))
        self._replace_next()

    def _replaced_one(self) -> None:
        if self._replacement is not None:
            replaced = self._replacement.replaced + 1
            done = replaced == self._replacement.count
            self._replacement = replace(self._replacement, replaced=replaced, state="done" if done else "replacing")
            self._tell(self._replacement)

    def _gave_up(self, why: str) -> None:
        if self._replacement is not None:
            self._replacement = replace(self._replacement, state="failed", why=why)
            self._tell(self._replacement)

    def _tell(self, news: Replacement) -> None:
        """Tell all workers how a replacement goes; those that come later are told when they are ready."""
        for worker in self._all():
            if worker.ready:
                self._say(worker, news.encoded())

    def _replace_next(self) -> None:
        if self._successor is None and self._to_replace and self._kill_at is None:
            self._successor = self._start(self._to_replace.popleft())

    def _stop(self, order: Order) -> None:
        if self._kill_at is None:
            # Workers have the socket themselves; when they are gone, nobody must wait at a door that no one opens.
            self.listener.close()
            self._kill_at = time.monotonic() + self.limit_s + AFTER_LIMIT_S
        if order is Order.HURRY:
            self._kill_at = min(self._kill_at, time.monotonic() + AFTER_LIMIT_S)
        for worker in self._all():
            if worker.ready:
                self._order(worker, order)
            else:
                worker.process.terminate()
        self._to_replace.clear()

    def _order(self, worker: _Worker, order: Order) -> None:
        self._say(worker, bytes([order]))

    def _say(self, worker: _Worker, message: bytes) -> None:
        with suppress(OSError):
            worker.line.send_bytes(message)

    def _kill(self) -> None:
        for worker in self._all():
            logger.error("worker %d did not stop in time and is killed", worker.index)
            worker.process.kill()
        self._failed = True
        self._kill_at = time.monotonic() + AFTER_LIMIT_S

    @contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """Yield a socket from which the numbers of the signals that came can be read."""
        woken, waking = socket.socketpair()
        waking.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in WATCHED}
        wakeup = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        with closing(woken), closing(waking):
            try:
                yield woken
            finally:
                signal.set_wakeup_fd(wakeup)
                for number, handler in before.items():
                    signal.signal(number, handler)


def _begin(work: Callable[[Place], None], place: Place, strangers: list[Connection]) -> None:
    """Be a worker: leave behind what belongs to the supervisor, then work."""
    signal.set_wakeup_fd(-1)
    for number in WATCHED:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    for line in strangers:
        line.close()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    work(place)
