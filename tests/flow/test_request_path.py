"""One request through everything, with fakes at the ports: a part that is built but not wired fails here."""

import asyncio
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from routeiq.core.decision import Reason
from routeiq.core.outcome import Outcome, Status
from routeiq.core.ports import Embedder
from routeiq.core.request import Caller
from routeiq.flow import NAMED_STRATEGY, Passage, RequestFlow
from routeiq.routing.embedding import load_default
from routeiq.routing.filters import AllowListFilter
from routeiq.routing.snapshot import SnapshotHolder
from routeiq.routing.stages import Prediction, View
from routeiq.testing.fakes import FakeClock, RecordingLog, RecordingTelemetry
from tests.unit.routing.scene import request, snapshot


@dataclass
class SlowEmbedder:
    """An embedder that answers only when it is let go."""

    go: threading.Event = field(default_factory=threading.Event)
    id: str = "slow"
    dimensions: int = 4
    inline: bool = False

    def embed(self, text: str) -> Any:
        """Wait, then return a vector."""
        self.go.wait(10)
        return np.ones(4, dtype=np.float32)

    def embed_many(self, texts: Sequence[str]) -> Any:
        """Return vectors at once."""
        return np.ones((len(texts), 4), dtype=np.float32)


class BrokenScorer:
    """A scorer that always fails."""

    name = "broken"

    def predict(self, view: View) -> Prediction:
        """Raise."""
        raise ZeroDivisionError("secret prompt text")


def make(strategy: str = "smallest", embedder: Embedder | None = None, **changes: Any) -> RequestFlow:
    """Return a flow over the usual three candidates."""
    return RequestFlow(
        holder=SnapshotHolder(snapshot(strategy)),
        embedder=embedder,
        log=RecordingLog(),
        telemetry=RecordingTelemetry(),
        clock=FakeClock(),
        chance=random.Random(1),
        **changes,
    )


def end(passage: Passage, status: Status = Status.SUCCESS, latency_s: float = 0.5) -> Outcome:
    """Return the outcome of a passage."""
    assert passage.decision is not None
    return Outcome(passage.decision.id, passage.request.id, 0.0, "small", status, latency_s=latency_s)


async def test_a_request_goes_through_everything() -> None:
    """A prompt is embedded, decided, logged, reported, attempted, and its outcome joins the decision."""
    flow = make(embedder=load_default())
    passage = flow.admit(request(text="What is the boiling point of water?"))
    await flow.prepare(passage)
    decision = flow.decide(passage, {"medium": "unavailable"}, parent="span")
    flow.attempt(passage, decision.choice)
    flow.observe(passage, end(passage))
    log, telemetry = flow.log, flow.telemetry
    assert isinstance(log, RecordingLog)
    assert isinstance(telemetry, RecordingTelemetry)
    [(logged_request, logged, vector)] = log.decisions
    assert (logged_request.text, logged.id) == ("What is the boiling point of water?", decision.id)
    assert vector is not None
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert telemetry.decisions == [(decision, "span")]
    found = await log.find(decision.id)
    assert found is not None
    assert found.outcome == log.outcomes[0] == telemetry.outcomes[0]
    assert flow.passage("r1") is passage


async def test_a_retry_keeps_the_decision() -> None:
    """Deciding again for the same passage returns the same decision and records nothing twice."""
    flow = make("random")
    passage = flow.admit(request())
    await flow.prepare(passage)
    first = flow.decide(passage)
    assert flow.decide(passage, {first.choice: "unavailable"}) is first
    assert isinstance(flow.log, RecordingLog)
    assert len(flow.log.decisions) == 1


async def test_only_the_first_outcome_counts() -> None:
    """A request that is reported twice has one outcome."""
    flow = make()
    passage = flow.admit(request())
    flow.decide(passage)
    flow.observe(passage, end(passage))
    flow.observe(passage, end(passage, Status.FAILURE))
    assert isinstance(flow.log, RecordingLog)
    assert [o.status for o in flow.log.outcomes] == [Status.SUCCESS]


async def test_calls_under_way_return_to_zero() -> None:
    """Every attempt is released: by the next attempt, by the outcome, or when the passage is forgotten."""
    flow = make()
    table = flow.holder.current.routes["auto"].table
    passage = flow.admit(request())
    flow.decide(passage)
    flow.attempt(passage, "small")
    flow.attempt(passage, "large")
    assert flow.vitals.in_flight(table).tolist() == [0, 0, 1]
    assert passage.tried == ["small", "large"]
    flow.observe(passage, end(passage, Status.CANCELLED))
    assert flow.vitals.in_flight(table).tolist() == [0, 0, 0]


