"""Whether PostgreSQL is asked at all: after one failure it is not, until a try in the background succeeded.

Owns this worker's word on it, and that the word is passed on. When the dependency counts as gone is the business of
`guard.degraded`.
"""

import logging
import math
import threading
from collections.abc import Callable
from typing import Final

from routeiq.adapters.sql.postgres.link import reason_of
from routeiq.core.ports import Clock

SETTLED_S: Final = 60.0
"""After how long every host of a fleet has surely written what it kept during an outage."""

LOGGER: Final = logging.getLogger("routeiq.outcome_log")


class Availability:
    """Used by all threads of one log. `answered` is told of every try, one at a time."""

    def __init__(self, clock: Clock, answered: Callable[[bool], None]) -> None:
        self._clock = clock
        self._answered = answered
        self._lock = threading.Lock()
        self._last_ok = -math.inf
        self._last_failure = -math.inf
        self._opened: Callable[[], object] = lambda: None
        self.wake = threading.Event()
        self.open = True
        self.in_a_row = 0
        self.reason: str | None = None

    def ok(self) -> None:
        """Note that PostgreSQL took something."""
        with self._lock:
            self._last_ok = self._clock.monotonic()
            self.in_a_row += 1
            opened, self.open = not self.open, True
            self._answered(True)
        if opened:
            self._opened()

    def on_open(self, call: Callable[[], object]) -> None:
        """Have it told when PostgreSQL is asked again after it was not."""
        self._opened = call

    def failed(self, error: BaseException) -> str:
        """Note that PostgreSQL could not be used; return the word for why."""
        reason = reason_of(error)
        with self._lock:
            if self.open or reason != self.reason:
                LOGGER.warning("PostgreSQL cannot be used (%s); the outcome log is kept on disk until it can", reason)
            self._last_failure = self._clock.monotonic()
            self.in_a_row = 0
            self.open, self.reason = False, reason
            self._answered(False)
        self.wake.set()
        return reason

    def quiet_s(self) -> float:
        """Return the seconds since PostgreSQL last took something."""
        return self._clock.monotonic() - self._last_ok

    def settled(self) -> bool:
        """Return whether what is not in the database is nowhere."""
        return self.open and self._clock.monotonic() - self._last_failure > SETTLED_S
