"""The way of a request: admit, prepare, decide, observe. The only place where that order is written.

Owns the per-request state (`Passage`) and the promise that RouteIQ failing never fails a request: whatever goes wrong
while preparing or deciding ends in the operator's order, and says so. Knows nothing of LiteLLM or HTTP.
"""

import asyncio
import random
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from routeiq.core.conversation import Conversation
from routeiq.core.decision import BREAKER, Decision, Reason
from routeiq.core.errors import RouteIQError
from routeiq.core.experiment import Placement
from routeiq.core.outcome import Feedback, Outcome, Status
from routeiq.core.ports import Clock, Embedder, OutcomeLog, Remembered, Telemetry
from routeiq.core.remembered import effective
from routeiq.core.request import Caller, RouteRequest
from routeiq.core.reward import judged_score
from routeiq.guard.breakers import LOCAL, Breakers, Call
from routeiq.guard.conversations import Conversations
from routeiq.guard.degraded import EMBEDDER, Degraded
from routeiq.guard.experiments import Experiments
from routeiq.routing.learners import Learners
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Snapshot, SnapshotHolder
from routeiq.routing.stages import Features, View
from routeiq.routing.vitals import Vitals

PASSAGES_KEPT = 5_000
"""How many passages under way are remembered by request id; the oldest is given up on when there are more."""
ABANDONED_AFTER_S = 1_800.0
"""After how long without an end a request is recorded as cancelled: hosts do not report every client that leaves."""
ENDED_KEPT = 256
"""How many passages are remembered after their end, for what the host still asks (response headers, late events)."""

HELD_S = 10.0
"""How long the end of a broken stream waits to be recorded for the end of the answer, which a slow client may delay."""

ABANDONED = "Abandoned"
"""Stands for an error's class name in the outcome of a request whose end was never reported."""

EMBEDDING = f"{LOCAL}embedder"
"""The breaker of an embedder that runs in threads of this worker: while it is open no request waits for a vector."""

NAMED_STRATEGY = "named"
"""Strategy name in the records of requests whose caller named a concrete model."""


@dataclass(slots=True)
class Passage:
    """One request's way through the flow; owned by that request.

    `snapshot` is the one in force when the request came in, and stays so. `tried` are the candidates whose call was
    begun, in order; `since` is when the last of them was (before that, when the request came in), in seconds of the
    clock that never goes back. `spent_s` is
    what preparing and deciding took, without what the host does in between. `placement` is the request's arm.
    `delivered` are the events of a stream that were sent so far, where somebody counts them.
    """

    request: RouteRequest
    snapshot: Snapshot
    spent_s: float = 0.0
    features: Features = Features(absent="not_prepared")
    placement: Placement | None = None
    decision: Decision | None = None
    tried: list[str] = field(default_factory=list)
    serving: str | None = None
    since: float = 0.0
    ended: bool = False
    call: Call | None = None
    delivered: int = 0


def _nobody(call_id: object, caller: Caller) -> None:
    """Stand in for a guard that wants to know whom the host took a sender for."""


