"""The one thread that writes the outcome log.

Owns batching, the transaction, and what happens when a write fails: everything is kept (within the backlog's bound) and
tried again after a growing, jittered pause until the store takes it again. Connections are the store's.
"""

import logging
import random
import threading
import time
from typing import Final, Protocol

from routeiq.adapters.sql.backlog import Backlog, Batch
from routeiq.adapters.sql.rows import QueuedDecision, Rows, RowWriter
from routeiq.core.errors import StoreUnavailable
from routeiq.guard.retry import Backoff

LOGGER: Final = logging.getLogger("routeiq.outcome_log")

LEAST_PAUSE_S: Final = 0.05
"""Between two attempts that fail, however many are waiting for an answer."""

PAUSES: Final = Backoff(first_s=0.1, longest_s=15.0)
"""Further pauses, which end early when the log is closed. Attempts are without number: nothing is given up on."""

ROWS_AT_ONCE: Final = 16
"""After how many rows the interpreter is yielded, about half a millisecond of work."""

NEVER: Final = 1 << 62

PASSING: Final = "locked"
"""Why a store may refuse rows that it takes a moment later: whoever waits for an answer waits on, within its bound."""


def refused(reason: str | None) -> StoreUnavailable:
    """Return the error of what could not be stored for a reason."""
    return StoreUnavailable(f"the outcome log cannot be written ({reason}); send it again")


class Store(Protocol):
    """Where rows become durable. Used by one thread."""

    def write(self, rows: Rows) -> None:
        """Return when the rows are durable, those of a known key left as they are; raises what went wrong."""
        ...

    def reason_of(self, error: BaseException) -> str:
        """Return the word for an error of `write`."""
        ...

    def recover(self, reason: str) -> None:
        """Get ready for another try after `write` failed for a reason."""
        ...

    def close(self) -> None:
        """Let go of connections; called by the thread that writes."""
        ...


class Writer:
    """Writes a backlog to a store until it is closed. `chance` is where the jitter of pauses comes from."""

    def __init__(
        self,
        store: Store,
        backlog: Backlog,
        rows: RowWriter,
        *,
        batch: int,
        linger_s: float,
        chance: random.Random,
    ) -> None:
        self._store = store
        self._backlog = backlog
        self._rows = rows
        self._batch = batch
        self._linger_s = linger_s
        self._chance = chance
        self._failures = 0
        self.healthy = True
        self.last_error_reason: str | None = None
        self._thread = threading.Thread(target=self._run, name="routeiq-outcome-log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end, which it does when the backlog is closed; returns whether it did."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def failed(self, error: Exception) -> str:
        """Note that the store could not be used, say so once, and return the reason."""
        reason = self._store.reason_of(error)
        if self.healthy or reason != self.last_error_reason:
            words = "records wait in memory, and feedback is refused that cannot be stored in time"
            LOGGER.error("outcome log cannot be written (%s); %s", reason, words)
        self.healthy, self.last_error_reason = False, reason
        return reason

    def _run(self) -> None:
        while self._backlog.wait():
            if self.healthy:
                self._backlog.linger(self._linger_s, self._batch)
            batch = self._backlog.take(self._batch)
            if self._attempt(batch):
                continue
            if self._backlog.closing:
                break
            time.sleep(LEAST_PAUSE_S)
            self._failures += 1
            self._backlog.linger(PAUSES.pause_s(self._failures, self._chance), enough=NEVER)
        self._store.close()

    def _attempt(self, batch: Batch) -> bool:
        """Write a batch; returns whether it is durable now."""
        rows = self._rows_of(batch)
        try:
            if rows:
                self._store.write(rows)
        except Exception as error:  # noqa: BLE001 - background loop: whatever went wrong is reported and tried again
            reason = self.failed(error)
            self._store.recover(reason)
            wait = reason == PASSING and not self._backlog.closing
            self._backlog.restore(batch, None if wait else refused(reason))
            return False
        if rows and not self.healthy:
            LOGGER.warning("outcome log can be written again; %d records were dropped so far", self._backlog.dropped)
        self.healthy = self.healthy or bool(rows)
        self._failures = 0
        self._backlog.done(batch)
        return True

    def _rows_of(self, batch: Batch) -> Rows:
        """Make rows of a batch, giving up on what no row can be made of.

        The interpreter is yielded every few rows: a full batch takes tens of milliseconds, and requests are being
        served; but each hand-over between threads costs as much as a row.
        """
        rows, unfit = Rows(), Batch()
        for number, item in batch.items.items():
            try:
                if isinstance(item, QueuedDecision):
                    rows.decisions.append(self._rows.decision(item))
                else:
                    rows.outcomes.append(self._rows.outcome(item))
            except Exception as error:  # noqa: BLE001 - background loop: one odd record must not hold up the others
                LOGGER.warning("outcome log gave up on a record that has no row form (%s)", type(error).__name__)
                unfit.items[number] = item
            if (len(rows.decisions) + len(rows.outcomes)) % ROWS_AT_ONCE == 0:
                time.sleep(0)
        for number in unfit.items:
            del batch.items[number]
        if unfit.items:
            self._backlog.discard(unfit)
        rows.feedback.extend(self._rows.feedback(given) for given, _ in batch.feedback)
        return rows
