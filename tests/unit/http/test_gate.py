"""The gate as an ASGI application sees it: who is let in, what is read of headers, and that places come back."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.errors import StateUnavailable
from routeiq.core.request import Caller
from routeiq.guard.admission import Admission, Limits
from routeiq.guard.behind import WriteBehind
from routeiq.guard.bulkhead import Priority, Share, Shares
from routeiq.guard.everywhere import Everywhere
from routeiq.http.gate import CREDENTIALS, LARGEST_PROMPT, UNSTATED_TOKENS, Gate, asked, is_model_call
from routeiq.http.traffic import Exchange
from routeiq.testing.fakes import FakeClock

KEYS = frozenset(CREDENTIALS)


class Client:
    """One call: what it is answered with, and when it leaves."""

    def __init__(self, **headers: str) -> None:
        self.messages: list[Message] = []
        self.left = asyncio.Event()
        self.sent = False
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": pairs}

    async def receive(self) -> Message:
        """Send the body, then leave when told to."""
        if not self.sent:
            self.sent = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the answer."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.messages[0]["status"])


class Model:
    """An application that answers when it is let go; `bodies` are those it read."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, wait, answer."""
        self.bodies.append((await receive())["body"])
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


def gate(limits: Limits, **more: Any) -> Gate:
    """A gate with these limits."""
    shares = more.pop("shares", None) or Shares()
    return Gate(Admission(limits, shares), FakeClock(), **more)


def call(of: Gate, app: Any, client: Client, name: str = "id") -> "asyncio.Task[None]":
    """Begin a call."""
    way = of.through(app, client.scope, client.receive, client.send, Exchange("/", None), name)
    return asyncio.get_running_loop().create_task(way)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/chat/completions/", True),
        ("POST", "/openai/deployments/gpt/chat/completions", True),
        ("POST", "/v1/messages", True),
        ("POST", "/v1/responses", True),
        ("POST", "/v1beta/models/gemini:streamGenerateContent", True),
        ("POST", "/v1/messages/count_tokens", False),
        ("GET", "/v1/responses", False),
        ("GET", "/health", False),
        ("POST", "/key/generate", False),
    ],
)
def test_only_calls_to_models_pass_the_gate(method: str, path: str, expected: bool) -> None:
    """Management, health and listings are never kept waiting."""
    assert is_model_call({"type": "http", "method": method, "path": path}) is expected


def test_headers_say_who_how_much_and_how_long() -> None:
    """Credentials make a digest, the length an estimate, the shortest timeout a deadline; nonsense was not said."""
    said = asked(
        [(b"Authorization", b"Bearer a"), (b"Content-Length", b"4000"), (b"x-litellm-timeout", b"9"),
         (b"x-stainless-read-timeout", b"600"), (b"x-routeiq-priority", b"HIGH")], KEYS)  # fmt: skip
    assert (said.tokens, said.timeout_s, said.priority) == (1_000, 9.0, Priority.HIGH)
    assert said.sender == asked([(b"authorization", b"Bearer a")], KEYS).sender
    assert said.sender != asked([(b"authorization", b"Bearer b")], KEYS).sender
    odd = asked([(b"content-length", b"-1"), (b"x-litellm-timeout", b"nan"), (b"x-routeiq-priority", b"urgent")], KEYS)
    assert (odd.sender, odd.tokens, odd.timeout_s, odd.priority) == ("", UNSTATED_TOKENS, None, None)
    assert asked([(b"content-length", b"9" * 20)], KEYS).tokens == LARGEST_PROMPT


async def test_a_waiting_call_is_served_with_its_body() -> None:
    """What was read while a call waited reaches the application."""
    of, app = gate(Limits(concurrency=1, queued=1)), Model()
    first, second = Client(), Client()
    calls = [call(of, app, client) for client in (first, second)]
    await asyncio.sleep(0.01)
    assert (of.admission.in_flight, of.admission.waiting) == (1, 1)
    app.go.set()
    await asyncio.gather(*calls)
    assert (first.status, second.status, app.bodies) == (200, 200, [b"{}", b"{}"])
    assert (of.admission.in_flight, of.admission.waiting) == (0, 0)


