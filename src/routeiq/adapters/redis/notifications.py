"""Word of changes over Redis's publish and subscribe: one connection of a worker, made again whenever it is lost.

Owns that connection and who wants to hear. Nothing depends on it: messages may be lost, and whoever watches an area
asks for it from time to time anyway.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from routeiq.adapters.redis.link import RedisLink
from routeiq.adapters.redis.names import CHANNEL
from routeiq.guard.retry import Backoff
from routeiq.guard.tasks import end

AGAIN = Backoff(first_s=0.5, longest_s=2.0)
"""How long to wait before a lost subscription is made again: all workers lose theirs at the same moment."""

QUIET_S = 1.0
DEAD_S = 4.0
"""After how much silence the server is asked whether it is there, and given up."""

Notify = Callable[[], None]


class Notifications:
    """Calls who watches an area, on the event loop, for each message about it."""

    def __init__(self, link: RedisLink, chance: random.Random | None = None) -> None:
        self._link = link
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._failures = 0
        self._watching: dict[str, list[Notify]] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, area: str, notify: Notify) -> Callable[[], None]:
        """Begin to call `notify`; returns what ends that. Needs a running event loop."""
        calls = self._watching.setdefault(area, [])
        calls.append(notify)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="routeiq-redis-notifications")

        def end() -> None:
            if notify in calls:
                calls.remove(notify)

        return end

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        self._watching.clear()
        await end(task)

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError, OSError, TimeoutError):
                await self._subscription()
            self._failures += 1
            await asyncio.sleep(AGAIN.pause_s(self._failures, self._chance))

    async def _subscription(self) -> None:
        client, begun = self._link.subscriber(), self._link.moves
        channel = client.pubsub()
        try:
            await channel.subscribe(CHANNEL)
            self._failures = 0
            self._tell_all()  # what was published while nobody listened
            heard = time.monotonic()
            while time.monotonic() - heard < DEAD_S and self._link.moves == begun:
                message = await channel.get_message(timeout=QUIET_S)
                if message is None:
                    await channel.ping()
                    continue
                heard = time.monotonic()
                if message["type"] == "message":
                    self._tell(message["data"].decode())
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                await channel.aclose()  # type: ignore[no-untyped-call]
                await client.aclose()

    def _tell(self, area: str) -> None:
        for notify in tuple(self._watching.get(area, ())):
            notify()

    def _tell_all(self) -> None:
        for area in tuple(self._watching):
            self._tell(area)
