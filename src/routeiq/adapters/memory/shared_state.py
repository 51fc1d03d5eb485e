"""Shared state of a gateway that is one process: nothing to share it with, the same promises.

Owns expiry and versions by the clock it is given. It belongs to one event loop: every method is one step without an
await inside, which is what makes it atomic.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from routeiq.core.ports import Clock
from routeiq.core.shared import Changes, Document, Taken

TOKENS_REMEMBERED_S = 600.0
"""How long the token of an addition is known."""

TOMBSTONES_KEPT = 1_000
"""How many removed keys of an area are remembered; whoever is further behind is sent everything."""


@dataclass(slots=True)
class _Area:
    version: int = 0
    floor: int = 0
    values: dict[str, Document] = field(default_factory=dict)
    expires: dict[str, float] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def write(self, key: str, value: bytes | None, ends: float | None) -> int:
        self.version += 1
        self.removed.pop(key, None)
        self.expires.pop(key, None)
        if value is None:
            self.values.pop(key, None)
            self.removed[key] = self.version
            if len(self.removed) > TOMBSTONES_KEPT:
                self.removed.clear()
                self.floor = self.version
        else:
            self.values[key] = Document(value, self.version)
            if ends is not None:
                self.expires[key] = ends
        return self.version

    def prune(self, now: float) -> None:
        for key in [key for key, ends in self.expires.items() if ends <= now]:
            self.write(key, None, None)


@dataclass(slots=True)
class _Sums:
    amounts: dict[str, float] = field(default_factory=dict)
    ends: float | None = None


@dataclass(slots=True)
class _Lock:
    holder: str = ""
    fence: int = 0
    ends: float = 0.0


class MemorySharedState:
    """Implements `core.shared.SharedState` for one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._areas: dict[str, _Area] = {}
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._tokens: dict[tuple[str, str, str], float] = {}
        self._due: dict[str, float] = {}
        self._places: dict[str, dict[str, float]] = {}
        self._locks: dict[str, _Lock] = {}

    async def put(
        self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None, expect: int | None = None
    ) -> int | None:
        """Write or remove a value; None when `expect` is not its version."""
        now, kept = self._clock.monotonic(), self._area(area)
        kept.prune(now)
        if expect is not None:
            known = kept.values.get(key)
            if (known.version if known is not None else 0) != expect:
                return None
        version = kept.write(key, value, None if expires_s is None else now + expires_s)
        for notify in tuple(kept.watchers):
            notify()
        return version

    async def get(self, area: str, key: str) -> Document | None:
        """Return a value that has not expired."""
        kept = self._area(area)
        kept.prune(self._clock.monotonic())
        return kept.values.get(key)

    async def changes(self, area: str, since: int) -> Changes:
        """Return what was written after a version, or everything when that is not known any more."""
        kept = self._area(area)
        kept.prune(self._clock.monotonic())
        if since < max(kept.floor, 1) or since > kept.version:
            return Changes(kept.version, {key: document.value for key, document in kept.values.items()}, whole=True)
        entries: dict[str, bytes | None] = {key: None for key, version in kept.removed.items() if version > since}
        entries |= {key: document.value for key, document in kept.values.items() if document.version > since}
        return Changes(kept.version, entries)

    async def add(
        self, area: str, key: str, amounts: Mapping[str, float], *, token: str, expires_s: float | None = None
    ) -> Mapping[str, float]:
        """Add to counters once per token; return all sums of the key."""
        now = self._clock.monotonic()
        for old in [token for token, ends in itertools.islice(self._tokens.items(), 8) if ends <= now]:
            del self._tokens[old]
        sums = self._live_sums(area, key)
        if (area, key, token) not in self._tokens:
            self._tokens[area, key, token] = now + TOKENS_REMEMBERED_S
            for name, amount in amounts.items():
                sums.amounts[name] = sums.amounts.get(name, 0.0) + amount
            if expires_s is not None:
                sums.ends = now + expires_s
        return dict(sums.amounts)

    async def counters(self, area: str, key: str) -> Mapping[str, float]:
        """Return the sums of a key."""
        return dict(self._live_sums(area, key).amounts)

    async def take(self, key: str, cost: float, *, limit: float, window_s: float) -> Taken:
        """Take from a limit; a cost above the limit is never granted.

        Generic cell rate algorithm (ITU-T I.371): one number per key, the time at which the limit is whole again.
        """
        now = self._clock.monotonic()
        due = max(self._due.get(key, now), now) + cost * window_s / limit
        if due - now > window_s * (1 + 1e-9):
            return Taken(granted=False, retry_after_s=min(due - now - window_s, window_s))
        self._due[key] = due
        return Taken(granted=True)

    async def acquire(self, key: str, holder: str, *, limit: int, lease_s: float) -> bool:
        """Take or renew a place."""
        now = self._clock.monotonic()
        places = self._places.setdefault(key, {})
        for gone in [other for other, ends in places.items() if ends <= now]:
            del places[gone]
        if holder not in places and len(places) >= limit:
            return False
        places[holder] = now + lease_s
        return True

    async def release(self, key: str, holder: str) -> None:
        """Give a place back."""
        self._places.get(key, {}).pop(holder, None)

    async def lock(self, name: str, holder: str, *, lease_s: float) -> int | None:
        """Take or renew a lock; return its fencing token, None while another holds it."""
        now = self._clock.monotonic()
        lock = self._locks.setdefault(name, _Lock())
        if now < lock.ends:
            if lock.holder != holder:
                return None
        else:
            lock.holder, lock.fence = holder, lock.fence + 1
        lock.ends = now + lease_s
        return lock.fence

    async def unlock(self, name: str, holder: str) -> None:
        """Give a lock back."""
        lock = self._locks.get(name)
        if lock is not None and lock.holder == holder:
            lock.ends = 0.0

    def watch(self, area: str, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify` with every write of an area."""
        watchers = self._area(area).watchers
        watchers.append(notify)

        def end() -> None:
            if notify in watchers:
                watchers.remove(notify)

        return end

    async def ping(self) -> float:
        """Return 0: memory answers at once."""
        return 0.0

    async def close(self) -> None:
        """End all watching."""
        for area in self._areas.values():
            area.watchers.clear()

    def _area(self, area: str) -> _Area:
        return self._areas.setdefault(area, _Area())

    def _live_sums(self, area: str, key: str) -> _Sums:
        sums = self._sums.setdefault((area, key), _Sums())
        if sums.ends is not None and sums.ends <= self._clock.monotonic():
            sums.amounts, sums.ends = {}, None
        return sums
