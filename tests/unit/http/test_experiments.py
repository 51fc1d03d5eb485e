"""The endpoints of experiments: who may look, who may change, and what the report says."""

from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.arm_counts import observed
from routeiq.core.errors import StateUnavailable
from routeiq.core.experiment import CELLS
from routeiq.guard.experiments import COUNTERS, Experiments
from routeiq.guard.mirror import Mirror
from routeiq.http.edge import Edge
from routeiq.routing.snapshot import Arms, Route, Snapshot
from tests.unit.core.test_experiment import plan
from tests.unit.http.scene import ADMIN, ALICE, Scene, scene, translate
from tests.unit.http.test_endpoints import code
from tests.unit.routing.scene import snapshot


class Store(MemorySharedState):
    """A store that can be away."""

    away = False

    async def get(self, *args: Any) -> Any:
        """Return a value, unless away."""
        if self.away:
            raise StateUnavailable("away")
        return await super().get(*args)


def picture() -> Snapshot:
    """Return a snapshot whose alias takes part in an experiment of `smallest` against `largest`."""
    control = snapshot("smallest").routes["auto"]
    other: Route = snapshot("largest").routes["auto"]
    return Snapshot("v1", {"auto": control}, experiments=(Arms(plan(), {"control": control, "b": other}),))


def running() -> tuple[Scene, Experiments, Store]:
    """Return an edge with an experiment, not started: its mirror is turned by requests."""
    at = scene(picture=picture())
    state = Store(at.flow.clock)
    mirror = Mirror(state, at.flow.clock, ("ab.weights",), failed=at.telemetry.failed)
    found = at.flow.experiments = Experiments(mirror, state, at.flow.clock, at.telemetry.failed)
    nothing = at.inner._lifespan
    at.edge = Edge(
        at.inner,
        flow=at.flow,
        log=at.log,
        auth=at.edge._keyed.auth,
        translate=translate,
        metrics=lambda: (b"", ""),
        on_startup=nothing,  # type: ignore[arg-type]  # never started here
        on_shutdown=nothing,  # type: ignore[arg-type]
    )
    return at, found, state


async def post(at: Scene, body: Any, key: str | None = ADMIN, name: str = "exp") -> Any:
    """Change an experiment."""
    return await at.ask("POST", f"/routeiq/experiments/{name}", key=key, json=body)


async def test_the_report_has_every_arm() -> None:
    """Requests are counted by arm with their ends, and any key may look."""
    at, _, _ = running()
    ids = [await at.decided() for _ in range(5)]
    for decision_id in ids:
        await at.ask("POST", "/routeiq/feedback", json={"decision_id": decision_id, "score": 0.5})
    [found] = (await at.ask("GET", "/routeiq/experiments", key=ALICE)).json()["experiments"]
    assert (found["name"], found["phase"], found["counting"], found["by_schedule"]) == ("exp", "running", True, True)
    assert found["weights"] == {"control": 0.5, "b": 0.5}
    # The caller has no user, so that all requests count as its key and have one arm.
    [(arm, counts)] = [(arm, counts) for arm, counts in found["arms"].items() if counts["assigned"]]
    assert (counts["assigned"], counts["ok"], counts["under_way"]) == (5, 5, 0)
    assert (counts["quality"]["n"], counts["quality"]["mean"], counts["quality"]["low"]) == (5, 0.5, None)
    assert set(found["arms"]) == {"control", "b"}
    assert "versus_control" in found["arms"]["b"]
    assert counts["strategy"] == {"control": "smallest", "b": "largest"}[arm]
    explained = (await at.ask("GET", f"/routeiq/decisions/{ids[0]}")).json()
    assert (explained["experiment"], explained["arm"]) == ("exp", arm)


