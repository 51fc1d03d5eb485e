"""Experiments and conversations through everything, with fakes at the ports and real workers' memory."""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.candidate import Candidate
from routeiq.core.conversation import Conversation
from routeiq.core.decision import Decision, Hold, Reason
from routeiq.core.experiment import Plan
from routeiq.core.outcome import Feedback, Outcome, Status
from routeiq.core.request import Caller, RouteRequest
from routeiq.flow import RequestFlow
from routeiq.guard.conversations import Conversations
from routeiq.guard.experiments import Experiments, promoted, stopped
from routeiq.guard.mirror import Mirror
from routeiq.routing.affinity import Stay
from routeiq.routing.pickers import Best, EpsilonGreedy
from routeiq.routing.profile import Profile
from routeiq.routing.snapshot import Arms, Route, Snapshot, SnapshotHolder
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import FakeClock, RecordingLog, RecordingTelemetry
from tests.unit.core.test_experiment import plan
from tests.unit.routing.scene import request, snapshot
from tests.unit.routing.test_affinity import Expecting


class Broken:
    """A scorer that fails."""

    name = "broken"

    def predict(self, view: View) -> Prediction:
        """Raise."""
        raise ZeroDivisionError


class World:
    """Workers that share one store."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = MemorySharedState(self.clock)

    def worker(self, picture: Snapshot, shared: bool = True) -> RequestFlow:
        """Return a worker's flow."""
        telemetry = RecordingTelemetry()
        mirror = Mirror(self.state, self.clock, ("ab.weights",), failed=telemetry.failed)
        flow = RequestFlow(SnapshotHolder(picture), None, RecordingLog(), telemetry, self.clock, random.Random(1))
        flow.experiments = Experiments(mirror, self.state, self.clock, telemetry.failed)
        store = self.state if shared else None
        flow.conversations = Conversations(store, self.clock, telemetry.failed, budget_s=5.0)
        return flow


def learned(scores: list[float], name: str = "learned", epsilon: float = 0.0, scorer: Any = None) -> Route:
    """Return a route of a strategy that expects these scores of three candidates."""
    table = CandidateTable(tuple(Candidate(n, 1e-6, 2e-6) for n in ("small", "medium", "large")))
    picker = EpsilonGreedy(epsilon) if epsilon else Best()
    return Route("auto", table, Profile(name, (), ((scorer or Expecting(scores), 1.0),), picker), Stay())


def divided(control: Route, other: Route, of: Plan | None = None) -> Snapshot:
    """Return a snapshot with an experiment of two arms."""
    return Snapshot("v", {"auto": control}, experiments=(Arms(of or plan(), {"control": control, "b": other}),))


async def serve(flow: RequestFlow, asked: RouteRequest, status: Status = Status.SUCCESS) -> Decision:
    """Take one request through everything."""
    passage = flow.admit(asked)
    await flow.prepare(passage)
    decision = flow.decide(passage)
    flow.attempt(passage, decision.choice)
    at = flow.clock.now()
    flow.observe(passage, Outcome(decision.id, asked.id, at, decision.choice, status, cost_usd=0.5, latency_s=2.0))
    return decision


def by(user: str, **changes: Any) -> RouteRequest:
    """Return a request of a user."""
    return request(id=f"r-{random.getrandbits(64)}", caller=Caller("key", user=user), **changes)


async def test_users_are_divided_and_counted() -> None:
    """Each user is served by the strategy of its arm, and the arm's counters hold what was served and how it ended."""
    flow = World().worker(divided(learned([0.9, 0.1, 0.1]), learned([0.1, 0.9, 0.1])))
    assert flow.experiments is not None
    arms: Counter[str] = Counter()
    for i in range(200):
        decision = await serve(flow, by(f"u{i}"), Status.FAILURE if i % 10 == 0 else Status.SUCCESS)
        assert decision.experiment == "exp"
        assert decision.choice == {"control": "small", "b": "medium"}[str(decision.arm)]
        arms[str(decision.arm)] += 1
    counts = flow.experiments.counts(plan())
    assert {arm: counts[arm]["assigned"] for arm in arms} == arms
    assert sum(c["ok"] for c in counts.values()) == 180
    assert sum(c["failed"] for c in counts.values()) == 20
    assert sum(c["cost.sum"] for c in counts.values()) == pytest.approx(90.0)
    log = flow.log
    assert isinstance(log, RecordingLog)
    assert {decision.arm for _, decision, _ in log.decisions} == {"control", "b"}


