"""Which model a conversation is on: bounded in memory, never waited for, and nobody's but the key's."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.conversation import Conversation, conversation_key
from routeiq.core.errors import StateUnavailable
from routeiq.core.request import Caller, RouteRequest
from routeiq.core.shared import Document
from routeiq.guard import behind, conversations
from routeiq.guard.conversations import Conversations
from routeiq.testing.fakes import FakeClock


class Frozen(MemorySharedState):
    """A store that does not answer while it is frozen, and fails while it is away."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.go = asyncio.Event()
        self.away = False
        self.asked = self.written = 0

    async def get(self, area: str, key: str) -> Document | None:
        """Wait, then answer."""
        self.asked += 1
        await self.go.wait()
        if self.away:
            raise StateUnavailable("away")
        return await super().get(area, key)

    async def put(self, *args: Any, **more: Any) -> int | None:
        """Wait, then write."""
        await self.go.wait()
        if self.away:
            raise StateUnavailable("away")
        self.written += 1
        return await super().put(*args, **more)


class Scene:
    """A worker on a store."""

    def __init__(self, **changes: Any) -> None:
        self.clock = FakeClock()
        self.state = Frozen(self.clock)
        self.errors: list[str] = []
        self.memory = Conversations(self.state, self.clock, lambda where, error: self.errors.append(where), **changes)

    def told(self, model: str = "small") -> Conversation:
        return Conversation(model, self.clock.now(), 100)


def turn(i: int = 0, **changes: Any) -> RouteRequest:
    """Return a turn of a conversation."""
    return replace(RouteRequest("r", "auto", session=f"s-{i}", caller=Caller("key")), **changes)


async def test_a_known_conversation_is_not_waited_for() -> None:
    """While the store hangs, a worker answers for what it knows itself, at once."""
    at = Scene(budget_s=60.0)
    at.memory.turn(turn(), at.told())
    async with asyncio.timeout(30):
        await at.memory.ask(turn())
    assert at.memory.known(turn()) == at.told()
    await asyncio.sleep(0)
    assert at.state.asked == 1


async def test_an_unknown_one_is_waited_for_within_the_budget() -> None:
    """A store that hangs delays the first turn by the budget, and its answer is still used by the next."""
    at = Scene(budget_s=0.01)
    await at.state.put("affinity", _key(turn()), at.told("large").encoded()) if at.state.go.is_set() else None
    begun = asyncio.get_running_loop().time()
    await at.memory.ask(turn())
    assert asyncio.get_running_loop().time() - begun >= 0.009
    assert at.memory.known(turn()) is None
    at.state.go.set()
    await at.state.put("affinity", _key(turn()), at.told("large").encoded())
    await at.memory.ask(turn())
    assert at.memory.known(turn()) == at.told("large")


def _key(request: RouteRequest) -> str:
    key = conversation_key(request)
    assert key is not None
    return key


async def test_questions_to_a_store_that_hangs_do_not_pile_up() -> None:
    """A flood of new conversations asks a bounded number of questions at a time, and the others go on at once."""
    at = Scene(budget_s=0.02)
    await asyncio.gather(*(at.memory.ask(turn(i)) for i in range(500)))
    assert at.state.asked == conversations.ASKED_AT_ONCE


async def test_a_flood_of_conversations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and waiting writes stay within their bounds, the newest are kept, and what was lost is counted."""
    monkeypatch.setattr(conversations, "KEPT", 100)
    monkeypatch.setattr(behind, "QUEUED", 50)
    at = Scene()
    for i in range(1_000):
        at.memory.turn(turn(i), at.told())
    assert len(at.memory) == 100
    assert len(at.memory._behind) == 50
    assert at.memory._behind.dropped == 950
    assert at.memory.known(turn(999)) is not None
    assert at.memory.known(turn(0)) is None


async def test_an_outage_is_told_once_and_costs_nothing() -> None:
    """Without the store a worker goes on with its own memory, and says so once."""
    at = Scene()
    at.state.away = True
    at.state.go.set()
    for i in range(5):
        at.memory.turn(turn(i), at.told())
        await at.memory.ask(turn(100 + i))
    await at.memory.close()
    assert sorted(set(at.errors)) == ["affinity"]
    assert len(at.errors) == 2
    assert at.memory.known(turn(3)) == at.told()


async def test_turns_of_one_conversation_are_written_once() -> None:
    """Turns that come faster than they are written leave the last one."""
    at = Scene()
    for model in ("a", "b", "c"):
        at.memory.turn(turn(), at.told(model))
    at.state.go.set()
    await at.memory.close()
    document = await at.state.get("affinity", _key(turn()))
    assert document is not None
    assert Conversation.decoded(document.value) == at.told("c")


async def test_a_beginning_is_not_a_continuation() -> None:
    """A request that nothing went before is not taken for a turn of an earlier one with the same first words."""
    at = Scene()
    at.memory.turn(turn(begins=True), at.told())
    assert at.memory.known(turn(begins=True)) is None
    assert at.memory.known(turn()) == at.told()
    await at.memory.ask(turn(begins=True))
    assert at.state.asked == 0


async def test_a_conversation_ends_with_its_time() -> None:
    """What is older than its time is not known any more; a request without a conversation never was."""
    at = Scene(ttl_s=60.0)
    at.memory.turn(turn(), at.told())
    at.clock.advance(59)
    assert at.memory.known(turn()) is not None
    at.clock.advance(2)
    assert at.memory.known(turn()) is None
    at.memory.turn(turn(session=None), at.told())
    assert at.memory.known(turn(session=None)) is None


async def test_a_clock_that_is_set_back_does_not_hide_newer_turns() -> None:
    """What another worker says after the clock was set back takes the place of a turn from before that."""
    at = Scene()
    at.state.go.set()
    at.memory.turn(turn(), at.told())
    await at.memory.close()
    at.clock.advance(-600.0)
    await at.state.put("affinity", _key(turn()), at.told("large").encoded())
    await at.memory.ask(turn())
    async with asyncio.timeout(30):
        while at.memory.known(turn()) != at.told("large"):
            await asyncio.sleep(0)
