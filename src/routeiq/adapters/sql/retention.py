"""The thread that deletes what an outcome log was told not to keep any longer.

Owns when it looks, and how it keeps out of the way: small transactions with pauses between them, on a connection of its
own. What is deleted, and that two processes never do it together, is the database's.
"""

import random
import threading
from typing import Final, Protocol

from routeiq.adapters.sql.writer import LOGGER
from routeiq.core.ports import Clock

LOOK_S: Final = 3600.0
"""Between two looks, a fifth more or less."""

FIRST_S: Final = 60.0
"""The first look comes within this time, so that what is started and stopped often deletes too."""

BREATH_S: Final = 0.05
"""Between two batches, so that requests come first."""

DAY_S: Final = 86_400.0


class Old(Protocol):
    """Where old records are; used by one thread."""

    def forget(self, before: float) -> int | None:
        """Delete a batch of what was decided before a time (seconds since the epoch).

        Returns how many rows that were, 0 when there are none left, None while another process deletes. May raise
        whatever the database raises.
        """
        ...

    def release(self) -> None:
        """Close the connection until the next use."""
        ...


class Retention:
    """Runs until it is closed. `chance` is where the jitter of pauses comes from; `forgotten` counts rows."""

    def __init__(self, old: Old, keep_days: float, clock: Clock, chance: random.Random, look_s: float = LOOK_S) -> None:
        self._old = old
        self._keep_days = keep_days
        self._clock = clock
        self._chance = chance
        self._look_s = look_s
        self._closing = threading.Event()
        self.forgotten = 0
        self._thread = threading.Thread(target=self._run, name="routeiq-outcome-log-retention", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Have the thread end after its batch; it is not waited for, because a batch that is broken off is undone."""
        self._closing.set()

    def _run(self) -> None:
        pause_s = self._chance.uniform(0.0, min(FIRST_S, self._look_s))
        while not self._closing.wait(pause_s):
            self._look()
            pause_s = self._look_s * self._chance.uniform(0.8, 1.2)
        self._old.release()

    def _look(self) -> None:
        """Delete, batch by batch, all that is too old now."""
        before = self._clock.now() - self._keep_days * DAY_S
        deleted = 0
        try:
            while not self._closing.is_set() and (batch := self._old.forget(before)):
                deleted += batch
                self._closing.wait(BREATH_S)
        except Exception as error:  # noqa: BLE001 - background loop: what is too old now is so at the next look
            LOGGER.warning("outcome log could not delete what is too old (%s); it will try again", type(error).__name__)
        self._old.release()
        self.forgotten += deleted
        if deleted:
            LOGGER.info("outcome log deleted %d rows of decisions older than %g days", deleted, self._keep_days)
