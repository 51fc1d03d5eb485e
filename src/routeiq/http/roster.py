"""When a worker that ended is started again, and when that is given up.

Owns the pauses and the counting, without processes: `http.supervisor` starts and stops them and tells what happened.
"""

from dataclasses import dataclass, field
from typing import Final

QUICK_S: Final = 10.0
"""A worker that ends before it was ready, or this soon after, ended quickly."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0

GIVE_UP_AFTER: Final = 5
"""So many quick ends in a row, with no worker serving, and starting again is hopeless."""


@dataclass(slots=True)
class _Place:
    due_at: float | None = 0.0
    ready_at: float | None = None
    quick: int = 0


@dataclass(slots=True)
class Roster:
    """The places of a number of workers. All times are monotonic seconds."""

    count: int
    _places: list[_Place] = field(init=False)
    _in_a_row: int = 0

    def __post_init__(self) -> None:
        self._places = [_Place() for _ in range(self.count)]

    def due(self, now: float) -> list[int]:
        """Return the places whose worker is to be started now."""
        return [i for i, place in enumerate(self._places) if place.due_at is not None and place.due_at <= now]

    def next_due(self) -> float | None:
        """Return when the next worker is to be started, None when none is waiting."""
        return min((place.due_at for place in self._places if place.due_at is not None), default=None)

    def started(self, index: int) -> None:
        """Note that a worker was started at a place."""
        self._places[index].due_at = None
        self._places[index].ready_at = None

    def ready(self, index: int, now: float) -> None:
        """Note that the worker of a place serves, be it one that was started in place of the present one."""
        self._places[index].ready_at, self._places[index].due_at = now, None

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return sum(place.ready_at is not None for place in self._places)

    def ended(self, index: int, now: float) -> float:
        """Note that the worker of a place ended unasked, and return after how many seconds it is started again.

        One that had served for a while is started at once; each quick end in a row doubles the pause.
        """
        place = self._places[index]
        if place.ready_at is not None and now - place.ready_at >= QUICK_S:
            place.quick = self._in_a_row = 0
            pause = 0.0
        else:
            place.quick += 1
            self._in_a_row += 1
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(place.quick - 1, 16))
        place.ready_at, place.due_at = None, now + pause
        return pause

    @property
    def hopeless(self) -> bool:
        """Whether starting again is to be given up."""
        return self._in_a_row >= GIVE_UP_AFTER and self.serving == 0
