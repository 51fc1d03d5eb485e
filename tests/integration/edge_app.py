"""An application for a real server: the edge around a small inner one, with a real outcome log.

`EDGE_LOG` names the log's file. `EDGE_STARTUP=fail` makes our start fail.
"""

import asyncio
import os
import random
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from routeiq.adapters.sql.sqlite.outcome_log import SqliteOutcomeLog
from routeiq.core.errors import ConfigError
from routeiq.core.request import Caller, RouteRequest
from routeiq.flow import RequestFlow
from routeiq.http.edge import Edge
from routeiq.routing.snapshot import SnapshotHolder
from routeiq.testing.fakes import FixedKeys, RecordingTelemetry
from tests.unit.routing.scene import snapshot

KEY = "sk-integration"
OWNER = Caller("hash-integration")


class WallClock:
    """The time of the machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class Inner:
    """An inner application that decides as the hook does; /stream waits between its pieces until /go."""

    def __init__(self, flow: RequestFlow) -> None:
        self.flow = flow
        self.go = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] == "/stream":
            await self._stream(scope, receive, send)
        else:
            await self._plain(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            await receive()
            print(f"inner {step}", flush=True)
            await send({"type": f"lifespan.{step}.complete"})

    async def _plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/go":
            self.go.set()
        elif scope["path"] == "/left":
            await self.left.wait()
        else:
            self._decide(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._decide(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first;", "more_body": True})
        await receive()
        waiting = {asyncio.ensure_future(self.go.wait()), asyncio.ensure_future(receive())}
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        if any(isinstance(task.result(), dict) for task in done):
            self.left.set()
            return
        await send({"type": "http.response.body", "body": b"last;"})

    def _decide(self, scope: Scope) -> None:
        call_id = dict(scope["headers"])[b"x-litellm-call-id"].decode()
        self.flow.decide(self.flow.admit(RouteRequest(call_id, "auto", text="hello", prompt_tokens=5, caller=OWNER)))


def translate(body: Mapping[str, Any], headers: Mapping[str, str], caller: Caller) -> RouteRequest:
    """Read a chat body."""
    return RouteRequest("preview", body["model"], caller=caller)


def app() -> Edge:
    """Return the application; called by the server."""
    clock = WallClock()
    log = SqliteOutcomeLog(os.environ["EDGE_LOG"], salt=b"salt", clock=clock)
    flow = RequestFlow(SnapshotHolder(snapshot("smallest")), None, log, RecordingTelemetry(), clock, random.Random(1))

    async def start() -> None:
        if os.environ.get("EDGE_STARTUP") == "fail":
            raise ConfigError("routeiq_settings.strategy: unknown strategy 'knm'; did you mean 'knn'?")
        print("ours startup", flush=True)

    async def stop() -> None:
        await flow.close()
        print("ours shutdown", flush=True)

    return Edge(
        Inner(flow),
        flow=flow,
        log=log,
        auth=FixedKeys({KEY: OWNER}),
        translate=translate,
        metrics=lambda: (b"", "text/plain"),
        on_startup=start,
        on_shutdown=stop,
    )
