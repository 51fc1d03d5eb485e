"""The edge while it is asked to stop: what is still served, what is refused, and how what runs is ended."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.guard.drain import Drain, Phase
from routeiq.http.traffic import last_words
from routeiq.testing.fakes import FakeClock
from tests.unit.http.scene import Scene, scene

CHAT = "/v1/chat/completions"


def clock(at: Scene) -> FakeClock:
    """The clock that the edge looks at."""
    found = at.flow.clock
    assert isinstance(found, FakeClock)
    return found


class Slow:
    """An inner application that says something, or nothing, and then waits for ever. `deaf` ones survive a cancel."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ended = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self.kind != "silent":
                media = b"application/json" if self.kind == "body" else b"text/event-stream; charset=utf-8"
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media)]})
                await send({"type": "http.response.body", "body": b'data: {"half', "more_body": True})
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.ended = "cancelled"
            if self.kind == "deaf":
                return
            if self.kind == "angry":
                raise RuntimeError("who disturbs me?") from None
            raise


@asynccontextmanager
async def under_way(
    at: Scene, path: str, headers: Any = ()
) -> AsyncIterator[tuple["asyncio.Task[None]", list[Message]]]:
    """One request that has begun, with what it is answered."""
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers), "query_string": b""}
    task = asyncio.create_task(at.edge(scope, receive, send))
    for _ in range(5):
        await asyncio.sleep(0)
    try:
        yield task, said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def draining(kind: str) -> tuple[Scene, Slow]:
    """An edge around a slow application."""
    slow = Slow(kind)

    def inner(_: object) -> ASGIApp:
        return slow

    return scene(inner=inner, drain=Drain(5, 30)), slow


async def test_the_phases_as_a_client_sees_them() -> None:
    """In the lame-duck period requests are served and connections given back; then they are refused."""
    at = scene(drain=Drain(5, 30))
    before = await at.ask("POST", CHAT)
    at.edge.drain()
    lame = await at.ask("POST", CHAT)
    clock(at).advance(5)
    refused = await at.ask("POST", CHAT)
    status = await at.ask("GET", "/routeiq/status")
    alive = await at.ask("GET", "/_health/live", key=None)
    assert [a.status_code for a in (before, lame, refused, status, alive)] == [200, 200, 503, 503, 200]
    assert "connection" not in before.headers
    assert lame.headers["connection"] == refused.headers["connection"] == "close"
    assert refused.json()["error"]["code"] == "draining"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-request-id"]
    assert at.edge.traffic.refused == 2


async def test_a_retiring_worker_serves_on_and_gives_connections_back() -> None:
    """While another worker takes its place, nothing is refused and readiness stays."""
    at = scene()
    at.edge.health.started = True
    at.edge.retire()
    answers = [await at.ask("POST", CHAT), await at.ask("GET", "/_health/ready", key=None)]
    assert [(a.status_code, a.headers["connection"]) for a in answers] == [(200, "close")] * 2


@pytest.mark.parametrize("kind", ["stream", "deaf", "angry"])
async def test_a_stream_at_the_limit_gets_an_error_event(kind: str) -> None:
    """The client reads an error and [DONE] on lines of their own, whatever the inner application makes of its end."""
    at, slow = draining(kind)
    async with under_way(at, CHAT) as (task, said):
        assert (at.edge.traffic.streams, len(at.edge.traffic.under_way)) == (1, 1)
        at.edge.drain()
        clock(at).advance(29.9)
        assert at.edge.settle() == (Phase.REFUSING, pytest.approx(clock(at).monotonic() + 0.1))
        clock(at).advance(0.2)
        assert at.edge.settle()[0] is Phase.CUTTING
        await task
    assert slow.ended == "cancelled"
    events = b"".join(m.get("body", b"") for m in said).split(b"\n\n")
    assert json.loads(events[1].removeprefix(b"data: "))["error"]["code"] == "draining"
    assert events[2:] == [b"data: [DONE]", b""]
    assert said[-1]["more_body"] is False
    assert (at.edge.traffic.cut, at.edge.traffic.under_way) == (1, set())


async def test_a_request_without_an_answer_at_the_limit_is_refused() -> None:
    """Who has heard nothing yet gets a 503 that says to come again."""
    at, _ = draining("silent")
    async with under_way(at, CHAT) as (task, said):
        at.edge.hurry()
        at.edge.settle()
        await task
    assert said[0]["status"] == 503
    assert json.loads(said[1]["body"])["error"]["code"] == "draining"


async def test_half_a_body_has_no_last_word() -> None:
    """An answer that is no stream is left to the server to close: words in it would be taken for its content."""
    at, _ = draining("body")
    async with under_way(at, CHAT) as (task, said):
        at.edge.hurry()
        at.edge.settle()
        await task
    assert [m["type"] for m in said] == ["http.response.start", "http.response.body"]


async def test_a_client_that_leaves_is_no_cut() -> None:
    """A cancellation that is not ours goes on as one."""
    at, _ = draining("stream")
    async with under_way(at, CHAT) as (task, said):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(said) == 2
    assert at.edge.traffic.under_way == set()


@pytest.mark.parametrize(("asked", "named"), [(b"mine-1", b"mine-1"), (b"not a name", None), (None, None)])
async def test_a_stream_has_an_id(asked: bytes | None, named: bytes | None) -> None:
    """A stream's id is the one the client chose, else the request's; answers that are no streams have none."""
    for kind, streamed in (("stream", True), ("body", False)):
        at, _ = draining(kind)
        headers = [(b"x-request-id", b"req-7"), *([(b"x-mcp-stream-id", asked)] if asked else [])]
        async with under_way(at, CHAT, headers) as (_, said):
            found = dict(said[0]["headers"]).get(b"x-mcp-stream-id")
            assert found == ((named or b"req-7") if streamed else None)


def test_each_api_has_its_own_last_words() -> None:
    """Anthropic's and the Responses API end with their own error events, the others with [DONE]."""
    last = b'event: x\ndata: {"type":"x","sequence_number": 41}\n\n'
    claude, responses = last_words("/v1/messages", last), last_words("/v1/responses", last)
    assert claude.startswith(b"event: error\ndata: ")
    assert json.loads(claude.split(b"data: ")[1])["error"]["type"] == "overloaded_error"
    assert json.loads(responses.split(b"data: ")[1]) | {"message": ""} == {
        "type": "error",
        "code": "draining",
        "message": "",
        "param": None,
        "sequence_number": 42,
    }
    assert json.loads(last_words("/v1/responses", b"").split(b"data: ")[1])["sequence_number"] == 0
    for path in ("/v1/completions", "/chat/completions", "/openai/deployments/auto/chat/completions"):
        assert last_words(path, b"").endswith(b"\n\ndata: [DONE]\n\n")
        assert last_words(path, b"half").startswith(b"\n\ndata: ")
