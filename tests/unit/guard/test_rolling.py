"""The steps of a rolling restart, and who takes them when leaders come and go."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.errors import RestartRefused
from routeiq.guard.mirror import Mirror
from routeiq.guard.rolling import AREA, GONE_S, KEY, LEASE_S, PATIENCE_S, RollingRestart, advanced, noted, ordered
from routeiq.http.foreman import Replacement
from routeiq.testing.fakes import FakeClock


@dataclass
class Crew:
    """A supervisor that does what a test says; `asked` are the orders it was given."""

    asked: list[str] = field(default_factory=list)
    latest: Replacement | None = None
    refuses: bool = False

    def replace(self, order: str) -> None:
        self.asked.append(order)
        self.say("refused" if self.refuses else "replacing", 0, order)

    def say(self, state: Any, replaced: int, order: str | None = None, why: str | None = None) -> None:
        self.latest = Replacement(order or self.asked[-1], state, replaced, 2, why)

    def news(self, order: str) -> Replacement | None:
        return self.latest if self.latest is not None and self.latest.order == order else None

    def on_news(self, call: Callable[[], None]) -> None:
        pass


class Cluster:
    """Workers of replicas `a` and `b`, two each, on one state; time stands still."""

    def __init__(self, everywhere: bool = True) -> None:
        self.clock = FakeClock()
        self.state = MemorySharedState(self.clock)
        self.crews = {"a": Crew(), "b": Crew()}
        self.present: list[Mapping[str, Any]] = []
        self.parts: dict[str, RollingRestart] = {}
        for replica in ("a", "b"):
            for number in (0, 1):
                self.join(replica, f"{replica}{number}", everywhere)

    def join(self, replica: str, worker: str, everywhere: bool = True) -> None:
        mirror = Mirror(self.state, self.clock, (AREA,), failed=_never)
        self.present.append({"id": worker, "replica": replica, "supervised": True})
        self.parts[worker] = RollingRestart(
            self.state,
            mirror,
            self.clock,
            worker,
            replica=lambda: replica,
            workers=lambda: self.present,
            supervisor=self.crews[replica],
            everywhere=everywhere,
            failed=_never,
        )

    async def turns(self, count: int = 4, leave: str = "") -> dict[str, Any]:
        """Let every worker (but one) take some turns; return the document."""
        for _ in range(count):
            for name, part in self.parts.items():
                if name != leave:
                    await part.mirror.refresh(AREA)
                    await part._turn()
        found = await self.state.get(AREA, KEY)
        return {} if found is None else json.loads(found.value)

    async def states(self, leave: str = "") -> list[str]:
        return [row["state"] for row in (await self.turns(leave=leave))["replicas"]]


def _never(where: str, error: BaseException) -> None:
    raise AssertionError(where) from error


async def test_one_replica_after_the_other() -> None:
    """The second begins when all workers of the first serve; each supervisor is asked by its own workers."""
    cluster = Cluster()
    begun = await cluster.parts["b1"].order("key")
    assert await cluster.states() == ["replacing", "waiting"]
    assert set(cluster.crews["a"].asked) == {begun["id"]}
    assert cluster.crews["b"].asked == []
    cluster.crews["a"].say("replacing", 1)
    assert await cluster.states() == ["replacing", "waiting"]
    cluster.crews["a"].say("done", 2)
    assert await cluster.states() == ["done", "replacing"]
    cluster.crews["b"].say("done", 2)
    assert (await cluster.turns())["state"] == "done"
    assert cluster.parts["a0"].progress() == await cluster.turns()


async def test_a_second_one_is_refused_while_the_first_is_under_way() -> None:
    """Whoever is asked, and also when both are asked before either has heard of the other."""
    cluster = Cluster()
    begun = await cluster.parts["a0"].order("key")
    for worker in ("a0", "b0"):
        with pytest.raises(RestartRefused, match=begun["id"]):
            await cluster.parts[worker].order("key")


async def test_the_first_failure_is_the_end() -> None:
    """What one replica cannot start with does not reach the next, and the reason is there."""
    cluster = Cluster()
    await cluster.parts["a0"].order("key")
    await cluster.turns()
    cluster.crews["a"].say("failed", 0, why="config.yaml:3: no")
    found = await cluster.turns()
    assert (found["state"], found["why"]) == ("failed", "a: config.yaml:3: no")
    assert [row["state"] for row in found["replicas"]] == ["failed", "waiting"]
    assert cluster.crews["b"].asked == []


async def test_another_worker_leads_when_the_leader_falls_silent() -> None:
    """A leader that is replaced leaves no word; after its lease another goes on, with a higher fence."""
    cluster = Cluster()
    await cluster.parts["a0"].order("key")
    fence = (await cluster.turns())["fence"]
    cluster.crews["a"].say("done", 2)
    cluster.clock.advance(LEASE_S / 2)
    assert await cluster.states(leave="a0") == ["done", "waiting"]
    cluster.clock.advance(LEASE_S)
    assert await cluster.states(leave="a0") == ["done", "replacing"]
    after = await cluster.turns(leave="a0")
    assert after["fence"] > fence
    await cluster.parts["a0"]._lead(fence)
    assert await cluster.turns(count=0) == after


async def test_a_replica_that_is_gone_is_passed_over_before_its_turn_only() -> None:
    """Nothing is left to restart there; but one that vanishes while it is replaced is a failure."""
    cluster = Cluster()
    await cluster.parts["a0"].order("key")
    await cluster.turns()
    cluster.present = [one for one in cluster.present if one["replica"] == "a"]
    cluster.clock.advance(GONE_S / 2)
    await cluster.turns()
    cluster.crews["a"].say("done", 2)
    cluster.clock.advance(GONE_S)
    found = await cluster.turns()
    assert (found["state"], [row["state"] for row in found["replicas"]]) == ("done", ["done", "gone"])
    document = advanced(ordered("o", ["a", "b"], "", 0.0), (), stuck=False)
    assert advanced(document, {"a"}, stuck=False)["state"] == "failed"


async def test_a_replica_that_gets_nowhere_is_given_up() -> None:
    """A worker that never comes up keeps nobody waiting for ever."""
    cluster = Cluster()
    await cluster.parts["a0"].order("key")
    await cluster.turns()
    for _ in range(int(PATIENCE_S / LEASE_S) + 5):
        cluster.clock.advance(LEASE_S)
        found = await cluster.turns(count=1)
    assert found["state"] == "failed"


async def test_a_single_process_is_refused_by_name() -> None:
    """It could not be replaced without dropping what it does; nothing is begun anywhere."""
    cluster = Cluster()
    cluster.present.append({"id": "c0", "replica": "c", "supervised": False})
    with pytest.raises(RestartRefused, match="c: a single process"):
        await cluster.parts["a0"].order("key")
    alone = Cluster()
    alone.parts["a0"].supervisor = None
    with pytest.raises(RestartRefused, match="--workers 2"):
        await alone.parts["a0"].order("key")
    assert await alone.state.get(AREA, KEY) is None


async def test_without_shared_state_the_supervisor_knows() -> None:
    """One replica: every worker shows what the supervisor says, and what that refuses is refused."""
    cluster = Cluster(everywhere=False)
    begun = await cluster.parts["a0"].order("key")
    assert (begun["state"], begun["replicas"][0]["state"]) == ("under way", "replacing")
    with pytest.raises(RestartRefused):
        await cluster.parts["a1"].order("key")
    cluster.crews["a"].say("done", 2)
    found = cluster.parts["a1"].progress()
    assert found is not None
    assert (found["id"], found["state"]) == (begun["id"], "done")
    cluster.crews["a"].refuses = True
    with pytest.raises(RestartRefused):
        await cluster.parts["a0"].order("key")


def test_news_counts_for_the_replica_whose_turn_it_is() -> None:
    """Late news of a replica that is done, or not yet due, changes nothing."""
    document = ordered("o", ["a", "b"], "", 0.0)
    assert noted(document, "a", Replacement("o", "done", 2, 2)) == document
    document = advanced(document, (), stuck=False)
    assert noted(document, "b", Replacement("o", "done", 2, 2)) == document
    told = noted(document, "a", Replacement("o", "refused", 0, 2, "busy"))
    assert told["replicas"][0]["state"] == "failed"
