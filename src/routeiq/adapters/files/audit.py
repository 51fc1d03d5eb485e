"""The audit in files: every event a line, written by a thread, durable before `flush` returns.

Owns the queue and what an event must not hold; files are `audit_chain`'s. What cannot be written waits in memory,
within a bound, and is tried again until it can.
"""

import errno
import hashlib
import hmac
import logging
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from routeiq.adapters.files.audit_chain import Chain, Keeping
from routeiq.adapters.files.audit_lines import CHAIN_ID, LOST, Link, newest_first
from routeiq.core.audit import GATEWAY, WORDS, AuditEvent
from routeiq.core.errors import RouteIQError
from routeiq.core.ports import Clock
from routeiq.guard.retry import Backoff

LOGGER: Final = logging.getLogger("routeiq.audit")

PAUSES: Final = Backoff(first_s=0.1, longest_s=15.0, floor_s=0.05)
"""Pauses between tries, which have no end: nothing that is in the queue is given up on."""

LONGEST: Final = 512
"""Most characters of anything in an event."""

TOGETHER: Final = 256
"""Most events of one write."""

_REASONS: Final = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "file_too_large",
    errno.EROFS: "read_only",
    errno.EACCES: "not_permitted",
    errno.EPERM: "not_permitted",
    errno.EAGAIN: "locked",
}


class FileAudit:
    """Implements `core.audit.AuditLog` over a folder. `salt` is asked for once, by the thread that writes.

    `clean` takes out of a text what looks like a secret. At most `limit` events wait; the oldest then stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        salt: Callable[[], bytes],
        clean: Callable[[str], str],
        clock: Clock,
        keeping: Keeping | None = None,
        chance: random.Random,
        limit: int = 10_000,
    ) -> None:
        self.folder = folder
        self._clean, self._clock, self._chance, self._limit = clean, clock, chance, limit
        self._salt = salt
        self._drawn: bytes | None = None
        self._chain = Chain(folder, keeping or Keeping(), clock)
        self._turn = threading.Condition()
        self._queue: deque[AuditEvent] = deque()
        self._lost = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._written: list[Callable[[], None]] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.dropped = 0
        self.trouble: str | None = None

    @property
    def queued(self) -> int:
        """How many events are not durable yet."""
        return len(self._queue)

    @property
    def place(self) -> Link:
        """Where the chain was when this process wrote last."""
        return self._chain.at

    def on_written(self, call: Callable[[], None]) -> None:
        """Have `call` called, by the thread that writes, whenever events of this process have become durable."""
        self._written.append(call)

    def record(self, event: AuditEvent) -> None:
        """Queue an event; never blocks and never raises."""
        with self._turn:
            self.counts[event.kind, event.result] += 1
            if self._closing or len(self._queue) >= self._limit:
                self._lost += 1
                self.dropped += 1
                return
            self._queue.append(event)
            self._begin()
            self._turn.notify_all()

    def flush(self, within_s: float) -> bool:
        """Wait until what was recorded so far is durable; returns whether it is. Blocks."""
        with self._turn:
            return self._turn.wait_for(lambda: self.queued == 0 or self.trouble is not None, within_s) and (
                self.queued == 0
            )

    def close(self, within_s: float = 5.0) -> bool:
        """Write what waits, once more if that failed before, and end the thread; returns whether nothing was lost."""
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join(within_s)
        if self.queued:
            LOGGER.error("audit: %d events could not be written before the end (%s)", self.queued, self.trouble)
        return self.queued == 0

    def entries(self, before: int | None = None) -> Iterator[Mapping[str, Any]]:
        """Yield what the lines of all workers of this host say, the newest first; blocks."""
        return newest_first(self.folder, before)

    def chain_id(self) -> str | None:
        """Return the name of the chain of this folder, None before its first line."""
        try:
            return (self.folder / CHAIN_ID).read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    def pseudonym(self, actor: str) -> str:
        """Return the name under which an actor stands in the audit: the salted hash of what is a hash of a key.

        Raises what reading the salt raises.
        """
        if actor in WORDS:
            return actor
        if self._drawn is None:
            self._drawn = self._salt()
        return "key:" + hmac.digest(self._drawn, actor.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="routeiq-audit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failures = 0
        while batch := self._take():
            closing = self._closing
            if self._attempt(batch):
                failures = 0
            elif closing:
                return
            else:
                failures += 1
                with self._turn:
                    self._turn.wait_for(lambda: self._closing, PAUSES.pause_s(failures, self._chance))

    def _take(self) -> list[AuditEvent]:
        """Wait for events and return those of the next write, none at the end; they stay in the queue until written."""
        with self._turn:
            self._turn.wait_for(lambda: self._queue or self._closing)
            return [self._queue[number] for number in range(min(TOGETHER, len(self._queue)))]

    def _attempt(self, batch: list[AuditEvent]) -> bool:
        lost = self._lost
        try:
            told = [*batch, *self._about_loss(lost)]
            self._chain.write([self._fit(event) for event in told])
        except Exception as error:  # noqa: BLE001 - background loop: whatever went wrong is reported and tried again
            self._failed(error)
            return False
        with self._turn:
            for _ in batch:
                self._queue.popleft()
            self._lost -= lost
            was, self.trouble = self.trouble, None
            self._turn.notify_all()
        if was is not None:
            LOGGER.warning("audit can be written again; %d events were lost so far", self.dropped)
        for call in self._written:
            call()
        return True

    def _failed(self, error: Exception) -> None:
        reason = _reason(error)
        if reason != self.trouble:
            LOGGER.error("audit cannot be written to %s (%s); events wait in memory", self.folder, reason)
        with self._turn:
            self.trouble = reason
            self._turn.notify_all()

    def _about_loss(self, lost: int) -> list[AuditEvent]:
        if not lost:
            return []
        return [AuditEvent(self._clock.now(), LOST, GATEWAY, "queue", after=f"{lost} events", result="failed")]

    def _fit(self, event: AuditEvent) -> AuditEvent:
        """Return an event as it may be kept: no key, nothing that looks like a secret, nothing long."""

        def text(value: str | None) -> str | None:
            return None if value is None else self._clean(value)[:LONGEST]

        return replace(
            event,
            actor=self.pseudonym(event.actor),
            subject=text(event.subject) or "",
            before=text(event.before),
            after=text(event.after),
            reason=text(event.reason),
            request_id=text(event.request_id),
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, RouteIQError):
        return error.reason
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, "cannot_write")
    return "internal"