async def test_a_failing_scorer_serves_the_operators_order() -> None:
    """An internal error ends in the operator's order without what is barred, and says so without the error's text."""
    flow = make()
    route = flow.holder.current.routes["auto"]
    broken = replace(route, profile=replace(route.profile, scorers=((BrokenScorer(), 1.0),)))
    flow.holder.swap(replace(flow.holder.current, routes={"auto": broken}))
    decision = flow.decide(flow.admit(request()), {"small": "unavailable"})
    assert decision.ranking == ("medium", "large")
    assert decision.reason is Reason.STATIC_ORDER
    assert decision.degraded == "internal"
    assert "secret" not in repr(decision)
    assert isinstance(flow.telemetry, RecordingTelemetry)
    assert [where for where, _ in flow.telemetry.failures] == ["decide"]


async def test_nobody_left_still_serves_the_operators_order() -> None:
    """When filters leave nobody, LiteLLM gets the operator's order and gives its own error if it must."""
    decision = make().decide(make().admit(request(prompt_tokens=10**9)))
    assert decision.degraded == "no_candidate"
    assert decision.ranking == ("small", "medium", "large")


async def test_a_slow_embedder_is_not_waited_for() -> None:
    """Features that miss the deadline are absent, and the request goes on."""
    embedder = SlowEmbedder()
    flow = make(embedder=embedder, deadline_s=0.01)
    try:
        passage = flow.admit(request())
        await flow.prepare(passage)
        assert passage.features.absent == "embedder_timeout"
        assert flow.decide(passage).choice == "small"
    finally:
        embedder.go.set()
        await flow.close()


async def test_slow_embeddings_do_not_pile_up() -> None:
    """Beyond the slots that are taken a request goes on at once without features; slots come back when done."""
    embedder = SlowEmbedder()
    flow = make(embedder=embedder, deadline_s=0.01, embedding_slots=2)
    passages = [flow.admit(request(id=f"r{i}")) for i in range(5)]
    await asyncio.gather(*(flow.prepare(p) for p in passages))
    absent = sorted(str(p.features.absent) for p in passages)
    assert absent == ["embedder_busy"] * 3 + ["embedder_timeout"] * 2
    embedder.go.set()
    for _ in range(200):
        await asyncio.sleep(0.01)
        late = flow.admit(request(id="late"))
        await flow.prepare(late)
        if late.features.embedding is not None:
            break
    assert late.features.embedding is not None
    await flow.close()


async def test_a_named_model_is_recorded_as_such() -> None:
    """A request that names a concrete model is not routed, but has a decision that outcome and feedback attach to."""
    flow = make()
    decision = flow.decide(flow.admit(request(alias="large")))
    assert (decision.strategy, decision.choice, decision.reason) == (NAMED_STRATEGY, "large", Reason.NAMED)
    assert decision.propensity == 1.0


async def test_a_request_keeps_the_snapshot_it_came_in_with() -> None:
    """A swap in the middle of a request does not change the request."""
    flow = make("smallest")
    passage = flow.admit(request())
    flow.holder.swap(replace(snapshot("largest"), version="v2"))
    assert flow.decide(passage).choice == "small"
    assert flow.decide(flow.admit(request(id="r2"))).choice == "large"


async def test_a_preview_leaves_no_trace() -> None:
    """Deciding without calling changes no counter, writes nothing and is not remembered."""
    flow = make("round-robin")
    previews = [await flow.preview(request()) for _ in range(3)]
    assert {p.choice for p in previews} == {"small"}
    assert isinstance(flow.log, RecordingLog)
    assert flow.log.decisions == []
    assert flow.passage("r1") is None


async def test_time_is_what_deciding_took() -> None:
    """The duration of a decision leaves out what the host does between preparing and deciding."""
    flow = make()
    passage = flow.admit(request())
    await flow.prepare(passage)
    assert isinstance(flow.clock, FakeClock)
    flow.clock.advance(3.0)
    assert flow.decide(passage).duration_ms == 0.0


async def test_falling_back_does_not_widen_what_a_team_may_use() -> None:
    """The operator's order is taken only among the candidates that the team's allow list has."""
    flow = make()
    route = flow.holder.current.routes["auto"]
    listed = AllowListFilter({"red": frozenset({"large"})})
    narrowed = replace(route, profile=replace(route.profile, filters=(listed,), scorers=((BrokenScorer(), 1.0),)))
    flow.holder.swap(replace(flow.holder.current, routes={"auto": narrowed}))
    decision = flow.decide(flow.admit(request(caller=Caller(team="red"))))
    assert decision.reason is Reason.STATIC_ORDER
    assert decision.ranking == ("large",)
    barred = flow.decide(flow.admit(request(id="r2", caller=Caller(team="red"))), {"large": "unavailable"})
    assert set(barred.ranking) <= {"large"}
    assert flow.decide(flow.admit(request(id="r3"))).ranking == ("small", "medium", "large")
