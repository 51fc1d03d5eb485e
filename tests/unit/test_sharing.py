"""What a worker shares: who may change it, what is refused, and that it is taken up."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request

from routeiq.adapters.memory import MemorySharedState
from routeiq.config.reload import SyncStatus
from routeiq.core.candidate import Candidate
from routeiq.core.errors import RequestInvalid, UnknownStrategy
from routeiq.core.request import Caller
from routeiq.guard.mirror import Mirror
from routeiq.http.strategy import StrategyEndpoint
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from routeiq.sharing import SharedLoad
from routeiq.testing.fakes import FakeClock

TABLE = CandidateTable((Candidate("small"), Candidate("big")))
ADMIN = Caller(admin=True)


class Scene:
    """An endpoint over memory, with a worker that knows two strategies."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = MemorySharedState(self.clock)
        self.mirror = Mirror(self.state, self.clock, ("strategy",), failed=lambda where, error: None)
        self.active = {"auto": "largest"}
        self.endpoint = StrategyEndpoint(self.state, self.mirror, lambda: self.active, self._attempt, self._look)

    def _attempt(self, chosen: Mapping[str, str]) -> None:
        if not set(chosen.values()) <= {"largest", "smallest"}:
            raise UnknownStrategy("did you mean 'smallest'?")

    async def _look(self) -> SyncStatus:
        chosen = {alias: value.decode() for alias, value in self.mirror.items("strategy").items()}
        self.active = {"auto": "largest", **chosen}
        return SyncStatus("ok", "v2", "d", "d", 0.0, 0.0)

    async def ask(self, body: object = None, caller: Caller = ADMIN) -> tuple[int, Any]:
        """Send a body, or GET without one."""

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        scope = {"type": "http", "method": "GET" if body is None else "POST", "path": "/", "headers": []}
        answer = await self.endpoint(Request(scope, receive), caller, "")
        return answer.status_code, json.loads(bytes(answer.body))


async def test_a_choice_is_written_and_taken_up() -> None:
    """The answer says what is chosen and active; null takes it back."""
    scene = Scene()
    status, form = await scene.ask({"alias": "auto", "strategy": "smallest"})
    assert (status, form) == (200, {"chosen": {"auto": "smallest"}, "active": {"auto": "smallest"}, "snapshot": "v2"})
    found = await scene.state.get("strategy", "auto")
    assert found is not None
    assert found.value == b"smallest"
    assert (await scene.ask())[1]["chosen"] == {"auto": "smallest"}
    status, form = await scene.ask({"alias": "auto", "strategy": None})
    assert (status, form["active"]) == (200, {"auto": "largest"})


async def test_what_cannot_be_compiled_is_not_written() -> None:
    """A strategy that fails to compile is 422 with its reason, and no worker hears of it."""
    scene = Scene()
    status, form = await scene.ask({"alias": "auto", "strategy": "smalest"})
    assert (status, form["error"]["code"]) == (422, "unknown_strategy")
    assert await scene.state.get("strategy", "auto") is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"alias": "atuo", "strategy": "largest"}, "expected one of: auto"),
        ({"alias": "auto"}, 'expected {"alias"'),
        ({"alias": "auto", "strategy": 7}, "expected a name, or null"),
        ({"alias": "auto", "strategy": "largest", "until": 1}, 'expected {"alias"'),
    ],
)
async def test_a_malformed_body_is_named(body: object, message: str) -> None:
    """What is missing, unknown or of the wrong type is said."""
    with pytest.raises(RequestInvalid, match=message):
        await Scene().ask(body)


async def test_least_busy_sees_the_calls_of_other_workers() -> None:
    """What one worker has under way counts at another; what ended, or a worker that is gone, does not."""
    clock = FakeClock()
    state = MemorySharedState(clock)
    mirrors = [Mirror(state, clock, ("busy",), failed=lambda where, error: None) for _ in range(2)]
    loads = [SharedLoad(mirror, Vitals(), f"w{number}") for number, mirror in enumerate(mirrors)]

    async def turn() -> list[float]:
        """Let both tell and hear, and return what the second sees of each candidate."""
        for load in loads:
            load.tell(wanted=True)
        clock.advance(0.6)
        for mirror in mirrors:
            await mirror.sync()
        for load in loads:
            load.hear()
        return [float(count) for count in loads[1].vitals.in_flight(TABLE)]

    assert await turn() == [0, 0]
    loads[0].vitals.begin("small")
    loads[0].vitals.begin("small")
    loads[1].vitals.begin("big")
    assert await turn() == [2, 1]
    assert loads[1].vitals.counts() == {"big": 1}
    loads[0].vitals.end("small", None, ok=False)
    assert await turn() == [1, 1]
    loads.pop(0)  # it died without a word
    loads.insert(0, loads[0])
    for _ in range(8):
        seen = await turn()
    assert seen == [0, 1]
    loads[1].hear(none=True)
    assert list(loads[1].vitals.in_flight(TABLE)) == [0, 1]
