"""An outcome log in a SQL database: what the rest of RouteIQ sees of it.

Owns the promises of `core.ports.OutcomeLog`: recording never waits, feedback is answered yes or no within a bound, and
what is queued is found before it is written. Writing and reading are the database's.
"""

import asyncio
import random
from collections.abc import Awaitable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from routeiq.adapters.sql.backlog import Backlog
from routeiq.adapters.sql.rows import QueuedDecision, RowWriter
from routeiq.adapters.sql.writer import LOGGER, Store, Writer, refused
from routeiq.core.decision import Decision
from routeiq.core.errors import StoreUnavailable, UnknownDecision
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Clock, Vector
from routeiq.core.remembered import LogStatus, PromptRecord, Record
from routeiq.core.request import RouteRequest

Answer = TypeVar("Answer")


class Reader(Protocol):
    """What is written, one decision at a time. Used by one thread."""

    def fetch(self, decision_id: str) -> Record | None:
        """Return what is written of a decision, or None; raises StoreUnavailable."""
        ...

    def close(self) -> None:
        """Let go of connections; called by the thread that reads."""
        ...


@dataclass(frozen=True)
class Pace:
    """How a log goes about its work.

    At most `queue_limit` records, or `queue_bytes` bytes of them, wait to be written; beyond that the oldest are
    dropped and counted. A write takes up to `batch` records, `linger_s` after the first of them came in, and ends with
    the data on disk. `answer_s` bounds how long feedback waits; `settle_s` is how long a decision that another process
    has just made may take to appear.
    """

    queue_limit: int = 50_000
    queue_bytes: int = 128 << 20
    batch: int = 500
    linger_s: float = 0.1
    answer_s: float = 3.0
    settle_s: float = 0.5


class SqlOutcomeLog:
    """Implements `core.ports.OutcomeLog` over a store and a reader, with a thread for each.

    `rows` makes rows of records, under a salt of this installation. `chance` is where the jitter of pauses comes from.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        rows: RowWriter,
        clock: Clock,
        pace: Pace,
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._answer_s = pace.answer_s
        self._settle_s = pace.settle_s
        self._closed = False
        self._rows = rows
        self._backlog = Backlog(pace.queue_limit, pace.queue_bytes)
        self._reader = reader
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="routeiq-outcome-log-read")
        self._writer = Writer(
            store,
            self._backlog,
            rows,
            batch=pace.batch,
            linger_s=pace.linger_s,
            chance=chance or random.Random(),  # noqa: S311 - jitter
        )

    def record_decision(self, request: RouteRequest, decision: Decision, embedding: Vector | None) -> None:
        """Queue a decision. `embedding` has shape (dimensions,) and must not change any more."""
        self._backlog.add(QueuedDecision(request, decision, embedding))

    def record_outcome(self, outcome: Outcome) -> None:
        """Queue an outcome; only the first one of a decision is kept."""
        self._backlog.add(outcome)

    async def add_feedback(self, feedback: Feedback) -> None:
        """Store feedback on disk; storing the same id again changes nothing.

        Raises UnknownDecision, or StoreUnavailable, and then the feedback must be sent again.
        """
        if await self.find(feedback.decision_id) is None:
            raise UnknownDecision(f"no decision {feedback.decision_id!r} is known")
        await self._answered(self._backlog.add_feedback(feedback))

    async def find(self, decision_id: str) -> Record | None:
        """Return what is known of a decision, queued records included; raises StoreUnavailable.

        While nothing can be written nothing is said to be unknown: another process may hold it and not get it in.
        """
        deadline = self._clock.monotonic() + self._settle_s
        while True:
            record = await self._find(decision_id)
            if record is not None:
                return record
            if self._clock.monotonic() >= deadline:
                break
            await asyncio.sleep(min(0.05, self._settle_s))
        if not self._writer.healthy:
            reason = self._writer.last_error_reason
            raise StoreUnavailable(
                f"the outcome log cannot be written ({reason}), so this may not be in it yet; try again"
            )
        return None

    async def _find(self, decision_id: str) -> Record | None:
        if self._closed:
            raise StoreUnavailable("the outcome log is closed")
        # What waits is asked first: a record that is written in between is then found in the file.
        waiting, outcome = self._backlog.find(decision_id)
        try:
            loop = asyncio.get_running_loop()
            stored = await self._bounded(loop.run_in_executor(self._reading, self._reader.fetch, decision_id))
        except StoreUnavailable:
            if waiting is None:
                raise
            stored = None
        if stored is None and waiting is not None:
            stored = self._of(waiting)
        if stored is not None and stored.outcome is None and outcome is not None:
            return replace(stored, outcome=outcome)
        return stored

    def _of(self, waiting: QueuedDecision) -> Record:
        request, decision = waiting.request, waiting.decision
        prompt = PromptRecord(
            surface=request.surface,
            tokens=request.prompt_tokens,
            digest=self._rows.digest(request.text),
            embedding=waiting.embedding,
            text=request.text if self._rows.store_prompts else None,
        )
        return Record(replace(decision, candidates=tuple(decision.candidates)), request.caller, prompt)

    def status(self) -> LogStatus:
        """Return how the log is doing; takes microseconds."""
        writer = self._writer
        return LogStatus(writer.healthy, len(self._backlog), self._backlog.dropped, writer.last_error_reason)

    async def flush(self) -> None:
        """Return when everything queued so far is on disk; raises StoreUnavailable."""
        await self._answered(self._backlog.barrier())

    async def close(self) -> None:
        """Write what is queued, as far as that is possible within the bound, and let go of the database."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        except StoreUnavailable as error:
            LOGGER.error("outcome log closes with %d records not written (%s)", len(self._backlog), error.message)
        self._backlog.close()
        deadline = self._clock.monotonic() + self._answer_s
        while not self._writer.join(0.0) and self._clock.monotonic() < deadline:
            await asyncio.sleep(0.005)
        released = self._release()
        while not released.done() and self._clock.monotonic() < deadline:
            await asyncio.sleep(0.005)

    def _release(self) -> "Future[None]":
        """Close the connection for reading."""
        try:
            released = self._reading.submit(self._reader.close)
        except RuntimeError:
            # The interpreter is shutting down: no thread reads any more, and none takes new work.
            self._reader.close()
            released = Future()
            released.set_result(None)
        self._reading.shutdown(wait=False)
        return released

    async def _answered(self, future: "Future[None]") -> None:
        if self._closed and self._backlog.closing:
            raise StoreUnavailable("the outcome log is closed; send it again")
        try:
            await self._bounded(asyncio.wrap_future(future))
        except StoreUnavailable as error:
            if self._writer.healthy:
                raise
            raise refused(self._writer.last_error_reason) from error

    async def _bounded(self, work: Awaitable[Answer]) -> Answer:
        try:
            return await asyncio.wait_for(work, self._answer_s)
        except TimeoutError as error:
            raise StoreUnavailable(
                f"the outcome log did not answer within {self._answer_s:g} s; send it again"
            ) from error