async def test_differences_come_with_intervals() -> None:
    """With enough observations of enough units each arm has an interval, and so has its difference to the control."""
    at, experiments, _ = running()
    for arm, score in (("control", 0.5), ("b", 0.9)):
        for i in range(400):
            amounts = observed("score", score + 0.1 * (i % 2), i * 7 % CELLS)
            experiments.mirror.add(COUNTERS, f"exp:0f3a:{arm}", amounts)
    found = (await at.ask("GET", "/routeiq/experiments/exp")).json()["arms"]["b"]["versus_control"]["quality"]
    assert found["mean"] == pytest.approx(0.4)
    assert 0.3 < found["low"] < 0.4 < found["high"] < 0.5


async def test_only_admins_change_experiments() -> None:
    """Without a key the answer is 401, with an ordinary one 403, and nothing is changed."""
    at, experiments, _ = running()
    assert code(await post(at, {"action": "stop"}, key=None)) == (401, "unauthenticated")
    assert code(await post(at, {"action": "stop"}, key=ALICE)) == (403, "forbidden")
    assert experiments.steering(plan()) is None


async def test_an_admin_changes_weights_stops_and_promotes() -> None:
    """The answer is the experiment as it is then, and requests follow."""
    at, _, _ = running()
    found = (await post(at, {"action": "weights", "weights": {"control": 0, "b": 3}})).json()
    assert (found["weights"], found["by_schedule"]) == ({"b": 1.0}, False)
    found = (await post(at, {"action": "stop"})).json()
    assert (found["phase"], found["counting"]) == ("stopped", False)
    explained = (await at.ask("GET", f"/routeiq/decisions/{await at.decided()}")).json()
    assert (explained["experiment"], explained["choice"]) == (None, "small")
    found = (await post(at, {"action": "promote", "arm": "b"})).json()
    assert (found["phase"], found["winner"]) == ("promoted", "b")
    explained = (await at.ask("GET", f"/routeiq/decisions/{await at.decided()}")).json()
    assert (explained["experiment"], explained["strategy"]) == (None, "largest")
    assert (await post(at, {"action": "resume"})).json()["weights"] == {"b": 1.0}
    assert (await post(at, {"action": "resume"})).json()["by_schedule"] is True


async def test_without_shared_state_nothing_can_be_changed() -> None:
    """A store that is away refuses changes with 503 and leaves the report readable."""
    at, _, state = running()
    state.away = True
    assert code(await post(at, {"action": "stop"})) == (503, "state_unavailable")
    assert (await at.ask("GET", "/routeiq/experiments/exp")).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"action": "halt"}, "weights"),
        ({"action": "stop", "weights": {"control": 1}}, "no other takes it"),
        ({"action": "weights"}, "needs"),
        ({"action": "weights", "weights": {"control": 1}}, "nothing for b"),
        ({"action": "weights", "weights": {"control": 1, "bb": 1}}, "did you mean"),
        ({"action": "weights", "weights": {"control": 0, "b": 0}}, "all are 0"),
        ({"action": "weights", "weights": {"control": -1, "b": 1}}, "greater than or equal to 0"),
        ({"action": "promote"}, "needs"),
        ({"action": "promote", "arm": "z"}, "not an arm"),
        ({"action": "stop", "actoin": 1}, "unknown key"),
    ],
)
async def test_a_change_that_cannot_be_read_is_refused(body: Any, words: str) -> None:
    """The message says what was found and what was expected, and nothing is changed."""
    at, experiments, _ = running()
    answer = await post(at, body)
    assert code(answer) == (400, "request_invalid")
    assert words in answer.json()["error"]["message"]
    assert experiments.steering(plan()) is None


async def test_an_unknown_experiment_is_told_the_nearest() -> None:
    """A name that is not in the configuration is 404 with what is."""
    at, _, _ = running()
    for answer in (await at.ask("GET", "/routeiq/experiments/expp"), await post(at, {"action": "stop"}, name="expp")):
        assert code(answer) == (404, "unknown_experiment")
        assert "'exp'" in answer.json()["error"]["message"]
