"""What waits to be written, bounded in number and in bytes.

Owns the hand-over between the request path and the writer: adding takes microseconds and never fails; when the bound
is reached the oldest records give way, because the newest decisions are the ones that somebody is about to ask for or
to judge. Feedback and barriers wait in a lane of their own that is never dropped: each is answered, yes or no.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from routeiq.adapters.sql.rows import QueuedDecision
from routeiq.core.outcome import Feedback, Outcome

Item: TypeAlias = QueuedDecision | Outcome

DECISION_BYTES: Final = 4096
"""What a waiting decision is taken to cost besides its text: arrays of the explanation, embedding, bookkeeping."""
OUTCOME_BYTES: Final = 512


@dataclass(slots=True)
class Batch:
    """What one transaction writes: queued items by number, and feedback with whoever waits for it."""

    items: dict[int, Item] = field(default_factory=dict)
    feedback: list[tuple[Feedback, "Future[None]"]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items) + len(self.feedback)


class Backlog:
    """A queue for many producers and one consumer."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition(threading.Lock())
        self._queue: OrderedDict[int, Item] = OrderedDict()
        self._decisions: dict[str, tuple[int, QueuedDecision]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._feedback: list[tuple[Feedback, Future[None]]] = []
        self._barriers: list[tuple[int, Future[None]]] = []
        self._next = 0
        self._in_flight = 0
        self._bytes = 0
        self._closing = False
        self.dropped = 0

    def add(self, item: Item) -> None:
        """Queue an item; drops the oldest when there are too many."""
        with self._changed:
            number = self._next
            self._next += 1
            self._queue[number] = item
            self._bytes += _size(item)
            if isinstance(item, QueuedDecision):
                self._decisions[item.decision.id] = (number, item)
            else:
                self._outcomes[item.decision_id] = item
            if len(self._queue) > self._limit or self._bytes > self._limit_bytes:
                self._trim()
            if len(self._queue) == 1:
                self._changed.notify()

    def add_feedback(self, feedback: Feedback) -> "Future[None]":
        """Queue feedback; the future ends when it is durable, or with the error that kept it from being so."""
        future: Future[None] = Future()
        with self._changed:
            self._feedback.append((feedback, future))
            self._changed.notify()
        return future

    def barrier(self) -> "Future[None]":
        """Return a future that ends when everything queued before is durable, or with the error of a failed attempt."""
        future: Future[None] = Future()
        with self._changed:
            self._barriers.append((self._next, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Let the consumer end once nothing is left to try."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    @property
    def closing(self) -> bool:
        """Whether no more is to come."""
        return self._closing

    def wait(self) -> bool:
        """Wait for something to do; False when there is nothing and there will be nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._urgent())
            return bool(self._queue or self._feedback or self._barriers)

    def linger(self, seconds: float, enough: int) -> None:
        """Wait for more to come, unless somebody is waiting for an answer or there is enough for a batch."""
        with self._changed:
            if not self._urgent() and len(self._queue) < enough:
                self._changed.wait_for(self._urgent, seconds)

    def _urgent(self) -> bool:
        return bool(self._feedback or self._barriers or self._closing)

    def take(self, most: int) -> Batch:
        """Return what to write next: the oldest items, all feedback, and the decisions that feedback belongs to."""
        with self._changed:
            batch = Batch()
            while self._queue and len(batch.items) < most:
                number, item = self._queue.popitem(last=False)
                batch.items[number] = item
            for feedback, future in self._feedback:
                if future.cancelled():
                    continue  # whoever sent it was told so, and sends it again
                batch.feedback.append((feedback, future))
                waiting = self._decisions.get(feedback.decision_id)
                if waiting is not None and waiting[0] in self._queue:
                    batch.items[waiting[0]] = self._queue.pop(waiting[0])
            self._feedback = []
            self._in_flight = len(batch.items)
            return batch

    def done(self, batch: Batch) -> None:
        """Forget what is durable now, and answer those who waited for it."""
        with self._changed:
            for number, item in batch.items.items():
                self._forget(number, item)
            self._in_flight = 0
            oldest = next(iter(self._queue), self._next)
            passed = [future for upto, future in self._barriers if upto <= oldest]
            self._barriers = [(upto, future) for upto, future in self._barriers if upto > oldest]
        for future in (*(future for _, future in batch.feedback), *passed):
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def restore(self, batch: Batch, error: Exception | None) -> None:
        """Put back what could not be written, and give the error to those who waited for it.

        Without an error they go on waiting, for as long as they like.
        """
        with self._changed:
            for number in sorted(batch.items, reverse=True):
                self._queue[number] = batch.items[number]
                self._queue.move_to_end(number, last=False)
            self._in_flight = 0
            self._trim()
            if error is None:
                self._feedback = [one for one in (*batch.feedback, *self._feedback) if not one[1].cancelled()]
                self._barriers = [one for one in self._barriers if not one[1].cancelled()]
                return
            barriers, self._barriers = self._barriers, []
        for _, future in (*batch.feedback, *barriers):
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def discard(self, batch: Batch) -> None:
        """Give up on items that no row can be made of."""
        with self._changed:
            for number, item in batch.items.items():
                self._forget(number, item)
            self.dropped += len(batch.items)
            self._in_flight = 0

    def find(self, decision_id: str) -> tuple[QueuedDecision | None, Outcome | None]:
        """Return what waits, or is just being written, for a decision."""
        with self._changed:
            waiting = self._decisions.get(decision_id)
            return (waiting[1] if waiting else None), self._outcomes.get(decision_id)

    def __len__(self) -> int:
        return len(self._queue) + self._in_flight

    def _trim(self) -> None:
        while self._queue and (len(self._queue) > self._limit or self._bytes > self._limit_bytes):
            number, item = self._queue.popitem(last=False)
            self._forget(number, item)
            self.dropped += 1

    def _forget(self, number: int, item: Item) -> None:
        self._bytes -= _size(item)
        if isinstance(item, QueuedDecision):
            if self._decisions.get(item.decision.id, (None,))[0] == number:
                del self._decisions[item.decision.id]
        elif self._outcomes.get(item.decision_id) is item:
            del self._outcomes[item.decision_id]


def _size(item: Item) -> int:
    """Return about how many bytes an item keeps alive."""
    if isinstance(item, QueuedDecision):
        text = item.request.text
        return DECISION_BYTES + (len(text) if text.isascii() else 4 * len(text))
    return OUTCOME_BYTES
