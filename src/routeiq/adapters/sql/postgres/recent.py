"""The decisions that this worker took lately, so that they can be explained and judged while PostgreSQL is away."""

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from routeiq.core.decision import Decision
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Vector
from routeiq.core.remembered import PromptRecord, Record
from routeiq.core.request import RouteRequest

KEPT: Final = 2_000
"""Decisions; each takes some kilobytes. The text of a prompt is not kept."""


class Recent:
    """At most `limit` decisions. Safe to use from any thread; takes microseconds."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._records: OrderedDict[str, Record] = OrderedDict()

    def decided(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Remember a decision; forgets the oldest when there are too many."""
        prompt = PromptRecord(request.surface, request.prompt_tokens, embedding=embedding)
        with self._lock:
            self._records.setdefault(decision.id, Record(decision, request.caller, prompt))
            if len(self._records) > self._limit:
                self._records.popitem(last=False)

    def ended(self, outcome: Outcome) -> None:
        """Remember the first outcome of a decision that is still known."""
        with self._lock:
            record = self._records.get(outcome.decision_id)
            if record is not None and record.outcome is None:
                self._records[outcome.decision_id] = replace(record, outcome=outcome)

    def find(self, decision_id: str) -> Record | None:
        """Return what is remembered of a decision, or None."""
        record = self._records.get(decision_id)
        if record is None:
            return None
        return replace(record, decision=replace(record.decision, candidates=tuple(record.decision.candidates)))
