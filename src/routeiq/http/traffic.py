"""What is under way at the edge: exchanges, which of them are streams, and how one is ended that may not go on.

Owns the counters of a worker's exchanges and the words of a cut: a stream is ended in the form its client reads, not by
a socket that closes. When to cut is `guard.drain`'s business, whom to let in `guard.admission`'s.
"""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.flow import Passage
from routeiq.guard.drain import REASON
from routeiq.http.answers import refusal

STREAM_ID: Final = b"x-mcp-stream-id"
"""Names a stream to its client; a client may choose the name."""

RETRY_AFTER_S: Final = 5
"""What a gateway that is going away says in Retry-After: by then its load balancer or its successor has taken over."""

CLOSING: Final = (b"connection", b"close")

HAND_OVER: Final = b"x-routeiq-drain-redirect"
"""In a request: where nginx takes on what a draining gateway refuses, a named location (docs/operations/nginx.md)."""

_LOCATION: Final = re.compile(rb"@[a-z_]{1,64}")

_MESSAGE: Final = "the gateway is being stopped; send the request again"
_EVENT_STREAM: Final = b"text/event-stream"
_LENGTH: Final = len(b"content-type")
_NAME: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_NUMBER: Final = re.compile(rb'"sequence_number": ?(\d{1,9})')


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its answer, from the moment it is let in to the end of the answer.

    `passage` is that of a routed stream, which is told what was delivered.
    """

    path: str
    task: "asyncio.Task[Any] | None"
    begun: bool = False
    status: int = 0
    complete: bool = False
    stream: bool = False
    cut: bool = False
    hand_over: tuple[tuple[bytes, bytes], ...] = ()
    passage: Passage | None = None
    last: bytes = b""

    def note(self, message: Message) -> None:
        """Note what is being sent."""
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if self.stream and body:
                self.last = body
                if self.passage is not None:
                    self.passage.delivered += body.count(b"\n\n")
            self.complete = not message.get("more_body", False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep to ourselves how the application took its end, when it was us who ended it."""
        if not self.cut:
            return False
        if self.task is not None:
            self.task.uncancel()
        return isinstance(error, Exception | asyncio.CancelledError)

    async def end(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say to the client that this is the end: an error when nothing was said yet, an error event in a stream.

        An answer that is neither, a body half sent, has no form in which to say it, and the server closes it.
        """
        if not self.begun:
            await draining()(scope, receive, send)
        elif self.stream and not self.complete:
            await send({"type": "http.response.body", "body": last_words(self.path, self.last), "more_body": False})


@dataclass(slots=True)
class Traffic:
    """The exchanges of one worker; used from its event loop only."""

    under_way: set[Exchange] = field(default_factory=set)
    entered: int = 0
    refused: int = 0
    cut: int = 0

    @property
    def streams(self) -> int:
        """How many answers are being streamed."""
        return sum(exchange.stream for exchange in self.under_way)

    def enter(self, path: str) -> Exchange:
        """Return a new exchange of the current task, which must be given to `leave`."""
        exchange = Exchange(path, asyncio.current_task())
        self.under_way.add(exchange)
        self.entered += 1
        return exchange

    def leave(self, exchange: Exchange) -> None:
        """Note that an exchange is over, however it went."""
        self.under_way.discard(exchange)

    def cut_all(self) -> int:
        """End everything under way by cancelling it, and return how much that was; the edge then has the last word."""
        standing = [exchange for exchange in self.under_way if not exchange.cut]
        for exchange in standing:
            exchange.cut = True
            if exchange.task is not None:
                exchange.task.cancel(_MESSAGE)
        self.cut += len(standing)
        return len(standing)


def draining() -> ASGIApp:
    """Return the answer to a request that comes too late."""
    return refusal(503, "draining", _MESSAGE, {"retry-after": str(RETRY_AFTER_S), "connection": "close"})


def handing_over(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that has nginx send a refused request to another replica, if nginx offered to.

    Only for a request that was not let in: what was begun may have been charged for.
    """
    offered = (value for name, value in headers if name == HAND_OVER and _LOCATION.fullmatch(value))
    return tuple((b"x-accel-redirect", value) for value in offered)[:1]


def is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether an answer with these headers is a stream of events."""
    for name, value in headers:
        if len(name) == _LENGTH and name.lower() == b"content-type":
            return value.startswith(_EVENT_STREAM)
    return False


def stream_id(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> tuple[bytes, bytes]:
    """Return the header that names a stream: as the request asked, or like the request."""
    asked = next((value for name, value in headers if name == STREAM_ID and _NAME.fullmatch(value)), None)
    return STREAM_ID, asked or request_id.encode()


def last_words(path: str, last: bytes) -> bytes:
    """Return the events that end a stream of this endpoint early; `last` is what was sent last."""
    gap = b"" if not last or last.endswith(b"\n\n") else b"\n\n"
    endpoint = path.rstrip("/")
    if endpoint.endswith("/messages"):
        error: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": _MESSAGE}}
        return gap + _event(error, b"error")
    if endpoint.endswith("/responses"):
        found = _NUMBER.findall(last)
        number = int(found[-1]) + 1 if found else 0
        error = {"type": "error", "code": REASON, "message": _MESSAGE, "param": None, "sequence_number": number}
        return gap + _event(error, b"error")
    error = {"error": {"message": _MESSAGE, "type": "server_error", "param": None, "code": REASON}}
    return gap + _event(error) + b"data: [DONE]\n\n"


def _event(data: dict[str, Any], name: bytes = b"") -> bytes:
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
