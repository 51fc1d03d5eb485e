"""The outcome log in one SQLite file: what the rest of RouteIQ sees of it.

Owns the promises of `core.ports.OutcomeLog`: recording never waits, feedback is answered yes or no within a bound, and
what is queued is found before it is written. Several processes may use one file.
"""

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from routeiq.adapters.sqlite.backlog import Backlog
from routeiq.adapters.sqlite.database import Database, reason_of
from routeiq.adapters.sqlite.reading import fetch, read_labelled
from routeiq.adapters.sqlite.rows import QueuedDecision, RowWriter
from routeiq.adapters.sqlite.writer import LOGGER, Writer
from routeiq.core.decision import Decision
from routeiq.core.errors import StoreUnavailable, UnknownDecision
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Clock, Vector
from routeiq.core.remembered import LogStatus, PromptRecord, Record
from routeiq.core.request import RouteRequest

Answer = TypeVar("Answer")


class SqliteOutcomeLog:
    """Implements `core.ports.OutcomeLog` on a SQLite file in WAL mode, with one writer thread.

    `salt` keys the hash of prompts (see `load_or_create_salt`); prompt text is stored only with `store_prompts`.
    At most `queue_limit` records, or `queue_bytes` bytes of them, wait to be written; beyond that the oldest are
    dropped and counted. A write takes up to `batch` records, `linger_s` after the first of them came in, and ends with
    the data on disk. `answer_s` bounds how long feedback waits; `settle_s` is how long a decision that another process
    has just made may take to appear.

    A file that cannot be opened now does not raise: the log starts unhealthy and tries again. Raises ConfigError for a
    file that a newer RouteIQ wrote.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        salt: bytes,
        clock: Clock,
        store_prompts: bool = False,
        queue_limit: int = 50_000,
        queue_bytes: int = 128 << 20,
        batch: int = 500,
        linger_s: float = 0.1,
        answer_s: float = 3.0,
        settle_s: float = 0.5,
        chance: random.Random | None = None,
    ) -> None:
        self._path = Path(path)
        self._clock = clock
        self._answer_s = answer_s
        self._settle_s = settle_s
        self._closed = False
        self._rows = RowWriter(salt, store_prompts)
        self._backlog = Backlog(queue_limit, queue_bytes)
        self._reader = Database(self._path)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="routeiq-outcome-log-read")
        self._writer = Writer(
            Database(self._path),
            self._backlog,
            self._rows,
            batch=batch,
            linger_s=linger_s,
            chance=chance or random.Random(),  # noqa: S311 - jitter
        )
        self._check()
        self._writer.start()

    def _check(self) -> None:
        """Open the file once, so that what is wrong with it is known at the start and not at the first request."""
        try:
            self._reader.connection()
        except (sqlite3.Error, OSError) as error:
            self._writer.failed(error)

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

        While the file cannot be written nothing is said to be unknown: another process may hold it and not get it in.
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
            stored = await self._bounded(loop.run_in_executor(self._reading, self._fetch, decision_id))
        except StoreUnavailable:
            if waiting is None:
                raise
            stored = None
        if stored is None and waiting is not None:
            stored = self._of(waiting)
        if stored is not None and stored.outcome is None and outcome is not None:
            return replace(stored, outcome=outcome)
        return stored

    def _fetch(self, decision_id: str) -> Record | None:
        try:
            return fetch(self._reader.connection(), decision_id)
        except (sqlite3.Error, OSError) as error:
            self._reader.discard()
            raise StoreUnavailable(f"the outcome log cannot be read ({reason_of(error)})") from error

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

    def read_labelled(self, since: float = 0.0, alias: str | None = None) -> Iterator[Record]:
        """Yield what is written of every decision that somebody judged, see `reading.read_labelled`; blocks on I/O."""
        return read_labelled(self._path, since=since, alias=alias)

    def status(self) -> LogStatus:
        """Return how the log is doing; takes microseconds."""
        writer = self._writer
        return LogStatus(writer.healthy, len(self._backlog), self._backlog.dropped, writer.last_error_reason)

    async def flush(self) -> None:
        """Return when everything queued so far is on disk; raises StoreUnavailable."""
        await self._answered(self._backlog.barrier())

    async def close(self) -> None:
        """Write what is queued, as far as that is possible within the bound, and release the file."""
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
        """Close the connection for reading. The last connection moves the journal into the file and removes it."""
        try:
            released = self._reading.submit(self._reader.discard)
        except RuntimeError:
            # The interpreter is shutting down: no thread reads any more, and none takes new work.
            self._reader.discard()
            released = Future()
            released.set_result(None)
        self._reading.shutdown(wait=False)
        return released

    async def _answered(self, future: "Future[None]") -> None:
        if self._closed and self._backlog.closing:
            raise StoreUnavailable("the outcome log is closed; send it again")
        await self._bounded(asyncio.wrap_future(future))

    async def _bounded(self, work: Awaitable[Answer]) -> Answer:
        try:
            return await asyncio.wait_for(work, self._answer_s)
        except TimeoutError as error:
            raise StoreUnavailable(
                f"the outcome log did not answer within {self._answer_s:g} s; send it again"
            ) from error
