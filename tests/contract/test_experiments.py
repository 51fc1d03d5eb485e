"""Experiments and conversations over what workers share: in memory, and in a real Redis."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from zlib import crc32

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.adapters.redis import RedisLink, RedisSharedState
from routeiq.config.redis_url import parse_redis_url
from routeiq.core.conversation import Conversation
from routeiq.core.experiment import CELLS, Plan
from routeiq.core.request import Caller, RouteRequest
from routeiq.core.shared import SharedState
from routeiq.guard.conversations import Conversations
from routeiq.guard.experiments import Experiments, moved, promoted, resumed, stopped
from routeiq.guard.mirror import Mirror
from routeiq.learn.sequential import skew_of
from routeiq.wiring import SystemClock
from tests.servers.redis import RedisServers, redis_servers
from tests.unit.core.test_experiment import asked, plan

AMPLE_S = 60.0
CLOCK = SystemClock()


def failed(where: str, error: BaseException) -> None:
    """Nothing may fail here."""
    raise AssertionError(where) from error


@dataclass
class World:
    """A store, the workers on it, and an experiment that no other test has."""

    url: str | None
    plan: Plan
    memory: MemorySharedState = field(default_factory=lambda: MemorySharedState(CLOCK))

    @asynccontextmanager
    async def state(self) -> AsyncIterator[SharedState]:
        """One worker's access to the store."""
        if self.url is None:
            yield self.memory
            return
        state = RedisSharedState(RedisLink(parse_redis_url(self.url)), bound_s=AMPLE_S)
        yield state
        await state.close()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Experiments]:
        """A worker's experiments, with a mirror of its own that runs."""
        async with self.state() as state:
            mirror = Mirror(state, CLOCK, ("ab.weights",), poll_s=0.2, flush_s=0.02, failed=failed)
            await mirror.start()
            found = Experiments(mirror, state, CLOCK, failed)
            yield found
            await found.close()
            await mirror.close()

    @asynccontextmanager
    async def workers(self, n: int) -> AsyncIterator[list[Experiments]]:
        """Several workers."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.worker()) for _ in range(n)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    """Redis servers for this file."""
    with redis_servers(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest, servers: RedisServers) -> World:
    """The world of one test."""
    # Who is in which arm depends on the name: one that is drawn anew is uneven by chance in one run of twenty.
    named = plan(name=f"exp-{crc32(request.node.name.encode()):08x}")
    return World(None if request.param == "memory" else servers.single().url, named)


async def serve(worker: Experiments, of: Plan, users: range) -> Counter[str]:
    """Place one request of each user, with a breath between some, and return the arms."""
    arms: Counter[str] = Counter()
    for i in users:
        placement = worker.place(of, asked(f"user-{i}"))
        assert placement is not None
        worker.assigned(placement)
        arms[placement.arm] += 1
        if i % 50 == 0:
            await asyncio.sleep(0)
    return arms


async def test_counts_are_exact_over_all_workers(world: World) -> None:
    """Four workers place 10,000 requests at once; the sums are exactly what they did, within one percent of even."""
    async with world.workers(4) as workers:
        spans = [range(i * 2_500, (i + 1) * 2_500) for i in range(4)]
        served = await asyncio.gather(*(serve(w, world.plan, r) for w, r in zip(workers, spans, strict=True)))
    arms = sum(served, Counter[str]())
    async with world.worker() as later:
        await later.ask([world.plan])
        counts = later.counts(world.plan)
    assert {arm: counts[arm]["assigned"] for arm in world.plan.arms} == dict(arms)
    assert arms["control"] == pytest.approx(5_000, abs=100)


async def test_a_unit_is_counted_once(world: World) -> None:
    """Users that come back to every worker are one unit each of the skew check, at most one to a cell."""
    async with world.workers(3) as workers:
        await asyncio.gather(*(serve(worker, world.plan, range(1_500)) for worker in workers))
    async with world.worker() as later:
        await later.ask([world.plan])
        counts = later.counts(world.plan)
    cells = {p.cell for i in range(1_500) if (p := world.plan.place(asked(f"user-{i}"), 0.0, None)) is not None}
    assert sum(counts[arm]["units"] for arm in world.plan.arms) == len(cells) <= CELLS
    assert not skew_of(world.plan, counts).alarm


async def until(is_so: object, deadline_s: float = AMPLE_S) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(deadline_s):
        while not is_so():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_what_an_operator_says_is_heard_everywhere(world: World) -> None:
    """Weights, stop, promotion and resumption reach the other worker, which places requests accordingly."""
    of = world.plan
    async with world.workers(2) as (here, there):
        now = CLOCK.now()
        await here.steer(of, moved(of, {"control": 0.0, "b": 1.0}, now))
        await until(lambda: {p.arm for i in range(20) if (p := there.place(of, asked(f"u{i}")))} == {"b"})
        await here.steer(of, stopped(of, now))
        await until(lambda: there.place(of, asked("u")) is None)
        await there.steer(of, resumed)
        await until(lambda: (p := here.place(of, asked("u"))) is not None and p.arm == "b")
        await here.steer(of, promoted(of, "control", now))
        await until(lambda: (p := there.place(of, asked("u"))) is not None and not p.counted)
        await here.steer(of, resumed)
        await here.steer(of, resumed)
        await until(lambda: there.steering(of) is None)


async def test_operators_do_not_overwrite_each_other(world: World) -> None:
    """Changes that are made at once all happen, one after the other: the last one's weights hold on both workers."""
    of = world.plan
    async with world.workers(2) as workers:
        weights = [{"control": float(i + 1), "b": 5.0} for i in range(4)]
        await asyncio.gather(*(workers[i % 2].steer(of, moved(of, w, CLOCK.now())) for i, w in enumerate(weights)))
        await until(lambda: workers[0].steering(of) == workers[1].steering(of) is not None)
        share = of.allocation(CLOCK.now(), workers[0].steering(of)).shares["control"]
    assert any(share == pytest.approx(w["control"] / (w["control"] + 5), abs=1e-5) for w in weights)


