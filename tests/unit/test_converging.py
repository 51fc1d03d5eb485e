"""How workers bring each other to the same configuration; they live in different years, and share memory or sockets."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from routeiq.adapters.memory import MemorySharedState
from routeiq.config.redis_url import parse_redis_url
from routeiq.config.reload import Reloader, SyncStatus
from routeiq.converging import Convergence
from routeiq.guard.degraded import Degraded
from routeiq.guard.mirror import Mirror
from routeiq.http.siblings import Siblings
from routeiq.sharing import AREAS, Shared
from routeiq.testing.fakes import FakeClock

SKEW_S = 30.0 * 86_400


class Files:
    """The files that all workers read; `late` is how many looks it takes until a worker sees the newest."""

    def __init__(self) -> None:
        self.now = "d1"
        self.broken: set[str] = set()


class Looking:
    """Stands in for a reloader: looks at the files, and takes up what is not broken."""

    def __init__(self, files: Files, clock: FakeClock, late: int = 0) -> None:
        self.files, self.clock, self.late = files, clock, late
        self.status = SyncStatus("ok", "v-d1", "d1", "d1", clock.now(), clock.now())
        self.looks: list[bool] = []
        self.calls: list[Callable[[SyncStatus], None]] = []

    def hear(self, call: Callable[[SyncStatus], None]) -> None:
        self.calls.append(call)

    async def check(self, force: bool = False) -> SyncStatus:
        self.looks.append(force)
        seen = self.status.seen if len(self.looks) <= self.late else self.files.now
        if force or seen != self.status.seen:
            if seen in self.files.broken:
                self.status = replace(self.status, state="rejected", seen=seen, reason="config_invalid")
            else:
                now = self.clock.now()
                self.status = SyncStatus("ok", f"v-{seen}", seen, seen, now, now)
            for call in self.calls:
                call(self.status)
        return self.status


class Worker:
    """One worker's part, with a clock of its own."""

    def __init__(self, state: MemorySharedState, files: Files, number: int, siblings: Siblings | None = None) -> None:
        self.clock = FakeClock()
        self.clock.advance(number * SKEW_S)
        self.looking = Looking(files, self.clock, late=2 * number)
        mirror = Mirror(state, FakeClock(), AREAS, failed=lambda where, error: None, poll_s=0.05, flush_s=0.01)
        address = None if siblings is not None else parse_redis_url("redis://localhost")
        self.shared = Shared(state, state, mirror, Degraded(self.clock), self.clock, f"w{number}", address)
        self.shared._loop, self.shared._replica = asyncio.get_running_loop(), "replica"
        self.part = Convergence(self.shared, cast(Reloader, self.looking), siblings)

    @property
    def digest(self) -> str:
        return self.looking.status.digest


@asynccontextmanager
async def workers(files: Files, sockets: Path | None = None, count: int = 3) -> AsyncIterator[list[Worker]]:
    state = MemorySharedState(FakeClock())
    made = []
    for number in range(count):
        siblings = None if sockets is None else Siblings(sockets, number, count, lambda texts: b"")
        own = state if sockets is None else MemorySharedState(FakeClock())
        worker = Worker(own, files, number, siblings)
        await worker.shared.mirror.start()
        worker.part.start()
        if siblings is not None:
            await siblings.open(lambda: (b"", ""))
        made.append(worker)
    for worker in made:
        await until(lambda worker=worker: len(worker.shared.workers()) == count)  # type: ignore[misc]
    try:
        yield made
    finally:
        for worker in made:
            await worker.part.close()
            await worker.shared.mirror.close()
            if worker.part.siblings is not None:
                await worker.part.siblings.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)


async def test_what_one_has_seen_the_others_look_for() -> None:
    """Also those whose files come later, and whatever year each believes it is; then all say that they agree."""
    files = Files()
    async with workers(files) as (first, *others):
        files.now = "d2"
        await first.looking.check()
        await until(lambda: all(worker.digest == "d2" for worker in others))
        await until(lambda: all(len({one["digest"] for one in w.shared.workers()}) == 1 for w in others))
        found: Any = await first.part.status()
        assert (found["agreement"]["agree"], found["agreement"]["settled"]) == (True, True)


async def test_a_refusal_is_known_everywhere() -> None:
    """A version that one refuses is looked at, and refused, by all: nobody waits for a poll to say so."""
    files = Files()
    async with workers(files) as (first, *others):
        files.now, files.broken = "d2", {"d2"}
        await first.looking.check()
        await until(lambda: all(worker.looking.status.state == "rejected" for worker in others))
        found: Any = await others[0].part.status()
        assert found["agreement"]["agree"]


async def test_an_order_is_carried_out_once_by_each_and_answered() -> None:
    """`look` returns when all have looked, with what each serves; a second one is another order."""
    async with workers(Files()) as made:
        for force in (False, True):
            found = await made[1].part.look(force)
            assert [one["id"] for one in found] == ["w1", "w0", "w2"]
            assert all(one["answered"] for one in found)
        assert [worker.looking.looks for worker in made] == [[False, True]] * 3


async def test_a_worker_that_does_not_follow_looks_when_it_is_told_to() -> None:
    """Where looking is turned off, news of a version changes nothing and an order does."""
    files = Files()
    async with workers(files) as (first, second, third):
        second.part.follows = False
        files.now = "d2"
        await first.looking.check()
        await until(lambda: third.digest == "d2")
        assert second.looking.looks == []
        await first.part.look(force=True)
        assert second.looking.looks == [True]


async def test_siblings_tell_each_other_where_nothing_is_shared() -> None:
    """Over their sockets: what they serve, what they have seen, and an order with its answers; one may be gone."""
    files = Files()
    with tempfile.TemporaryDirectory(prefix="riq-") as folder:
        async with workers(files, Path(folder)) as (first, second, third):
            files.now = "d2"
            await first.looking.check()
            await until(lambda: second.digest == third.digest == "d2")
            found: Any = await second.part.status()
            assert (found["agreement"]["workers"], found["agreement"]["agree"]) == (3, True)
            assert found["agreement"]["reach"] == "this replica"
            assert third.part.siblings is not None
            await third.part.siblings.close()
            answered = {one["worker"]: one["answered"] for one in await first.part.look(force=True)}
            assert answered == {0: True, 1: True, 2: False}


async def test_what_a_worker_says_is_json_and_has_no_message() -> None:
    """Reasons are words; the messages of refusals, which name files and keys, stay with the worker."""
    files = Files()
    async with workers(files, count=1) as (only,):
        files.now, files.broken = "d2", {"d2"}
        await only.looking.check()
        said = json.loads(json.dumps(only.shared.own()))
        assert (said["state"], said["reason"]) == ("rejected", "config_invalid")
        assert "message" not in said
