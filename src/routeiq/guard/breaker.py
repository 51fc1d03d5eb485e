"""When something that keeps failing is left alone for a while: the circuit breaker as a pure state machine.

Owns what trips a breaker, how long it stays open, and what a probe says. Time is an argument, in seconds since the
epoch, because workers share it; as such clocks are set back at times, what lies further ahead than it could last counts
as over. Who is asked when, and what workers tell each other, is `guard.breakers`' business.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Trip:
    """What opens a breaker: within `window_s` seconds at least `failures` calls that failed (or were slow) and at least
    `share` of all calls. It stays open for `open_s`, then lets `probes` calls at a time through until one has ended.

    A plain call is slow when it takes over `latency_s`, a streamed one when its first token takes over `ttft_s`; None
    means that it never is. `failures` is also the least volume: nothing is judged on fewer calls.
    """

    failures: int = 5
    share: float = 0.5
    window_s: float = 30.0
    open_s: float = 30.0
    probes: int = 1
    latency_s: float | None = None
    ttft_s: float | None = None

    def slow(self, latency_s: float | None, ttft_s: float | None, streamed: bool) -> bool:
        """Whether a call that went well was slow."""
        took, limit = (ttft_s, self.ttft_s) if streamed else (latency_s, self.latency_s)
        return took is not None and limit is not None and took > limit

    def patience_s(self, streamed: bool) -> float | None:
        """Return after how long a call without any answer counts as slow, None for never."""
        return (self.ttft_s or self.latency_s) if streamed else self.latency_s


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls that ended, those that failed, and those that went well but slowly."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)


@dataclass(slots=True)
class Window:
    """Tallies by whole second since the epoch, for as long as the window is."""

    length_s: float
    seconds: dict[int, Tally] = field(default_factory=dict)

    def add(self, now: float, tally: Tally) -> None:
        """Count something that happened now."""
        second = int(now)
        if second not in self.seconds:
            self._forget(now)
        self.seconds[second] = self.seconds.get(second, Tally()) + tally

    def since(self, start: float, now: float) -> Tally:
        """Return the sum over the window, without whatever was before the end of the second of `start`."""
        newest = int(now + self.length_s)
        oldest = max(int(now - self.length_s), int(start) if start <= newest else 0)
        total = Tally()
        for second, tally in self.seconds.items():
            if oldest < second <= newest:
                total += tally
        return total

    def _forget(self, now: float) -> None:
        oldest, newest = int(now - self.length_s), int(now + self.length_s)
        for second in [second for second in self.seconds if not oldest < second <= newest]:
            del self.seconds[second]


@dataclass(frozen=True, slots=True)
class Mark:
    """What all workers know of one breaker: its last turn, when that was, and over how many failures.

    A mark says closed or open; half-open is an open one whose time is over.
    """

    state: State = State.CLOSED
    at: float = 0.0
    failures: int = 0

    def now(self, trip: Trip, now: float) -> State:
        """Return the state at a time."""
        if self.state is State.OPEN and abs(now - self.at) >= trip.open_s:
            return State.HALF_OPEN
        return self.state

    def judged(self, tally: Tally, trip: Trip, now: float) -> "Mark":
        """Return the mark after a look at the calls since the last turn; only a closed breaker trips."""
        if self.state is not State.CLOSED:
            return self
        worst = max(tally.failures, tally.slow)
        if worst < trip.failures or worst < trip.share * tally.calls:
            return self
        return Mark(State.OPEN, now, worst)

    def probed(self, ok: bool, trip: Trip, now: float) -> "Mark":
        """Return the mark after a probe has ended."""
        if self.now(trip, now) is not State.HALF_OPEN:
            return self
        return Mark(State.CLOSED, now) if ok else Mark(State.OPEN, now, self.failures + 1)


def together(tallies: Iterable[Tally]) -> tuple[Tally, int]:
    """Return the sum of the tallies of a provider's candidates, and how many of them failed or were slow at all."""
    total, troubled = Tally(), 0
    for tally in tallies:
        total += tally
        troubled += bool(tally.failures or tally.slow)
    return total, troubled
