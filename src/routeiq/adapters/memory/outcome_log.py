"""The outcome log of a gateway that keeps nothing: the latest decisions, in memory.

Owns enough for decisions to be explained and judged while the process lives. "Durable" means for that long, here.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from routeiq.core.decision import Decision
from routeiq.core.errors import UnknownDecision
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Vector
from routeiq.core.remembered import LogStatus, PromptRecord, Record
from routeiq.core.request import RouteRequest


class MemoryOutcomeLog:
    """Implements `core.ports.OutcomeLog` for the latest `limit` decisions of one process.

    Keeps no text of a prompt and no hash of it. Safe to use from any thread.
    """

    def __init__(self, limit: int = 5_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._records: OrderedDict[str, Record] = OrderedDict()

    def record_decision(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Remember a decision; forgets the oldest when there are too many."""
        prompt = PromptRecord(request.surface, request.prompt_tokens, embedding=embedding)
        with self._lock:
            self._records.setdefault(decision.id, Record(decision, request.caller, prompt))
            if len(self._records) > self._limit:
                self._records.popitem(last=False)

    def record_outcome(self, outcome: Outcome) -> None:
        """Remember the outcome of a decision that is still known; only the first one is kept."""
        with self._lock:
            record = self._records.get(outcome.decision_id)
            if record is not None and record.outcome is None:
                self._records[outcome.decision_id] = replace(record, outcome=outcome)

    async def add_feedback(self, feedback: Feedback) -> None:
        """Remember feedback; raises UnknownDecision. The same id again changes nothing."""
        with self._lock:
            record = self._records.get(feedback.decision_id)
            if record is None:
                raise UnknownDecision(f"no decision {feedback.decision_id!r} is known")
            if all(known.id != feedback.id for known in record.feedback):
                given = sorted((*record.feedback, feedback), key=lambda known: known.at)
                self._records[feedback.decision_id] = replace(record, feedback=tuple(given))

    async def find(self, decision_id: str) -> Record | None:
        """Return what is known of a decision, or None."""
        record = self._records.get(decision_id)
        if record is None:
            return None
        return replace(record, decision=replace(record.decision, candidates=tuple(record.decision.candidates)))

    def read_labelled(self, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
        """Yield every decision that somebody gave feedback on, oldest first."""
        with self._lock:
            records = list(self._records.values())
        for record in records:
            decision = record.decision
            if record.feedback and decision.at >= since and alias in {None, decision.alias}:
                yield record

    def status(self) -> LogStatus:
        """Return how the log is doing: always well; to forget is its purpose."""
        return LogStatus()

    async def flush(self) -> None:
        """Return at once: nothing waits."""

    async def close(self) -> None:
        """Do nothing: what was remembered goes with the process."""
