"""How busy this worker is: requests and tokens per second, open streams, how long clients wait for an answer to begin.

Owns sliding windows over seconds, and the rule that lets fewer requests in while answers are too slow. Pure; time is an
argument, on the clock that never goes back.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, inf

WINDOW_S = 30
"""Over how many seconds rates and latencies are taken; an autoscaler looks that often."""
LATENCIES_KEPT = 512
JUDGED = 20
"""How many answers must have begun since the last step before p95 is believed."""
STEP_S = 1.0
"""How often the bound on requests under way may move."""
DOWN, UP = 0.8, 1.05
"""Factors of a step down and up: additive steps would take minutes on a large worker."""
LEAST = 1


@dataclass(slots=True)
class Rate:
    """Amounts per second over the window."""

    _seconds: list[int] = field(default_factory=lambda: [-1] * WINDOW_S)
    _amounts: list[float] = field(default_factory=lambda: [0.0] * WINDOW_S)
    _since: float | None = None

    def add(self, now: float, amount: float = 1.0) -> None:
        """Count something that happens now."""
        second = int(now)
        at = second % WINDOW_S
        if self._seconds[at] != second:
            self._seconds[at], self._amounts[at] = second, 0.0
        self._amounts[at] += amount
        if self._since is None:
            self._since = now

    def per_second(self, now: float) -> float:
        """Return the mean over the window, or over the time since the first amount when that is shorter."""
        if self._since is None:
            return 0.0
        oldest = int(now) - WINDOW_S
        total = sum(a for s, a in zip(self._seconds, self._amounts, strict=True) if s > oldest)
        return total / min(float(WINDOW_S), max(1.0, now - self._since))


@dataclass(slots=True)
class Latencies:
    """The latest latencies in seconds, none older than the window."""

    _seen: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def add(self, now: float, latency_s: float) -> None:
        """Count an answer that begins now."""
        self._seen.append((now, latency_s))

    def p95(self, now: float, at_least: int = 1) -> float | None:
        """Return the 95th percentile (nearest rank), None over fewer than `at_least` answers."""
        while self._seen and self._seen[0][0] < now - WINDOW_S:
            self._seen.popleft()
        if len(self._seen) < at_least:
            return None
        ordered = sorted(latency for _, latency in self._seen)
        return ordered[ceil(0.95 * len(ordered)) - 1]

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()


@dataclass(slots=True)
class LatencyBound:
    """How many requests may be under way so that p95 stays below a limit; no limit means no bound.

    Multiplicative decrease and increase, judged on answers that began since the last step, so that it neither runs on
    old news nor keeps everybody out.
    """

    limit_s: float | None
    allowed: float = inf
    _fresh: Latencies = field(default_factory=Latencies)
    _moved: float = -inf

    def add(self, now: float, latency_s: float, in_flight: int) -> None:
        """Count an answer that begins now, and move the bound when it is time."""
        if self.limit_s is None:
            return
        self._fresh.add(now, latency_s)
        if now - self._moved < STEP_S:
            return
        p95 = self._fresh.p95(now, at_least=JUDGED)
        if p95 is None:
            return
        self._moved = now
        self._fresh.clear()
        if p95 > self.limit_s:
            self.allowed = max(float(LEAST), min(self.allowed, float(in_flight)) * DOWN)
        elif self.allowed < inf:
            self.allowed = max(self.allowed + 1.0, self.allowed * UP)
            if self.allowed > 2 * in_flight + JUDGED:
                self.allowed = inf

    def keeps_out(self, in_flight: int) -> bool:
        """Whether one more request would be too many."""
        return in_flight >= self.allowed


@dataclass(slots=True)
class Load:
    """What autoscalers and people read of one worker."""

    requests: Rate = field(default_factory=Rate)
    tokens: Rate = field(default_factory=Rate)
    latencies: Latencies = field(default_factory=Latencies)
    streams: Callable[[], int] = lambda: 0