def turn(i: int = 0, **changes: object) -> RouteRequest:
    """Return a turn of a conversation that had turns before."""
    return replace(RouteRequest("r", "auto", session=f"s-{i}", caller=Caller("key")), **changes)  # type: ignore[arg-type]


async def test_a_conversation_is_known_on_the_other_replica(world: World) -> None:
    """What one worker served is known to another one when the next turn arrives there, and the newest turn wins."""
    async with world.state() as one, world.state() as other:
        here = Conversations(one, CLOCK, failed, budget_s=AMPLE_S)
        there = Conversations(other, CLOCK, failed, budget_s=AMPLE_S)
        request = turn(session=uuid.uuid4().hex)
        for model in ("small", "large"):
            here.turn(request, Conversation(model, CLOCK.now(), 500))
            async with asyncio.timeout(AMPLE_S):
                while (known := there.known(request)) is None or known.model != model:
                    await there.ask(request)
                    await asyncio.sleep(0.01)
        await here.close()
        await there.close()


async def test_a_conversation_is_forgotten(world: World) -> None:
    """After its time a conversation is gone from the worker that served it and from the store."""
    async with world.state() as one, world.state() as other:
        here = Conversations(one, CLOCK, failed, ttl_s=0.3, budget_s=AMPLE_S)
        request = turn(session=uuid.uuid4().hex)
        here.turn(request, Conversation("small", CLOCK.now()))
        assert here.known(request) is not None
        await here.close()
        await until(lambda: here.known(request) is None)
        await asyncio.sleep(0.3)
        there = Conversations(other, CLOCK, failed, budget_s=AMPLE_S)
        await there.ask(request)
        assert there.known(request) is None
        await there.close()
