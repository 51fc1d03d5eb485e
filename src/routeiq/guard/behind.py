"""Writes to shared state that nobody waits for.

Owns the queue behind the requests: bounded, one write per name, a few at a time, and the promise that a store which
does not answer costs requests nothing but what was to be remembered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from routeiq.core.errors import StateUnavailable
from routeiq.guard.tasks import Errands

QUEUED = 10_000
"""How many writes wait at most; beyond that the oldest is given up on."""

AT_ONCE = 4
"""How many are under way at a time."""

Write = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class WriteBehind:
    """Runs writes in the background of the event loop it is first used on; off a loop it keeps them until there is one.

    `failed(where, error)` hears of an outage once. `dropped` counts what was given up on.
    """

    where: str
    failed: Callable[[str, BaseException], None]
    dropped: int = 0
    _waiting: "OrderedDict[str, Write]" = field(default_factory=OrderedDict)
    _errands: Errands = field(default_factory=Errands)
    _down: bool = False

    def add(self, name: str, write: Write) -> None:
        """Queue a write; one of the same name that still waits is replaced."""
        self._waiting[name] = write
        self._waiting.move_to_end(name)
        if len(self._waiting) > QUEUED:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._begin()

    def __len__(self) -> int:
        return len(self._waiting)

    async def close(self, limit_s: float = 2.0) -> None:
        """Write what waits, but no longer than the limit."""
        self._begin()
        await self._errands.end(limit_s)

    def _begin(self) -> None:
        if len(self._errands) >= min(AT_ONCE, len(self._waiting)):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._errands.start(self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            _, write = self._waiting.popitem(last=False)
            try:
                await write()
                self._down = False
            except StateUnavailable as error:
                self.dropped += 1
                self._heard(error)
            except Exception as error:  # noqa: BLE001 - a background loop must outlive whatever one write meets
                self.dropped += 1
                self._heard(error)

    def _heard(self, error: BaseException) -> None:
        if not self._down:
            self.failed(self.where, error)
        self._down = True