async def test_feedback_counts_for_the_arm() -> None:
    """A score, and its correction, reach the counters of the arm that answered."""
    flow = World().worker(divided(learned([0.9, 0.1, 0.1]), learned([0.1, 0.9, 0.1])))
    assert flow.experiments is not None
    decision = await serve(flow, by("ann"))
    for score in (0.2, 0.8):
        feedback = Feedback(f"f{score}", decision.id, score, "judge", score=score)
        found = await flow.log.find(decision.id)
        assert found is not None
        await flow.log.add_feedback(feedback)
        flow.judged(found, feedback)
    counts = flow.experiments.counts(plan())[str(decision.arm)]
    assert (counts["score.n"], counts["score.sum"], counts["score.sq"]) == pytest.approx((1.0, 0.8, 0.64))


async def test_the_propensity_counts_both_arms() -> None:
    """It is the chance of the choice before the arm was known: each arm's share times what that arm would have done."""
    control, other = learned([0.9, 0.1, 0.1], epsilon=0.3), learned([0.9, 0.95, 0.1], epsilon=0.6)
    of = plan({"control": 3.0, "b": 1.0})
    flow = World().worker(divided(replace(control, stay=None), replace(other, stay=None), of))
    expected = {"small": 0.75 * 0.8 + 0.25 * 0.2, "medium": 0.75 * 0.1 + 0.25 * 0.6, "large": 0.75 * 0.1 + 0.25 * 0.2}
    seen: Counter[str] = Counter()
    for i in range(2_000):
        decision = flow.decide(flow.admit(by(f"u{i}")))
        assert decision.propensity == pytest.approx(expected[decision.choice])
        seen[decision.choice] += 1
    assert {name: count / 2_000 for name, count in seen.items()} == pytest.approx(expected, abs=0.04)


async def test_an_arm_that_fails_is_served_and_counted_as_such() -> None:
    """Its requests get the operator's order of that arm and count for it; the other arm's are decided as ever."""
    flow = World().worker(divided(learned([0.9, 0.1, 0.1]), learned([], scorer=Broken())))
    reasons: dict[str, set[Reason]] = {"control": set(), "b": set()}
    for i in range(40):
        decision = await serve(flow, by(f"u{i}"))
        reasons[str(decision.arm)].add(decision.reason)
    assert reasons == {"control": {Reason.BEST}, "b": {Reason.STATIC_ORDER}}


async def test_what_an_operator_says_takes_effect() -> None:
    """After a stop nobody is in an arm; after a promotion all take one arm's route, and neither is counted."""
    world = World()
    flow = world.worker(divided(learned([0.9, 0.1, 0.1]), learned([0.1, 0.9, 0.1])))
    assert flow.experiments is not None
    await flow.experiments.steer(plan(), stopped(plan(), 0.0))
    stop = [await serve(flow, by(f"u{i}")) for i in range(20)]
    assert {(d.choice, d.arm) for d in stop} == {("small", None)}
    await flow.experiments.steer(plan(), promoted(plan(), "b", 0.0))
    after = [await serve(flow, by(f"u{i}")) for i in range(20)]
    assert {(d.choice, d.experiment) for d in after} == {("medium", None)}
    assert flow.experiments.counts(plan())["b"].get("assigned", 0.0) == 0.0


