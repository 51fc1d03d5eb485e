"""A worker's own picture of what all workers share, and what this one has still to tell the others.

Owns freshness (a change elsewhere is here in under a second, notified or not), the order of writing and reading, and
additions that count once however often they are sent. Reads are reads of memory: nothing here waits for a store but
the background task. What the values mean belongs to whoever put them there.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from routeiq.core.errors import StateUnavailable
from routeiq.core.ports import Clock
from routeiq.core.shared import SharedState
from routeiq.guard.tasks import end

IN_DOUBT_S = 540.0
"""How long an addition that may have been counted is sent again; stores know its token for ten minutes."""

FORGOTTEN_S = 3_600.0
"""After how long without being asked for the sums of a key are not refreshed any more."""

Changed = Callable[[Mapping[str, bytes | None]], None]


def _ignore(_: bool) -> None:
    return


@dataclass(eq=False, slots=True)
class _Write:
    value: bytes | None
    ends: float | None


@dataclass(slots=True)
class _Area:
    """One area: what the store had when last asked, what this worker has written since, and the two together."""

    name: str
    version: int = 0
    fetched_at: float = float("-inf")
    stale: bool = True
    seen: dict[str, bytes] = field(default_factory=dict)
    queued: dict[str, _Write] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    shown: dict[str, bytes] = field(default_factory=dict)
    calls: list[Changed] = field(default_factory=list)

    def show(self, key: str) -> bool:
        """Bring one key of the shown picture up to date; return whether that changed it."""
        write = self.queued.get(key)
        value = self.seen.get(key) if write is None else write.value
        if self.shown.get(key) == value:
            return False
        if value is None:
            del self.shown[key]
        else:
            self.shown[key] = value
        return True


@dataclass(frozen=True, slots=True)
class _Batch:
    token: str
    amounts: Mapping[str, float]
    expires_s: float | None
    begun: float


@dataclass(slots=True)
class _Sums:
    """The sums of one key: the store's, what is on its way or in doubt, and what waits."""

    known: Mapping[str, float] = field(default_factory=dict)
    sent: _Batch | None = None
    waiting: dict[str, float] = field(default_factory=dict)
    expires_s: float | None = None
    asked_at: float = 0.0
    fetched_at: float = float("-inf")


