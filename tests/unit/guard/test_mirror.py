"""A worker's picture of shared state: fresh, ordered, and exact across outages."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.errors import StateUnavailable
from routeiq.guard.mirror import Mirror
from routeiq.testing.fakes import FakeClock


class Patchy(MemorySharedState):
    """A store that can be away, that can lose its answers, and that can keep what changed to itself."""

    away = False
    deaf = False
    silent = False

    async def put(self, *args: Any, **more: Any) -> int | None:
        return await self._through(super().put(*args, **more))

    async def add(self, *args: Any, **more: Any) -> Mapping[str, float]:
        return await self._through(super().add(*args, **more))

    async def changes(self, *args: Any, **more: Any) -> Any:
        return await self._through(super().changes(*args, **more))

    def watch(self, area: str, notify: Callable[[], None]) -> Callable[[], None]:
        return super().watch(area, lambda: None if self.silent else notify())

    async def _through(self, step: Any) -> Any:
        if self.away:
            step.close()
            raise StateUnavailable("away")
        answer = await step
        if self.deaf:
            raise StateUnavailable("no answer in time")
        return answer


class Scene:
    """One store, and mirrors of it that are turned by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = Patchy(self.clock)
        self.errors: list[tuple[str, BaseException]] = []

    def mirror(self, poll_s: float = 0.5) -> Mirror:
        def failed(where: str, error: BaseException) -> None:
            self.errors.append((where, error))

        return Mirror(self.state, self.clock, ("strategy", "cb"), poll_s=poll_s, failed=failed)

    async def turn(self, *mirrors: Mirror) -> None:
        self.clock.advance(1.0)
        for mirror in mirrors:
            await mirror.sync()


async def test_a_write_is_visible_here_at_once_and_elsewhere_after_a_turn() -> None:
    """What one worker puts, it sees at once; another sees it once both have taken a turn, and a removal likewise."""
    scene = Scene()
    one, two = scene.mirror(), scene.mirror()
    one.put("strategy", "auto", b"knn")
    assert one.get("strategy", "auto") == b"knn"
    assert two.get("strategy", "auto") is None
    await scene.turn(one, two)
    assert two.items("strategy") == {"auto": b"knn"}
    two.put("strategy", "auto", None)
    await scene.turn(two, one)
    assert one.items("strategy") == two.items("strategy") == {}


async def test_listeners_hear_what_others_changed_only() -> None:
    """A listener is told of changes from elsewhere once, not of its own worker's; a broken one is reported."""
    scene = Scene()
    one, two = scene.mirror(), scene.mirror()
    heard: list[Mapping[str, bytes | None]] = []
    one.on_change("cb", lambda changed: 1 / 0)  # type: ignore[arg-type, return-value]
    one.on_change("cb", heard.append)
    one.put("cb", "mine", b"open")
    two.put("cb", "theirs", b"open")
    await scene.turn(one, two, one)
    await scene.turn(two, one)
    two.put("cb", "theirs", None)
    await scene.turn(two, one)
    assert heard == [{"theirs": b"open"}, {"theirs": None}]
    assert [type(error) for _, error in scene.errors] == [ZeroDivisionError] * 2


async def test_sums_are_exact_when_answers_are_lost() -> None:
    """An addition whose answer was lost is sent again and counted once, and meanwhile shows here once."""
    scene = Scene()
    one, two = scene.mirror(), scene.mirror()
    one.add("cb", "openai", {"failures": 2})
    scene.state.deaf = True
    await scene.turn(one)
    assert not one.reachable
    one.add("cb", "openai", {"failures": 1})
    assert one.sums("cb", "openai") == {"failures": 3}
    scene.state.deaf = False
    await scene.turn(one)
    await scene.turn(one)
    two.sums("cb", "openai")
    await scene.turn(two)
    assert one.sums("cb", "openai") == two.sums("cb", "openai") == {"failures": 3}
    assert one.reachable


async def test_an_outage_is_reported_once_and_its_writes_are_caught_up() -> None:
    """While the store is away reads go on, one error is reported, and what was queued arrives when it is back."""
    scene = Scene()
    one, two = scene.mirror(), scene.mirror()
    scene.state.away = True
    one.put("strategy", "auto", b"old")
    one.put("strategy", "auto", b"new")
    one.add("cb", "openai", {"failures": 1})
    for _ in range(5):
        await scene.turn(one)
    assert one.get("strategy", "auto") == b"new"
    assert len(scene.errors) == 1
    scene.state.away = False
    await scene.turn(one, two)
    assert two.get("strategy", "auto") == b"new"
    assert await scene.state.counters("cb", "openai") == {"failures": 1}


async def test_additions_in_doubt_are_given_up_before_the_store_forgets_their_token() -> None:
    """An addition that may have been counted is not sent again after the store could have forgotten it."""
    scene = Scene()
    one = scene.mirror()
    one.add("cb", "openai", {"failures": 1})
    scene.state.deaf = True
    await scene.turn(one)
    scene.state.deaf, scene.state.away = False, True
    scene.clock.advance(700)
    await scene.turn(one)
    scene.state.away = False
    await scene.turn(one)
    assert await scene.state.counters("cb", "openai") == {"failures": 1}


async def test_what_was_written_for_a_time_ends_without_the_store() -> None:
    """A value with an expiry goes away here in time even when the store cannot be asked, sent or not."""
    scene = Scene()
    one = scene.mirror()
    one.put("cb", "sent", b"open", expires_s=30)
    await scene.turn(one)
    scene.state.away = True
    one.put("cb", "queued", b"open", expires_s=30)
    await scene.turn(one)
    assert set(one.items("cb")) == {"sent", "queued"}
    scene.clock.advance(31)
    await scene.turn(one)
    assert one.items("cb") == {}


async def test_a_lost_notification_is_made_up_for_by_asking() -> None:
    """With the background running, a change arrives with a notification and also when that is lost."""
    scene = Scene()
    seen = scene.mirror(poll_s=60)
    await seen.start()
    await scene.state.put("strategy", "auto", b"knn")
    async with asyncio.timeout(30):
        while seen.get("strategy", "auto") != b"knn":
            await asyncio.sleep(0.01)
        scene.state.silent = True
        await scene.state.put("strategy", "auto", b"elo")
        await asyncio.sleep(0.3)
        assert seen.get("strategy", "auto") == b"knn"
        scene.clock.advance(61)
        while seen.get("strategy", "auto") != b"elo":
            await asyncio.sleep(0.01)
    await seen.close()


async def test_closing_writes_what_waits_or_says_that_it_is_lost() -> None:
    """Close sends the last writes; when the store is away it reports the loss instead of hanging."""
    scene = Scene()
    one, two = scene.mirror(), scene.mirror()
    await one.start()
    await two.start()
    one.add("cb", "openai", {"failures": 1})
    await one.close()
    await one.close()
    assert await scene.state.counters("cb", "openai") == {"failures": 1}
    assert not scene.errors
    scene.state.away = True
    two.put("strategy", "auto", b"lost")
    await two.close()
    assert "lost on shutdown" in str(scene.errors[-1][1])


async def test_counts_behind_others_on_their_way_are_written_at_the_end() -> None:
    """A mirror that is closed while counts are on their way also writes those that were added meanwhile."""
    at = Scene()
    mirror = at.mirror()
    at.state.deaf = True
    await mirror.start()
    mirror.add("counts", "one", {"n": 1})
    await at.turn(mirror)
    mirror.add("counts", "one", {"n": 2})
    at.state.deaf = False
    at.errors.clear()
    await mirror.close()
    assert (await at.state.counters("counts", "one"), at.errors) == ({"n": 3}, [])