async def test_a_preview_counts_nothing() -> None:
    """What would be decided shows the arm, and leaves the counters alone."""
    flow = World().worker(divided(learned([0.9, 0.1, 0.1]), learned([0.1, 0.9, 0.1])))
    assert flow.experiments is not None
    assert (await flow.preview(by("ann"))).experiment == "exp"
    assert not any(flow.experiments.counts(plan()).values())


def turn(**changes: Any) -> RouteRequest:
    """Return a turn of the conversation `s`."""
    return by("ann", session="s", prompt_tokens=4_000, **changes)


async def test_a_conversation_stays_on_its_model_on_the_other_replica() -> None:
    """Turn two arrives at another worker, which prefers another model by a little, and stays; a large gain moves it."""
    world = World()
    one = world.worker(Snapshot("v", {"auto": learned([0.70, 0.69, 0.1])}))
    other = world.worker(Snapshot("v", {"auto": learned([0.70, 0.72, 0.1])}))
    third = world.worker(Snapshot("v", {"auto": learned([0.70, 0.90, 0.1])}))
    first = await serve(one, turn(begins=True))
    assert (first.choice, first.affinity) == ("small", None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = await serve(other, turn())
    assert second.affinity is not None
    assert (second.choice, second.reason, second.affinity.hold) == ("small", Reason.AFFINITY, Hold.KEPT)
    assert second.affinity.cached_tokens == 4_000
    moved = await serve(third, turn())
    assert moved.affinity is not None
    assert (moved.choice, moved.affinity.hold) == ("medium", Hold.BROKEN)


async def test_it_goes_on_where_it_was_served() -> None:
    """After a fallback the conversation is on the model that answered; a failed turn leaves it where it was."""
    flow = World().worker(Snapshot("v", {"auto": learned([0.7, 0.7, 0.1])}), shared=False)
    passage = flow.admit(turn())
    decision = flow.decide(passage)
    flow.observe(passage, Outcome(decision.id, "r", flow.clock.now(), "medium", Status.SUCCESS))
    assert (await serve(flow, turn())).choice == "medium"
    failing = flow.admit(turn(hint="large"))
    asked = flow.decide(failing)
    flow.observe(failing, Outcome(asked.id, "r", flow.clock.now(), "large", Status.FAILURE))
    assert (await serve(flow, turn())).choice == "medium"


async def test_a_barred_model_is_given_up() -> None:
    """A conversation whose model LiteLLM does not offer, or whose breaker is open, goes on elsewhere."""
    flow = World().worker(Snapshot("v", {"auto": learned([0.7, 0.6, 0.5])}), shared=False)
    assert (await serve(flow, turn())).choice == "small"
    decision = flow.decide(flow.admit(turn()), {"small": "unavailable"})
    assert decision.affinity is not None
    assert (decision.choice, decision.affinity.hold) == ("medium", Hold.GONE)


async def test_where_each_turn_is_for_itself_nothing_is_remembered() -> None:
    """With a strategy that spreads requests a conversation is neither asked for nor kept."""
    flow = World().worker(snapshot("random"))
    await serve(flow, turn())
    assert flow.conversations is not None
    assert len(flow.conversations) == 0


async def test_a_store_that_hangs_delays_a_turn_by_the_budget_only() -> None:
    """While the shared state does not answer, a turn is decided like a first one after the budget."""

    class Hanging(MemorySharedState):
        async def get(self, area: str, key: str) -> Any:
            await asyncio.Event().wait()

    world = World()
    world.state = Hanging(world.clock)
    flow = world.worker(Snapshot("v", {"auto": learned([0.7, 0.6, 0.5])}))
    assert flow.conversations is not None
    flow.conversations.budget_s = 0.01
    async with asyncio.timeout(30):
        decision = await serve(flow, turn())
    assert (decision.choice, decision.affinity) == ("small", None)
    known = flow.conversations.known(turn())
    assert known == Conversation("small", flow.clock.now(), 4_000)
    await flow.close()
