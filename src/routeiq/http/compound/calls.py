"""One call to the inner application, made in this process and in the name of the client.

Owns headers, body and end of such a call. It carries the client's own credentials, so that LiteLLM authenticates,
limits, prices and logs it like any other; nothing here could widen what the client may do.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextvars import copy_context
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from routeiq.core.compound import WITHIN

GRACE_S = 1.0
"""How long a call that nobody waits for any more may take to notice that, before its task is cancelled."""

_QUEUED = 64
_OWN = frozenset(
    {
        b"accept-encoding",  # the answer is read here
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"x-litellm-call-id",
    }
)


class Call:
    """A request to an ASGI application in a task of its own; `close` it, whatever came of it."""

    def __init__(self, app: ASGIApp, scope: Scope, body: Mapping[str, Any], within: str) -> None:
        """`scope` is that of the client's request; `within` names the compound model the call is made for."""
        raw = json.dumps(body).encode()
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _OWN]
        own = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(raw)).encode()),
            (b"x-litellm-call-id", str(uuid.uuid4()).encode()),
        ]
        inside = {**scope, "headers": kept + own, "state": dict(scope.get("state", {}))}
        self._body: bytes | None = raw
        self._gone = asyncio.Event()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue(_QUEUED)
        context = copy_context()
        context.run(WITHIN.set, within)
        self._task = asyncio.get_running_loop().create_task(self._serve(app, inside), context=context)
        self._complete = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def _serve(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._sent.put)
        finally:
            if not self._gone.is_set():
                await self._sent.put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def begin(self) -> None:
        """Wait for status and headers; raises what the application raised, ConnectionError when it said nothing."""
        while not self.status:
            message = await self._sent.get()
            if message is None:
                await self._task
                raise ConnectionError("the application ended without an answer")
            if message["type"] == "http.response.start":
                self.status, self.headers = message["status"], list(message.get("headers", ()))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises what the application raised in the middle of it."""
        while True:
            message = await self._sent.get()
            if message is None:
                await self._task
                return
            if message["type"] != "http.response.body":
                continue
            self._complete = not message.get("more_body", False)
            if body := message.get("body", b""):
                yield body
            if self._complete:
                return

    async def whole(self) -> bytes:
        """Return the body."""
        return b"".join([chunk async for chunk in self.chunks()])

    def header(self, name: str) -> str | None:
        """Return a header of the answer, or None."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)

    async def close(self, patiently: bool = False) -> None:
        """End the call. One that has answered may finish what it does behind its answer; any other is cancelled.

        `patiently` first tells it that the client left, and gives it time to note that.
        """
        self._gone.set()
        self._task.add_done_callback(_seen)
        if self._complete:
            await asyncio.wait({self._task}, timeout=GRACE_S)
            return
        if patiently:
            drain = asyncio.ensure_future(self._drain())
            await asyncio.wait({self._task}, timeout=GRACE_S)
            drain.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _drain(self) -> None:
        while True:
            await self._sent.get()


def _seen(task: "asyncio.Task[None]") -> None:
    """Take note of how a task ended, so that nobody is told that it was not looked at."""
    if not task.cancelled():
        task.exception()
