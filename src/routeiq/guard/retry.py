"""Trying again: how long to pause, how often, and how much of the traffic may be second tries.

The one definition of retries for every client in this code base. Owns the pauses (exponential backoff with full jitter:
Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015) and the budget (a token bucket, so that a server
in trouble is not finished off by its clients). What may be tried again is for the client to say.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that are drawn evenly from `floor_s` up to a ceiling that grows from `first_s` by `factor` to `longest_s`.

    `attempts` counts the first try too. A pause of zero is as likely as one of the ceiling: clients that failed at
    once then come back spread out evenly, which no jitter around a fixed pause does.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    factor: float = 2.0
    attempts: int = 4
    floor_s: float = 0.0

    def ceiling_s(self, failures: int) -> float:
        """Return the longest pause after so many failures in a row, of which there is at least one."""
        exponent = min(failures - 1, 64)
        return min(self.longest_s, self.first_s * self.factor**exponent)

    def pause_s(self, failures: int, chance: random.Random) -> float:
        """Return how long to pause after so many failures in a row."""
        return chance.uniform(min(self.floor_s, self.ceiling_s(failures)), self.ceiling_s(failures))

    def pauses(self, chance: random.Random) -> Iterator[float]:
        """Yield the pause before each further attempt."""
        for failures in range(1, self.attempts):
            yield self.pause_s(failures, chance)


@dataclass(slots=True)
class Budget:
    """How many second tries there may be: `share` of the calls, and `reserve` more for when there are few calls."""

    share: float = 0.1
    reserve: float = 10.0
    refused: int = 0
    _tokens: float = field(default=-1.0)

    def called(self) -> None:
        """Count a first try."""
        self._tokens = min(self._left + self.share, self.reserve)

    def spend(self) -> bool:
        """Return whether there may be another second try, and count it."""
        if self._left < 1.0:
            self.refused += 1
            return False
        self._tokens = self._left - 1.0
        return True

    @property
    def _left(self) -> float:
        return self.reserve if self._tokens < 0 else self._tokens


@dataclass(slots=True)
class Retries:
    """One client's retries. `again` says after which errors a call may be repeated without doing harm."""

    again: Callable[[BaseException], bool]
    chance: random.Random
    backoff: Backoff = field(default_factory=Backoff)
    budget: Budget = field(default_factory=Budget)

    async def call(
        self, work: Callable[[], Awaitable[Answer]], sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> Answer:
        """Return what the work returns, tried again as often as it makes sense; raises the last error."""
        self.budget.called()
        pauses = self.backoff.pauses(self.chance)
        while True:
            try:
                return await work()
            except Exception as error:
                if (pause := self._next(error, pauses)) is not None:
                    await sleep(pause)
                    continue
                raise

    def call_blocking(self, work: Callable[[], Answer], sleep: Callable[[float], object] = time.sleep) -> Answer:
        """Do the same in a thread that may wait."""
        self.budget.called()
        pauses = self.backoff.pauses(self.chance)
        while True:
            try:
                return work()
            except Exception as error:
                if (pause := self._next(error, pauses)) is not None:
                    sleep(pause)
                    continue
                raise

    def _next(self, error: BaseException, pauses: Iterator[float]) -> float | None:
        """Return how long to pause before the next attempt, None when there is none."""
        pause = next(pauses, None)
        if pause is None or not self.again(error) or not self.budget.spend():
            return None
        return pause
