"""How bytes leave the provider: paced, or the way a fault says.

Owns the pauses, the cut connections and the notice that the client has left. Knows nothing of models or formats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from starlette.types import Receive, Send

from routeiq.testing.replay.faults import Fault, JournalEntry
from routeiq.testing.replay.surface import Frames

_SLICES = 10
_SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class ClientGone(ConnectionError):
    """The client closed the connection while the provider was pausing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Real seconds: before the first byte of content, and for the whole answer."""

    first_s: float
    total_s: float


class Delivery:
    """One response on its way out. Use as an async context manager, so that the watch on the client ends with it."""

    def __init__(self, receive: Receive, send: Send, entry: JournalEntry, serial: str) -> None:
        self._receive = receive
        self._send = send
        self._entry = entry
        # OpenAI's and Anthropic's clients read the id from different headers.
        self._ids = [(b"x-request-id", f"req_{serial}".encode()), (b"request-id", f"req_{serial}".encode())]
        self._gone: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gone is not None:
            self._gone.cancel()

    async def pause(self, seconds: float) -> None:
        """Wait, and raise `ClientGone` as soon as the client leaves."""
        if seconds <= 0.0:
            return
        if self._gone is None:
            self._gone = asyncio.create_task(self._watch())
        done, _ = await asyncio.wait({self._gone}, timeout=seconds)
        if done:
            raise ClientGone

    async def whole(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Send a complete JSON response."""
        await self._start(status, [*self._json_headers(body), *headers])
        await self._bytes(body, more=False)

    async def body(self, body: bytes, pace: Pace, fault: Fault | None) -> None:
        """Send a JSON answer after its latency; a fault may slice it or cut it in half."""
        await self.pause(pace.total_s)
        if fault is not None and fault.kind == "close_mid_stream":
            await self._start(200, self._json_headers(body))
            await self._bytes(body[: len(body) // 2], more=True)
            self._entry.outcome = "cut"
        elif fault is not None and fault.kind == "trickle":
            await self._start(200, self._json_headers(body))
            step = -(-len(body) // _SLICES)
            for start in range(0, len(body), step):
                await self.pause(fault.pause_s)
                await self._bytes(body[start : start + step], more=True)
            await self._bytes(b"", more=False)
        else:
            await self.whole(200, body)

    async def stream(self, frames: Frames, pace: Pace, fault: Fault | None) -> None:
        """Send an event stream at its pace; a fault may slow it or cut it in half."""
        cut = fault is not None and fault.kind == "close_mid_stream"
        pieces = frames.pieces[: max(1, len(frames.pieces) // 2)] if cut else frames.pieces
        gap = max(0.0, pace.total_s - pace.first_s) / max(1, len(frames.pieces))
        if fault is not None and fault.kind == "trickle":
            gap = fault.pause_s
        await self.pause(pace.first_s)
        await self._start(200, _SSE_HEADERS)
        await self._bytes(frames.head + pieces[0], more=True)
        for piece in pieces[1:]:
            await self.pause(gap)
            await self._bytes(piece, more=True)
        if cut:
            self._entry.outcome = "cut"
            return
        await self.pause(gap)
        await self._bytes(frames.tail, more=False)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._entry.status = status
        message: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": [*headers, *self._ids]}
        await self._send(message)

    async def _bytes(self, body: bytes, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    @staticmethod
    def _json_headers(body: bytes) -> list[tuple[bytes, bytes]]:
        return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
