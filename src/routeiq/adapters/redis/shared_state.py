"""Shared state of many workers and replicas, in Redis.

Owns what each promise of the port is in Redis: one script or one command, one atomic step. Expiry and rates go by
Redis's clock, so that replicas whose clocks differ agree. Names of keys are `names`, connections are `link`.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from routeiq.adapters.redis import names
from routeiq.adapters.redis.link import RedisLink
from routeiq.adapters.redis.notifications import Notifications
from routeiq.config.redis_url import RedisAddress
from routeiq.core.shared import Changes, Document, Taken

TOKENS_REMEMBERED_S = 600.0
"""How long the token of an addition is known."""

BOUND_S = 1.0
"""How long a step may take that no request waits for."""


class RedisSharedState:
    """Implements `core.shared.SharedState`. No step takes longer than `bound_s` seconds.

    `bounded` gives the same state under another bound: requests wait less long than people and background tasks.
    """

    def __init__(self, link: RedisLink, bound_s: float = BOUND_S, notifications: Notifications | None = None) -> None:
        self._link = link
        self._bound_s = bound_s
        self._notifications = notifications or Notifications(link)

    def bounded(self, bound_s: float) -> "RedisSharedState":
        """Return the same state, over the same connections, under another bound."""
        return RedisSharedState(self._link, bound_s, self._notifications)

    def readdress(self, address: RedisAddress) -> None:
        """Go on at another address or with another password; nothing that is under way is broken off."""
        self._link.readdress(address)

    async def put(
        self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None, expect: int | None = None
    ) -> int | None:
        """Write or remove a value; None when `expect` is not its version."""
        present, text = ("0", b"") if value is None else ("1", value)
        lifetime, expected = _milliseconds(expires_s), "" if expect is None else str(expect)
        if area in names.ALONE:
            keys = [names.alone(area, key)]
            version = await self._run("put_alone", keys, present, text, lifetime, expected)
        else:
            arguments = (names.checked(key), present, text, lifetime, expected, area, names.CHANNEL)
            version = await self._run("put", names.watched(area), *arguments)
        return None if version is None else int(version)

    async def get(self, area: str, key: str) -> Document | None:
        """Return a value that has not expired."""
        if area in names.ALONE:
            found = await self._execute("HMGET", names.alone(area, key), "value", "version")
        else:
            found = await self._run("get", names.watched(area)[:3], names.checked(key))
        if found is None or found[0] is None:
            return None
        return Document(found[0], int(float(found[1])))

    async def changes(self, area: str, since: int) -> Changes:
        """Return what was written after a version, or everything when that is not known any more."""
        if area in names.ALONE:
            raise ValueError(f"area {area!r} has too many documents to be watched; ask for one with get")
        version, whole, flat = await self._run("changes", names.watched(area), str(since))
        return Changes(int(version), {key.decode(): value for key, value in _pairs(flat)}, whole=bool(whole))

    async def add(
        self, area: str, key: str, amounts: Mapping[str, float], *, token: str, expires_s: float | None = None
    ) -> Mapping[str, float]:
        """Add to counters once per token; return all sums of the key."""
        main, prefix = names.sums(area, key)
        flat: list[str] = []
        for name, amount in amounts.items():
            flat += (prefix + name, repr(float(amount)))
        lifetime = "" if prefix else _milliseconds(expires_s)
        keys = [main, names.once(main, prefix, token)]
        return _sums(await self._run("add", keys, _milliseconds(TOKENS_REMEMBERED_S), lifetime, *flat), prefix)

    async def counters(self, area: str, key: str) -> Mapping[str, float]:
        """Return the sums of a key."""
        main, prefix = names.sums(area, key)
        found = await self._execute("HGETALL", main)
        return _sums(found if isinstance(found, list) else [part for pair in found.items() for part in pair], prefix)

    async def take(self, key: str, cost: float, *, limit: float, window_s: float) -> Taken:
        """Take from a limit; a cost above the limit is never granted."""
        arguments = (repr(float(cost)), repr(float(limit)), repr(window_s * 1e6))
        granted, wait = await self._run("take", [names.rate(key)], *arguments)
        return Taken(granted=bool(granted), retry_after_s=float(wait))

    async def acquire(self, key: str, holder: str, *, limit: int, lease_s: float) -> bool:
        """Take or renew a place."""
        return bool(await self._run("acquire", [names.places(key)], holder, str(limit), _milliseconds(lease_s)))

    async def release(self, key: str, holder: str) -> None:
        """Give a place back."""
        await self._execute("ZREM", names.places(key), holder)

    async def lock(self, name: str, holder: str, *, lease_s: float) -> int | None:
        """Take or renew a lock; return its fencing token, None while another holds it."""
        fence = await self._run("lock", names.lock(name), holder, _milliseconds(lease_s))
        return None if fence is None else int(fence)

    async def unlock(self, name: str, holder: str) -> None:
        """Give a lock back."""
        await self._run("unlock", names.lock(name)[:1], holder)

    def watch(self, area: str, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify` for each message about an area."""
        return self._notifications.watch(area, notify)

    async def ping(self) -> float:
        """Return how long Redis took to answer."""
        begun = time.perf_counter()
        await self._execute("PING")
        return time.perf_counter() - begun

    async def close(self) -> None:
        """Stop listening and close all connections, those of the same state under other bounds too."""
        await self._notifications.close()
        await self._link.close()

    async def _run(self, script: Any, keys: list[str], *arguments: str | bytes) -> Any:
        return await self._link.run(script, keys, *arguments, bound_s=self._bound_s)

    async def _execute(self, *words: str) -> Any:
        return await self._link.execute(*words, bound_s=self._bound_s)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else str(max(1, math.ceil(seconds * 1000)))


def _pairs(flat: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _sums(flat: list[bytes], prefix: str) -> dict[str, float]:
    found = {name.decode(): float(amount) for name, amount in _pairs(flat)}
    return {name.removeprefix(prefix): amount for name, amount in found.items() if name.startswith(prefix)}
