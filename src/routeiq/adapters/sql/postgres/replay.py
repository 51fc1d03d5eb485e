"""The thread that notices that PostgreSQL is back, and brings it what was kept on disk.

Owns when PostgreSQL is tried while nobody writes to it. Rows are forgotten on disk only after they are durable in
PostgreSQL, where each has its key: however often the way between is cut, a row is there once.
"""

import random
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from routeiq.adapters.sql.postgres.availability import LOGGER, Availability
from routeiq.adapters.sql.postgres.spill import Spill
from routeiq.adapters.sql.postgres.store import PostgresStore
from routeiq.adapters.sql.rows import Rows
from routeiq.guard.retry import Backoff

PAUSES: Final = Backoff(first_s=0.2, longest_s=3.0)
"""Between tries that fail."""

LOOK_S: Final = 5.0
"""How often the disk is looked at, and how long PostgreSQL may go without being asked anything."""

SURE: Final = 3
"""How many tries in a row make sure that it is back; they follow each other at once."""

BREATH_S: Final = 0.02
"""Between two batches, so that what is brought does not crowd out requests."""


class Replay:
    """Runs until it is closed. `chance` is where the jitter of pauses comes from; `moved` counts rows.

    `follow` is called now and then, to let go of connections that were opened with credentials of before.
    """

    def __init__(
        self,
        store: PostgresStore,
        spill: Spill,
        available: Availability,
        chance: random.Random,
        look_s: float = LOOK_S,
        follow: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._spill = spill
        self._available = available
        self._chance = chance
        self._look_s = look_s
        self._follow = follow
        self._failures = 0
        self._broken = False
        self._closing = False
        self.moved = 0
        self.waiting = 0
        self._thread = threading.Thread(target=self._run, name="routeiq-outcome-log-replay", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Have the thread end; it is not waited for, because what it moves is safe wherever it stops."""
        self._closing = True
        self._available.wake.set()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._closing:
            if self._available.wake.wait(pause_s):
                # A failure was noted while nothing was wrong so far: that it is no accident is found out at once.
                self._available.wake.clear()
            if not self._closing:
                pause_s = self._turn()
        self._store.close()
        self._spill.close()

    def _turn(self) -> float:
        """Do what there is to do, and return how long to wait for the next turn."""
        self._follow()
        try:
            moved = self._move()
            if not moved and (not self._available.open or self._available.quiet_s() >= self._look_s or self._unsure()):
                self._store.ping()
                self._available.ok()
        except Exception as error:  # noqa: BLE001 - background loop: whatever went wrong is reported and tried again
            self._available.failed(error)
            self._available.wake.clear()
            self._failures += 1
            return PAUSES.pause_s(self._failures, self._chance)
        self._failures = 0
        if moved:
            return BREATH_S
        return 0.1 if self._unsure() else self._look_s

    def _unsure(self) -> bool:
        return self._available.in_a_row < SURE

    def _move(self) -> int:
        """Bring one batch to PostgreSQL; return how many rows that were. Raises what PostgreSQL raises."""
        try:
            with self._spill.alone() as alone:
                rows = self._spill.batch() if alone else Rows()
                if rows:
                    self._store.write(rows)
                    self._available.ok()
                    self._spill.remove(rows)
            self._count(len(rows))
        except (sqlite3.Error, OSError) as error:
            if not self._broken:
                reason, path = self._spill.reason_of(error), self._spill.path
                LOGGER.error("what the outcome log kept on disk cannot be used (%s): %s", reason, path)
            self._broken = True
            self._spill.recover("")
            return 0
        if self._broken:
            LOGGER.warning("what the outcome log kept on disk can be used again")
        self._broken = False
        return len(rows)

    def _count(self, moved: int) -> None:
        """Note how much waits; counting reads the whole file, so it is done at the begin and at the end only."""
        before, self.waiting = self.waiting, max(0, self.waiting - moved)
        if not moved or not before:
            self.waiting = self._spill.waiting()
        self.moved += moved