@dataclass(slots=True)
class RequestFlow:
    """The parts a request passes, and the order in which it passes them.

    `deadline_s` bounds how long a request waits for features that are computed off the event loop; at most
    `embedding_slots` such computations are under way, and a request beyond that goes on without them at once.
    """

    holder: SnapshotHolder
    embedder: Embedder | None
    log: OutcomeLog
    telemetry: Telemetry
    clock: Clock
    chance: random.Random
    deadline_s: float = 0.03
    embedding_slots: int = 4
    vitals: Vitals = field(default_factory=Vitals)
    experiments: Experiments | None = None
    conversations: Conversations | None = None
    learners: Learners = field(default_factory=Learners)
    breakers: Breakers | None = None
    degraded: Degraded | None = None
    met: Callable[[object, Caller], None] = _nobody
    _passages: "OrderedDict[str, Passage]" = field(default_factory=OrderedDict)
    _ended: "OrderedDict[str, Passage]" = field(default_factory=OrderedDict)
    _counting: set[str] = field(default_factory=set)
    _held: dict[str, tuple[Passage, Outcome]] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _embedding: int = 0
    _threads: ThreadPoolExecutor | None = None

    def admit(self, request: RouteRequest) -> Passage:
        """Open a passage on the snapshot that is in force now, and remember it by request id."""
        passage = Passage(request, self.holder.current, since=self.clock.monotonic())
        self._passages[request.id] = passage
        oldest = next(iter(self._passages.values()))
        if len(self._passages) > PASSAGES_KEPT or passage.since - oldest.since > ABANDONED_AFTER_S:
            self.unreported(oldest, Status.CANCELLED, ABANDONED)
        return passage

    def unreported(self, passage: Passage, status: Status, error: str) -> None:
        """Record the end of a request that the host did not report, unless it has by now."""
        decision = passage.decision
        if decision is None:
            self.dismiss(passage)
            return
        served = passage.tried[-1] if passage.tried else decision.choice
        self.observe(
            passage,
            Outcome(
                decision_id=decision.id,
                request_id=passage.request.id,
                at=self.clock.now(),
                model=served,
                status=status,
                retries=max(0, len(passage.tried) - 1),
                streamed=passage.request.stream,
                error=error,
            ),
        )

    def passage(self, request_id: str) -> Passage | None:
        """Return the passage of a request, also for a while after it ended; None when there was none."""
        return self._passages.get(request_id) or self._ended.get(request_id)

    async def prepare(self, passage: Passage) -> None:
        """Compute features under the deadline; what is missing is named in `features.absent` and never raises."""
        begun = self.clock.monotonic()
        request, memory = passage.request, self.conversations
        if memory is None or request.session is None or not passage.snapshot.stays(request.alias):
            passage.features = await self._features(request.text)
        elif self.embedder is None or self.embedder.inline:  # nothing to wait for, so nothing to do meanwhile
            passage.features = await self._features(request.text)
            await memory.ask(request)
        else:
            passage.features, _ = await asyncio.gather(self._features(request.text), memory.ask(request))
        if self.degraded is not None and self.embedder is not None:
            self.degraded.report(EMBEDDER, passage.features.absent is None)
        passage.spent_s += self.clock.monotonic() - begun

    async def _features(self, text: str) -> Features:
        embedder = self.embedder
        if embedder is None:
            return Features(absent="no_embedder")
        if embedder.inline or self.breakers is None:
            return await self._embedded_by(embedder, text)
        if self.breakers.shut((EMBEDDING,)):
            return Features(absent="embedder_resting")
        call, ok = self.breakers.begin(EMBEDDING), None
        try:
            features = await self._embedded_by(embedder, text)
            ok = None if features.absent == "embedder_busy" else features.absent is None
        finally:
            self.breakers.end(call, ok)
        return features

    async def _embedded_by(self, embedder: Embedder, text: str) -> Features:
        try:
            vector = embedder.embed(text) if embedder.inline else await self._embed_aside(embedder, text)
        except TimeoutError:
            return Features(absent="embedder_timeout")
        except Exception as error:  # noqa: BLE001 - somebody's embedder; the request goes on without features
            self.telemetry.failed("embedder", error)
            return Features(absent="embedder_failed")
        return Features(vector, embedder.id, absent=None if vector is not None else "embedder_busy")

    async def _embed_aside(self, embedder: Embedder, text: str) -> Any:
        """Embed in a thread; one that misses its deadline keeps its slot until it ends, so they cannot pile up."""
        if self._embedding >= self.embedding_slots:
            return None
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.embedding_slots, thread_name_prefix="routeiq-embed")
        self._embedding += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, embedder.embed, text)
        work.add_done_callback(self._embedded)
        return await asyncio.wait_for(asyncio.shield(work), self.deadline_s)

    def _embedded(self, work: "asyncio.Future[Any]") -> None:
        self._embedding -= 1
        if not work.cancelled() and work.exception() is not None:
            self.telemetry.failed("embedder", work.exception() or RuntimeError("embedder"))

    def decide(self, passage: Passage, barred: Mapping[str, str] | None = None, parent: Any = None) -> Decision:
        """Decide once per passage; later calls (retries) return the same decision. Never raises.

        `barred` maps candidates that the host does not offer to the word for it; `parent` is the host's enclosing span.
        """
        if passage.decision is not None:
            return passage.decision
        request = passage.request
        passage.decision = decision = self._settle(passage, barred or {})
        if passage.snapshot.route(request.alias) is not None:
            self._turns[request.alias] = self._turns.get(request.alias, 0) + 1
        if self.experiments is not None and passage.placement is not None:
            self.experiments.assigned(passage.placement)
        if self.breakers is not None:
            self.breakers.chosen(decision.choice)
        self.log.record_decision(request, decision, passage.features.embedding)
        self.telemetry.decided(request, decision, parent)
        return decision

    def weigh(self, passage: Passage, barred: Mapping[str, str]) -> Decision:
        """Return what is expected of the candidates of a compound model. Nothing is kept or reported. Never raises."""
        return self._settle(passage, barred)

    def conclude(self, passage: Passage, decision: Decision, parent: Any = None) -> None:
        """Keep and report a decision that a compound model has come to; once per passage."""
        passage.decision = decision
        self.log.record_decision(passage.request, decision, passage.features.embedding)
        self.telemetry.decided(passage.request, decision, parent)

    async def preview(self, request: RouteRequest, barred: Mapping[str, str] | None = None) -> Decision:
        """Return what would be decided now. No call follows, so nothing is counted, kept, logged or reported.

        The decision's id is empty, as nothing can be looked up by it.
        """
        passage = Passage(request, self.holder.current)
        await self.prepare(passage)
        return replace(self._settle(passage, barred or {}), id="")

    def forbidden(self, passage: Passage, alias: str) -> dict[str, str]:
        """Return the candidates of an alias that the operator forbids this caller, and the filter that says so.

        Raises what such a filter raises: the host must take that for a refusal of everything.
        """
        route = passage.snapshot.route(alias)
        if route is None:
            return {}
        return route.profile.forbidden(View(passage.request, passage.features, route.table, self.vitals))

    def divert(self, passage: Passage, alias: str, barred: Mapping[str, str]) -> tuple[str, ...]:
        """Return the order in which to try the candidates of another alias that the host fell back to. Never raises.

        The request keeps the one decision it has; what served it in the end stands in its outcome.
        """
        elsewhere = Passage(replace(passage.request, alias=alias), passage.snapshot, features=passage.features)
        return self._settle(elsewhere, barred).ranking

    def _settle(self, passage: Passage, barred: Mapping[str, str]) -> Decision:
        """Decide, or fall back to the operator's order; changes nothing but the passage and the state of `chance`."""
        begun = self.clock.monotonic()
        barred = self._resting(passage, barred)
        try:
            decision = self._decide(passage, barred)
        except Exception as error:  # noqa: BLE001 - fail open: the operator's order serves the request
            self.telemetry.failed("decide", error)
            decision = self._static_order(passage, barred, error)
        passage.spent_s += self.clock.monotonic() - begun
        missing = self.degraded.missing() if self.degraded is not None else None
        return decision.timed(passage.spent_s * 1000.0, missing)

    def _resting(self, passage: Passage, barred: Mapping[str, str]) -> Mapping[str, str]:
        """Return `barred` with the candidates whose breaker is open."""
        route = passage.snapshot.route(passage.request.alias)
        shut = self.breakers.shut(route.table.names) if self.breakers is not None and route is not None else ()
        return {**dict.fromkeys(shut, BREAKER), **barred} if shut else barred

    def _decide(self, passage: Passage, barred: Mapping[str, str]) -> Decision:
        request = passage.request
        if passage.snapshot.route(request.alias) is None:
            return self._named(passage)
        arms = passage.snapshot.experiment(request.alias)
        if arms is not None and self.experiments is not None:
            passage.placement = self.experiments.place(arms.plan, request)
        return Router(passage.snapshot).decide(
            request,
            passage.features,
            self.vitals,
            decision_id=_new_id(),
            barred=barred,
            draw=self.chance.random(),
            turn=self._turns.get(request.alias, 0),
            now=self.clock.now(),
            placement=passage.placement,
            conversation=self.conversations.known(request) if self.conversations is not None else None,
        )

    def _named(self, passage: Passage) -> Decision:
        """Return the record of a request whose caller named the model."""
        name = passage.request.alias
        return self._plain(passage, (name,), NAMED_STRATEGY, Reason.NAMED, None)

    def _static_order(self, passage: Passage, barred: Mapping[str, str], error: Exception) -> Decision:
        route, arms = passage.snapshot.route(passage.request.alias), passage.snapshot.experiment(passage.request.alias)
        if arms is not None and passage.placement is not None:
            route = arms.routes[passage.placement.arm]
        names = route.table.names if route is not None else (passage.request.alias,)
        allowed = self._allowed(passage, names)
        offered = tuple(n for n in allowed if barred.get(n, BREAKER) == BREAKER) or allowed or (passage.request.alias,)
        offered = tuple(sorted(offered, key=lambda name: name in barred))
        strategy = route.profile.strategy if route is not None else NAMED_STRATEGY
        degraded = error.reason if isinstance(error, RouteIQError) else "internal"
        return self._plain(passage, offered, strategy, Reason.STATIC_ORDER, degraded)

    def _allowed(self, passage: Passage, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names that the operator does not forbid this caller; none when that cannot be found out."""
        try:
            words = self.forbidden(passage, passage.request.alias)
        except Exception as error:  # noqa: BLE001 - permission fails closed
            self.telemetry.failed("forbidden", error)
            return ()
        return tuple(name for name in names if name not in words)

    def _plain(
        self, passage: Passage, names: tuple[str, ...], strategy: str, reason: Reason, degraded: str | None
    ) -> Decision:
        request, placed = passage.request, passage.placement
        counted = placed if placed is not None and placed.counted else None
        return Decision(
            id=_new_id(),
            request_id=request.id,
            at=self.clock.now(),
            alias=request.alias,
            strategy=strategy,
            choice=names[0],
            ranking=names,
            propensity=1.0,
            reason=reason,
            degraded=degraded,
            embedder=passage.features.embedder,
            snapshot=passage.snapshot.version,
            experiment=counted.experiment if counted else None,
            arm=counted.arm if counted else None,
            unit=counted.unit if counted else None,
        )

    def attempt(self, passage: Passage, name: str) -> None:
        """Note that a call to a candidate begins; a call still noted as under way has been given up on."""
        self.release(passage, latency_s=None, ok=False, blamed=False)
        passage.tried.append(name)
        passage.serving = name
        passage.since = self.clock.monotonic()
        self.vitals.begin(name)
        if self.breakers is not None:
            passage.call = self.breakers.begin(name, passage.request.stream)

    def release(
        self, passage: Passage, latency_s: float | None, ok: bool, blamed: bool = True, ttft_s: float | None = None
    ) -> None:
        """Note that the call under way ended; does nothing when none is.

        `blamed` is False for a failure that says nothing of who was called.
        """
        if passage.serving is not None:
            self.vitals.end(passage.serving, latency_s, ok)
            passage.serving = None
        if passage.call is not None and self.breakers is not None:
            self.breakers.end(passage.call, ok if ok or blamed else None, latency_s, ttft_s)
            passage.call = None

    def began(self, passage: Passage) -> None:
        """Note that the answer begins to reach the client."""
        if passage.call is not None:
            passage.call.first_at = self.clock.monotonic()

    def counting(self, request_id: str) -> None:
        """Note that somebody counts what is delivered of an answer, and will call `counted` when that is over."""
        self._counting.add(request_id)

    def counted(self, request_id: str) -> None:
        """Note that no more is delivered of an answer, and record the end that was held back for this."""
        self._counting.discard(request_id)
        held = self._held.pop(request_id, None)
        if held is not None:
            self._record(*held)

    def observe(self, passage: Passage, outcome: Outcome) -> None:
        """Record the end of the request; only the first call for a passage counts.

        The host may know that a stream broke before all was sent that it had read of it. Where that is counted, such an
        end is recorded when the answer is over, or after `HELD_S`.
        """
        if passage.ended:
            return
        passage.ended = True
        self._retire(passage)
        if outcome.cached:  # the host's cache answered, so whom it would have called has shown nothing
            self.release(passage, None, ok=False, blamed=False)
        ok, blamed = outcome.status is Status.SUCCESS, outcome.status is Status.FAILURE
        self.release(passage, outcome.latency_s, ok, blamed, outcome.ttft_s)
        request_id = passage.request.id
        if ok or not outcome.streamed or request_id not in self._counting:
            self._record(passage, outcome)
            return
        self._held[request_id] = passage, outcome
        asyncio.get_running_loop().call_later(HELD_S, self.counted, request_id)

    def _record(self, passage: Passage, outcome: Outcome) -> None:
        if outcome.status is not Status.SUCCESS and passage.delivered:
            outcome = replace(outcome, delivered=passage.delivered)
        self.log.record_outcome(outcome)
        self.telemetry.ended(outcome)
        self._learn(passage, outcome)
        self._remember(passage, outcome)

    def _learn(self, passage: Passage, outcome: Outcome) -> None:
        if passage.decision is None:
            return
        try:
            self.learners.ended(passage.decision, passage.features, passage.request.caller, outcome)
        except Exception as error:  # noqa: BLE001 - learning never costs a request
            self.telemetry.failed("learn", error)

    def _remember(self, passage: Passage, outcome: Outcome) -> None:
        """Count for the request's arm how it ended, and remember which model its conversation is on."""
        decision, request = passage.decision, passage.request
        if decision is None:
            return
        if self.experiments is not None:
            self.experiments.ended(decision, outcome)
        served = outcome.status is Status.SUCCESS and not outcome.cached
        if self.conversations is not None and served and passage.snapshot.stays(request.alias):
            turn = Conversation(outcome.model, self.clock.now(), request.prompt_tokens, decision.artifact)
            self.conversations.turn(request, turn)

    def judged(self, found: Remembered, feedback: Feedback) -> None:
        """Learn from feedback that has been stored; `found` is what was known of the decision before. Never raises."""
        try:
            if self.experiments is not None:
                scores = (
                    judged_score(effective(given), None) for given in (found.feedback, (*found.feedback, feedback))
                )
                self.experiments.judged(found.decision, *scores)
            self.learners.judged(found, feedback)
        except Exception as error:  # noqa: BLE001 - the feedback is kept, and a training will learn from it
            self.telemetry.failed("learn", error)

    def dismiss(self, passage: Passage) -> None:
        """Forget a request that ended before anything was decided; nothing is recorded of it."""
        if not passage.ended:
            passage.ended = True
            self._retire(passage)

    def _retire(self, passage: Passage) -> None:
        """Remember an ended passage for a while; `request.text` may be a megabyte, so it is not kept."""
        self._passages.pop(passage.request.id, None)
        passage.request = replace(passage.request, text="")
        self._ended[passage.request.id] = passage
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    async def close(self) -> None:
        """Make everything durable and stop."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for request_id in tuple(self._held):
            self.counted(request_id)
        self.learners.close()
        for part in (self.conversations, self.experiments):
            if part is not None:
                await part.close()
        await self.log.close()


def _new_id() -> str:
    return "dec_" + secrets.token_hex(12)