class Mirror:
    """Areas of shared state in memory. `get`, `items`, `put`, `add` and `sums` may be called from any thread.

    `poll_s` is the longest an area goes without being asked for, `flush_s` the longest a write waits, in seconds.
    `failed` hears of errors once per outage; `answered` hears of every try whether the store answered it.
    """

    def __init__(
        self,
        state: SharedState,
        clock: Clock,
        areas: Collection[str],
        *,
        poll_s: float = 0.5,
        flush_s: float = 0.1,
        failed: Callable[[str, BaseException], None],
        answered: Callable[[bool], None] = _ignore,
    ) -> None:
        self._state = state
        self._clock = clock
        self._areas = {name: _Area(name) for name in areas}
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._poll_s, self._flush_s = poll_s, flush_s
        self._failed, self._answered = failed, answered
        self._guard = threading.Lock()
        self._reachable = True
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unwatch: list[Callable[[], None]] = []

    @property
    def reachable(self) -> bool:
        """Whether the store answered the last time it was asked."""
        return self._reachable

    def get(self, area: str, key: str) -> bytes | None:
        """Return a value as it is known here, or None."""
        return self._areas[area].shown.get(key)

    def items(self, area: str) -> Mapping[str, bytes]:
        """Return a copy of all values of an area as they are known here."""
        with self._guard:
            return dict(self._areas[area].shown)

    def put(self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None) -> None:
        """Write or remove a value: here at once, everywhere soon; the last write to reach the store wins."""
        kept = self._areas[area]
        with self._guard:
            kept.queued[key] = _Write(value, None if expires_s is None else self._clock.monotonic() + expires_s)
            kept.show(key)

    def add(self, area: str, key: str, amounts: Mapping[str, float], *, expires_s: float | None = None) -> None:
        """Add to counters; each addition reaches the store exactly once, also across an outage."""
        with self._guard:
            sums = self._asked(area, key)
            for name, amount in amounts.items():
                sums.waiting[name] = sums.waiting.get(name, 0.0) + amount
            sums.expires_s = expires_s

    def sums(self, area: str, key: str) -> Mapping[str, float]:
        """Return everybody's sums as last seen, and what this worker has added since. Asking keeps them refreshed."""
        with self._guard:
            sums = self._asked(area, key)
            total = dict(sums.known)
            for more in (sums.sent.amounts if sums.sent else {}, sums.waiting):
                for name, amount in more.items():
                    total[name] = total.get(name, 0.0) + amount
            return total

    def on_change(self, area: str, call: Changed) -> None:
        """Have `call` told, on the event loop, what others changed in an area; None stands for a removed key."""
        self._areas[area].calls.append(call)

    async def start(self) -> None:
        """Fetch everything once, then keep it fresh in the background. An unreachable store does not raise."""
        for area in self._areas.values():
            self._unwatch.append(self._state.watch(area.name, partial(self._notified, area)))
        await self.sync()
        self._task = asyncio.create_task(self._run(), name="routeiq-mirror")

    async def close(self) -> None:
        """Stop the background task and write what waits; what cannot be written is reported. May be called again."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        while self._unwatch:
            self._unwatch.pop()()
        # Counts that were on their way when the task was stopped go first, those that waited behind them second.
        for _ in range(2):
            await self.sync()
        if any(area.queued for area in self._areas.values()) or any(sums.waiting for sums in self._sums.values()):
            self._failed("mirror", StateUnavailable("shared state was lost on shutdown: the store did not answer"))

    async def sync(self) -> None:
        """Write what waits, then read what is due; what fails is tried again in the next turn."""
        async with self._turn:
            try:
                self._expire()
                await self._write()
                await self._read()
            except StateUnavailable as error:
                self._heard(error)
            except Exception as error:  # noqa: BLE001 - a background loop must outlive whatever one turn meets
                self._failed("mirror", error)

    async def refresh(self, area: str) -> None:
        """Bring one area up to date now, as far as the store answers."""
        self._areas[area].stale = True
        await self.sync()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the wake-up.
                async with asyncio.timeout(self._flush_s if self._reachable else self._poll_s):
                    await self._wake.wait()
            self._wake.clear()
            await self.sync()

    def _notified(self, area: _Area) -> None:
        area.stale = True
        self._wake.set()

    def _heard(self, error: StateUnavailable | None) -> None:
        if error is not None and self._reachable:
            self._failed("mirror", error)
        self._reachable = error is None
        self._answered(error is None)

    def _asked(self, area: str, key: str) -> _Sums:
        sums = self._sums.get((area, key))
        if sums is None:
            sums = self._sums[area, key] = _Sums()
        sums.asked_at = self._clock.monotonic()
        return sums

    async def _write(self) -> None:
        for area in self._areas.values():
            for key, write in tuple(area.queued.items()):
                await self._write_one(area, key, write)
        for (name, key), sums in tuple(self._sums.items()):
            await self._add_one(name, key, sums)

    async def _write_one(self, area: _Area, key: str, write: _Write) -> None:
        left = None if write.ends is None else write.ends - self._clock.monotonic()
        if left is None or left > 0:
            await self._state.put(area.name, key, write.value, expires_s=left)
            self._heard(None)
        with self._guard:
            if area.queued.get(key) is write:
                del area.queued[key]
            if write.value is None or (left is not None and left <= 0):
                area.seen.pop(key, None)
            else:
                area.seen[key] = write.value
            area.ends.pop(key, None)
            if write.ends is not None:
                area.ends[key] = write.ends
            area.show(key)

    async def _add_one(self, area: str, key: str, sums: _Sums) -> None:
        now = self._clock.monotonic()
        with self._guard:
            if sums.sent is not None and now - sums.sent.begun > IN_DOUBT_S:
                lost, sums.sent = sums.sent, None
                self._failed("mirror", StateUnavailable(f"gave up on {len(lost.amounts)} counts that may be counted"))
            if sums.sent is None and sums.waiting:
                sums.sent = _Batch(uuid.uuid4().hex, sums.waiting, sums.expires_s, now)
                sums.waiting = {}
        batch = sums.sent
        if batch is None:
            return
        known = await self._state.add(area, key, batch.amounts, token=batch.token, expires_s=batch.expires_s)
        with self._guard:
            sums.known, sums.sent, sums.fetched_at = known, None, now
        self._heard(None)

    async def _read(self) -> None:
        now = self._clock.monotonic()
        for area in self._areas.values():
            if area.stale or now - area.fetched_at >= self._poll_s:
                await self._read_area(area, now)
        for (name, key), sums in tuple(self._sums.items()):
            if now - sums.asked_at > FORGOTTEN_S and not sums.waiting:
                del self._sums[name, key]
            elif now - sums.fetched_at >= self._poll_s and sums.sent is None:
                sums.known, sums.fetched_at = await self._state.counters(name, key), now
                self._heard(None)

    async def _read_area(self, area: _Area, now: float) -> None:
        area.stale = False
        try:
            changes = await self._state.changes(area.name, area.version)
        except StateUnavailable:
            area.stale = True
            raise
        self._heard(None)
        area.version, area.fetched_at = changes.version, now
        entries = dict(changes.entries)
        if changes.whole:
            entries |= {key: None for key in area.seen if key not in entries}
        with self._guard:
            changed = {key: value for key, value in entries.items() if self._take(area, key, value)}
        self._tell(area, changed)

    def _take(self, area: _Area, key: str, value: bytes | None) -> bool:
        if area.seen.get(key) != value:
            area.ends.pop(key, None)
        if value is None:
            area.seen.pop(key, None)
        else:
            area.seen[key] = value
        return area.show(key)

    def _expire(self) -> None:
        """Forget what this worker wrote for a time that is over, whether or not the store can say so."""
        now = self._clock.monotonic()
        for area in self._areas.values():
            with self._guard:
                for key in [key for key, write in area.queued.items() if write.ends is not None and write.ends <= now]:
                    del area.queued[key]
                    area.ends[key] = now
                over = [key for key, ends in area.ends.items() if ends <= now and key not in area.queued]
                changed = {key: None for key in over if self._take(area, key, None)}
                for key in over:
                    area.ends.pop(key, None)
            self._tell(area, changed)

    def _tell(self, area: _Area, changed: Mapping[str, bytes | None]) -> None:
        for call in area.calls if changed else ():
            try:
                call(changed)
            except Exception as error:  # noqa: BLE001 - one listener's mistake must not keep the others ignorant
                self._failed("mirror", error)
