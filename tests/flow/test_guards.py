"""Breakers in the flow: what is counted, what moves in the ranking, and who is not waited for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from routeiq.core.decision import BREAKER, Reason
from routeiq.core.outcome import Status
from routeiq.guard.breaker import State, Trip
from routeiq.guard.breakers import Breakers
from routeiq.testing.fakes import FakeClock
from tests.flow.test_request_path import end, make
from tests.unit.routing.scene import request


def guarded(**changes: Any) -> tuple[Any, Breakers]:
    """A flow over small, medium and large, smallest first, with breakers that trip on three failures."""
    clock = FakeClock()
    breakers = Breakers(Trip(failures=3), clock, {})
    flow = make(breakers=breakers, **changes)
    flow.clock = clock
    return flow, breakers


def fail(flow: Any, name: str, times: int, blamed: bool = True) -> None:
    """Have calls to a candidate fail."""
    for at in range(times):
        passage = flow.admit(request(id=f"{name}-{at}-{blamed}"))
        flow.attempt(passage, name)
        flow.release(passage, 0.1, ok=False, blamed=blamed)


def test_an_open_candidate_is_ranked_last_and_said_to_be() -> None:
    """It is not missing: when everything else fails too, it is tried."""
    flow, _ = guarded()
    fail(flow, "small", 3)
    decision = flow.decide(flow.admit(request()))
    assert (decision.choice, decision.ranking[-1]) == ("medium", "small")
    assert decision.report["small"].filtered_by == BREAKER
    assert decision.propensity == 1.0


def test_when_all_are_open_the_order_is_as_usual() -> None:
    """Breakers never leave a request without a candidate, nor one whose others are not to be had."""
    flow, _ = guarded()
    fail(flow, "small", 3)
    assert flow.decide(flow.admit(request(id="a")), {"medium": "tags", "large": "tags"}).choice == "small"
    fail(flow, "medium", 3)
    fail(flow, "large", 3)
    assert flow.decide(flow.admit(request(id="b"))).choice == "small"


def test_the_operators_order_heeds_breakers_too() -> None:
    """A decision that fell back to the static order tries an open candidate last."""
    flow, _ = guarded()
    fail(flow, "small", 3)
    flow.chance = None
    decision = flow.decide(flow.admit(request()))
    assert decision.reason is Reason.STATIC_ORDER
    assert decision.ranking[-1] == "small"


def test_only_what_is_the_providers_fault_counts() -> None:
    """Errors of the caller's making, and clients that leave, open nothing; failed outcomes do."""
    flow, breakers = guarded()
    fail(flow, "small", 9, blamed=False)
    assert breakers.states().get("small", State.CLOSED) is State.CLOSED
    for at, status in enumerate([Status.CANCELLED] * 3 + [Status.FAILURE] * 3):
        passage = flow.admit(request(id=f"r{at}"))
        flow.decide(passage)
        flow.attempt(passage, "small")
        flow.observe(passage, end(passage, status))
    assert breakers.states()["small"] is State.OPEN


def test_an_answer_from_the_hosts_cache_says_nothing_of_a_candidate() -> None:
    """The host notes a call before it looks into its cache; a hit makes nobody healthy, nor fast, nor busy."""
    flow, breakers = guarded()
    for at in range(8):
        passage = flow.admit(request(id=f"c{at}"))
        flow.decide(passage)
        flow.attempt(passage, "small")
        kept = at < 5
        ended = end(passage, Status.SUCCESS if kept else Status.FAILURE)
        flow.observe(passage, replace(ended, cached=kept, latency_s=0.0003))
    assert breakers.states()["small"] is State.OPEN
    assert flow.vitals.counts() == {}
    table = flow.holder.current.route("auto").table
    before = flow.vitals.latency(table).tolist()
    passage = flow.admit(request(id="last"))
    flow.decide(passage)
    flow.attempt(passage, "large")
    flow.observe(passage, replace(end(passage), cached=True, latency_s=0.0003))
    assert repr(flow.vitals.latency(table).tolist()) == repr(before)


@dataclass
class BrokenEmbedder:
    """An embedder in a thread that always fails."""

    calls: int = 0
    id: str = "broken"
    dimensions: int = 4
    inline: bool = False

    def embed(self, text: str) -> Any:
        """Fail."""
        self.calls += 1
        raise ZeroDivisionError

    def embed_many(self, texts: Sequence[str]) -> Any:
        """Return vectors."""
        return np.ones((len(texts), 4), dtype=np.float32)


async def test_an_embedder_that_keeps_failing_is_not_waited_for() -> None:
    """After some failures requests go on without a vector at once, and say so."""
    embedder = BrokenEmbedder()
    flow, _ = guarded(embedder=embedder)
    absent = []
    for at in range(5):
        passage = flow.admit(request(id=f"r{at}"))
        await flow.prepare(passage)
        absent.append(passage.features.absent)
        await asyncio.sleep(0)
    assert absent == ["embedder_failed"] * 3 + ["embedder_resting"] * 2
    assert embedder.calls == 3
