"""How each candidate is doing right now, as this process has seen it: calls under way, latency.

Owns per-process counters that change with every request, and what other processes said of theirs. They are advice for
scorers, not limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from routeiq.routing.table import CandidateTable, Floats

SMOOTHING = 0.2
"""Weight of the newest latency in the moving average."""


@dataclass(slots=True)
class _Vital:
    in_flight: int = 0
    latency_s: float | None = None


@dataclass(slots=True)
class Vitals:
    """Calls under way and smoothed latency by candidate name. Every `begin` must be matched by one `end`."""

    _of: dict[str, _Vital] = field(default_factory=dict)
    _elsewhere: Mapping[str, int] = field(default_factory=dict)

    def begin(self, name: str) -> None:
        """Count a call that is about to be made."""
        self._of.setdefault(name, _Vital()).in_flight += 1

    def end(self, name: str, latency_s: float | None, ok: bool) -> None:
        """Count a call that ended. A failure weighs like the slowest candidate: failing fast must not attract."""
        vital = self._of.setdefault(name, _Vital())
        vital.in_flight = max(0, vital.in_flight - 1)
        if latency_s is None:
            return
        if not ok:
            latency_s = max([latency_s, *(v.latency_s for v in self._of.values() if v.latency_s is not None)])
        before = vital.latency_s
        vital.latency_s = latency_s if before is None else before + SMOOTHING * (latency_s - before)

    def in_flight(self, table: CandidateTable) -> Floats:
        """Return the number of calls under way, here and as last told elsewhere, shape (n,)."""
        other = self._elsewhere
        here = [v.in_flight if (v := self._of.get(n)) else 0 for n in table.names]
        return np.array([count + other.get(n, 0) for n, count in zip(table.names, here, strict=True)], dtype=np.float64)

    def counts(self) -> dict[str, int]:
        """Return the calls under way in this process, by candidate, without those that have none."""
        return {name: vital.in_flight for name, vital in self._of.items() if vital.in_flight}

    def elsewhere(self, counts: Mapping[str, int]) -> None:
        """Note how many calls other processes have under way, until the next time."""
        self._elsewhere = counts

    def total(self) -> int:
        """Return the number of calls under way on all candidates."""
        return sum(vital.in_flight for vital in self._of.values())

    def latency(self, table: CandidateTable) -> Floats:
        """Return smoothed latency in seconds, shape (n,), NaN where nothing was seen yet."""
        seen = [self._of.get(n) for n in table.names]
        return np.array([np.nan if v is None or v.latency_s is None else v.latency_s for v in seen], dtype=np.float64)