async def test_a_client_that_leaves_the_queue_makes_room() -> None:
    """A call whose client left while it waited is never given to the application."""
    of, app = gate(Limits(concurrency=1, queued=1)), Model()
    first, second = Client(), Client()
    running, waiting = call(of, app, first), call(of, app, second)
    await asyncio.sleep(0.01)
    second.left.set()
    await waiting
    assert (of.admission.in_flight, of.admission.waiting, second.messages) == (1, 0, [])
    app.go.set()
    await running
    assert app.bodies == [b"{}"]


@pytest.mark.parametrize("how", ["raises", "is cancelled"])
async def test_a_place_comes_back_however_a_call_ends(how: str) -> None:
    """An application that fails, and a call that is cancelled, leave nothing behind."""
    of = gate(Limits(concurrency=1, queued=1))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if how == "raises":
            raise ZeroDivisionError
        await asyncio.sleep(60)

    task = call(of, app, Client())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises((ZeroDivisionError, asyncio.CancelledError)):
        await task
    assert (of.admission.in_flight, of.admission.under_way()) == (0, {})


async def test_the_host_says_whose_key_it_was() -> None:
    """Once the host has authenticated a call, the next one with the same key counts for its team."""
    of, app = gate(Limits()), Model()
    app.go.set()
    first = call(of, app, Client(authorization="Bearer k"), "call-1")
    of.admission.expect("call-1", asked([(b"authorization", b"Bearer k")], KEYS).sender)
    of.admission.met("call-1", Caller(key_hash="h", team="a", admin=True))
    of.admission.met("call-2", Caller(key_hash="other", team="b"))
    await first
    party = of.admission.directory.find(asked([(b"authorization", b"Bearer k")], KEYS).sender)
    assert (party.bulkhead, party.admin) == ("team:a", True)


async def test_a_team_is_bounded_over_all_workers() -> None:
    """Two gates that share state let in together what the team may have, and free places for each other."""
    state = MemorySharedState(FakeClock())
    shares = Shares(teams={"a": Share(everywhere=1)})
    app = Model()
    gates = []
    for _ in range(2):
        everywhere = Everywhere(state, WriteBehind("limits", _fail), _fail, lambda: 2)
        of = gate(Limits(), shares=shares, everywhere=everywhere)
        of.admission.directory.learn(asked([(b"authorization", b"Bearer k")], KEYS).sender, Caller("h", "a"))
        gates.append(of)
    first, second, third = (Client(authorization="Bearer k") for _ in range(3))
    running = call(gates[0], app, first, "one")
    await asyncio.sleep(0.01)
    await call(gates[1], app, second, "two")
    assert second.status == 429
    assert gates[1].admission.refusals == {"team_limit": 1}
    app.go.set()
    await running
    await asyncio.sleep(0.01)
    await call(gates[1], app, third, "three")
    assert third.status == 200


async def test_each_worker_has_its_part_while_shared_state_is_away() -> None:
    """A store that does not answer costs nobody: the bound is divided by the workers."""
    told: list[str] = []
    everywhere = Everywhere(_Gone(), WriteBehind("limits", _fail), lambda where, error: told.append(where), lambda: 2)
    of = gate(Limits(), shares=Shares(teams={"a": Share(everywhere=2)}), everywhere=everywhere)
    of.admission.directory.learn(asked([(b"authorization", b"Bearer k")], KEYS).sender, Caller("h", "a"))
    app, first, second = Model(), Client(authorization="Bearer k"), Client(authorization="Bearer k")
    running = call(of, app, first, "one")
    await asyncio.sleep(0.01)
    await call(of, app, second, "two")
    assert second.status == 429
    app.go.set()
    await running
    assert (first.status, told) == (200, ["limits", "limits"])


def _fail(where: str, error: BaseException) -> None:
    """Hear of an outage."""


class _Gone(MemorySharedState):
    """A store that does not answer."""

    def __init__(self) -> None:
        super().__init__(FakeClock())

    async def acquire(self, key: str, holder: str, *, limit: int, lease_s: float) -> bool:
        """Not answer."""
        raise StateUnavailable("gone")
