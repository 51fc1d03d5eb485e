"""The edge around a small inner application, with a real flow, for tests to talk to."""

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.errors import RequestInvalid
from routeiq.core.headers import decision_headers, hint
from routeiq.core.outcome import Outcome, Status, Usage
from routeiq.core.ports import Authenticator, OutcomeLog
from routeiq.core.request import Caller, RouteRequest
from routeiq.core.trace import CURRENT
from routeiq.flow import Passage, RequestFlow
from routeiq.http.edge import Edge
from routeiq.routing.snapshot import Snapshot, SnapshotHolder
from routeiq.testing.fakes import FakeClock, FixedKeys, RecordingLog, RecordingTelemetry
from tests.unit.routing.scene import snapshot

ALICE, BOB, ADMIN, NOBODY = "sk-alice", "sk-bob", "sk-admin", "sk-nobody"


def keys() -> FixedKeys:
    """Alice and Bob may call everything, Nobody only `auto` and `small`."""
    callers = {
        ALICE: Caller("hash-alice", team="red"),
        BOB: Caller("hash-bob", team="red"),
        NOBODY: Caller("hash-nobody"),
        ADMIN: Caller(admin=True),
    }
    return FixedKeys(callers, {"hash-nobody": {"auto", "small"}})


def translate(body: Mapping[str, Any], headers: Mapping[str, str], caller: Caller) -> RouteRequest:
    """Read a chat body; stands in for the translation of LiteLLM's requests."""
    messages = body.get("messages") or [{"content": body.get("input") or body.get("prompt")}]
    content = messages[-1].get("content")
    if not isinstance(content, str):
        raise RequestInvalid("`messages`: the last one has no text")
    return RouteRequest("preview", body["model"], text=content, caller=caller, hint=hint(headers))


@dataclass
class Inner:
    """An inner application that behaves like a gateway with our hook inside; the path says how it ends."""

    flow: RequestFlow
    seen: list[Scope] = field(default_factory=list)
    traces: list[object] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    disconnected: bool = False
    startup: str = "complete"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        self.seen.append(scope)
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self.traces.append(CURRENT.get())
        if scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.events.append("inner starts")
        if self.startup == "raises":
            raise RuntimeError("inner failed to start")
        if self.startup == "failed":
            await send({"type": "lifespan.startup.failed", "message": "inner says no"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.events.append("inner stops")
        if self.startup == "raises at stop":
            raise RuntimeError("inner failed to stop")
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], dict(scope["headers"])
        if path == "/boom":
            raise RuntimeError("inner broke")
        if path in ("/plain", "/health", "/health/services"):
            await _answer(send, 200, [(b"X-RouteIQ-Model", b"forged")])
            return
        if path == "/v1/undecided":
            self.flow.admit(RouteRequest(headers[b"x-litellm-call-id"].decode(), "auto"))
            await _answer(send, 200, [(b"x-routeiq-degraded", b"internal"), (b"x-routeiq-model", b"forged")])
            return
        passage = self._decided(headers[b"x-litellm-call-id"].decode(), headers.get(b"x-key", b"").decode())
        if path == "/v1/stream":
            await self._stream(receive, send)
        elif path == "/v1/forged":
            await _answer(send, 200, [(b"x-routeiq-model", b"forged"), (b"x-request-id", b"provider")])
        elif path == "/v1/hooked":
            ours = decision_headers(passage.decision, served="large") if passage.decision else {}
            await _answer(send, 200, [(k.encode(), v.encode()) for k, v in ours.items()])
        elif path == "/v1/limited":
            await _answer(send, 429, [(b"retry-after", b"7")])
        else:
            await _answer(send, 200, [])
            self._observe(passage)

    def _decided(self, call_id: str, key_hash: str) -> Passage:
        caller = Caller(key_hash or None)
        passage = self.flow.admit(RouteRequest(call_id, "auto", text="hello", prompt_tokens=10, caller=caller))
        decision = self.flow.decide(passage)
        self.flow.attempt(passage, decision.ranking[-1])
        return passage

    def _observe(self, passage: Passage) -> None:
        decision = passage.decision
        assert decision is not None
        served = decision.choice
        usage, at = Usage(10, 20), self.flow.clock.now()
        self.flow.observe(
            passage, Outcome(decision.id, decision.request_id, at, served, Status.SUCCESS, usage, latency_s=0.5)
        )

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"data: a\n\n", b"data: b\n\n"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected = True
                return
            if not message.get("more_body"):
                break
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


@dataclass
class Scene:
    """Everything a test wants to look at."""

    edge: Edge
    inner: Inner
    flow: RequestFlow
    log: OutcomeLog
    telemetry: RecordingTelemetry

    @property
    def kept(self) -> RecordingLog:
        """The log, when it is the recording one."""
        assert isinstance(self.log, RecordingLog)
        return self.log

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a client that talks to the edge in this process."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.edge, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client

    async def ask(self, method: str, path: str, key: str | None = ALICE, **more: Any) -> httpx.Response:
        """Send one request."""
        async with self.client(key) as client:
            return await client.request(method, path, **more)

    async def decided(self, key_hash: str = "hash-alice") -> str:
        """Serve one request of a key to its end and return its decision id."""
        answer = await self.ask("POST", "/v1/chat/completions", headers={"x-key": key_hash})
        return answer.headers["x-routeiq-decision-id"]


def scene(
    log: OutcomeLog | None = None,
    picture: Snapshot | None = None,
    auth: Authenticator | None = None,
    inner: Callable[[RequestFlow], ASGIApp] | None = None,
    **parts: Any,
) -> Scene:
    """Return an edge around an inner application; everything can be replaced."""
    kept, telemetry = log or RecordingLog(), RecordingTelemetry()
    flow = RequestFlow(
        SnapshotHolder(picture or snapshot("smallest")), None, kept, telemetry, FakeClock(), random.Random(1)
    )
    inside = Inner(flow)

    async def started() -> None:
        inside.events.append("ours starts")

    async def stopped() -> None:
        inside.events.append("ours stops")
        await kept.close()

    made: dict[str, Any] = {
        "translate": translate,
        "metrics": lambda: (b"# metrics\n", "text/plain; version=0.0.4"),
        "on_startup": started,
        "on_shutdown": stopped,
        **parts,
    }
    edge = Edge(inner(flow) if inner else inside, flow=flow, log=kept, auth=auth or keys(), **made)
    return Scene(edge, inside, flow, kept, telemetry)


async def lifespan(app: ASGIApp, messages: list[str]) -> list[Message]:
    """Run the lifespan protocol with these messages from the server; return what the application said."""
    said: list[Message] = []
    incoming = iter(messages)

    async def receive() -> Message:
        return {"type": f"lifespan.{next(incoming)}"}

    async def send(message: Message) -> None:
        said.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return said


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    body = json.dumps({"status": status}).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
