"""The phases of a gateway that is asked to stop: when it still takes work, when it says no, when it cuts.

Owns the order and the times. Does not know signals, sockets or requests: whoever serves asks for the phase and acts.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

REASON: Final = "draining"
"""The word in refusals, error events and logs."""


class Phase(StrEnum):
    """How far a drain has come."""

    SERVING = "serving"
    LAME_DUCK = "lame_duck"
    REFUSING = "refusing"
    CUTTING = "cutting"


@dataclass(slots=True)
class Drain:
    """One drain. All times are monotonic seconds.

    After `begin` work is taken for `lame_duck_s` more seconds, so that load balancers can notice; then it is refused
    while what runs may finish; `limit_s` after the beginning what still runs is cut. `hurry` cuts at once.
    """

    lame_duck_s: float
    limit_s: float
    _begun: float | None = None
    _refuse_at: float = math.inf
    _cut_at: float = math.inf

    @property
    def begun(self) -> bool:
        """Whether the drain has begun."""
        return self._begun is not None

    def begin(self, now: float, lame_duck: bool = True) -> bool:
        """Begin, with or without the lame-duck period; returns False when it had begun before, and changes nothing."""
        if self._begun is not None:
            return False
        self._begun = now
        self._cut_at = now + self.limit_s
        self._refuse_at = min(self._cut_at, now + self.lame_duck_s) if lame_duck else now
        return True

    def hurry(self, now: float) -> None:
        """Refuse and cut from now on."""
        self.begin(now, lame_duck=False)
        self._refuse_at = min(self._refuse_at, now)
        self._cut_at = min(self._cut_at, now)

    def phase(self, now: float) -> Phase:
        """Return the phase at a time."""
        if self._begun is None:
            return Phase.SERVING
        if now >= self._cut_at:
            return Phase.CUTTING
        return Phase.REFUSING if now >= self._refuse_at else Phase.LAME_DUCK

    def next_at(self, now: float) -> float:
        """Return when the next phase begins, infinity when there is none or no drain has begun."""
        return min((at for at in (self._refuse_at, self._cut_at) if at > now), default=math.inf)

    def elapsed(self, now: float) -> float:
        """Return the seconds since the beginning, 0 before it."""
        return 0.0 if self._begun is None else now - self._begun
