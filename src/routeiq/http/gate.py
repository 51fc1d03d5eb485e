"""The gate before LiteLLM: calls to models come in, wait or are refused, before anything is spent on them.

Owns which requests are calls to models, what their headers say of sender, size, deadline and priority, the answer to
those that are refused, and that each gives its place back exactly once. Whom to let in is `guard.admission`'s business.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from typing import Any, Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.errors import Overloaded
from routeiq.core.headers import PRIORITY, REASON
from routeiq.core.ports import Clock
from routeiq.guard.admission import Admission
from routeiq.guard.bulkhead import Priority, Ticket
from routeiq.guard.everywhere import Everywhere
from routeiq.http.answers import refusal
from routeiq.http.traffic import Exchange

BYTES_PER_TOKEN: Final = 4
LARGEST_PROMPT: Final = 200_000
"""What a body counts for at most, in tokens: beyond that it is images or sound, which cost less than their bytes."""
UNSTATED_TOKENS: Final = 1_000
"""What a body of unstated length counts for."""

CREDENTIALS: Final = (b"authorization", b"x-api-key", b"x-litellm-api-key", b"api-key", b"x-goog-api-key",
                      b"ocp-apim-subscription-key")  # fmt: skip
TIMEOUTS: Final = (b"x-litellm-timeout", b"x-stainless-timeout", b"x-stainless-read-timeout")
"""Headers in which clients say for how many seconds they wait; the last two are those of OpenAI's and Anthropic's."""

_MODEL_CALL: Final = re.compile(
    r".*(/(chat/completions|completions|embeddings|responses|messages|images/(generations|edits|variations)"
    r"|audio/(speech|transcriptions|translations)|rerank|moderations|ocr)|:(stream)?generateContent)/?",
    re.IGNORECASE,
)
_PRIORITIES: Final = {name.lower().encode(): Priority[name] for name in Priority.__members__}
_PRIORITY: Final = PRIORITY.encode()


def is_model_call(scope: Scope) -> bool:
    """Return whether a request asks a model for something."""
    return scope["method"] == "POST" and _MODEL_CALL.fullmatch(scope["path"]) is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers of a call say: a digest of its credentials, empty without any; tokens; seconds; priority."""

    sender: str
    tokens: int
    timeout_s: float | None
    priority: Priority | None


def asked(headers: Iterable[tuple[bytes, bytes]], credentials: frozenset[bytes]) -> Asked:
    """Read the headers of a call; what cannot be read was not said."""
    secrets: list[bytes] = []
    length, timeout_s, priority = b"", None, None
    for name, value in headers:
        name = name.lower()
        if name in credentials:
            secrets.append(value)
        elif name == b"content-length":
            length = value
        elif name == _PRIORITY:
            priority = _PRIORITIES.get(value.strip().lower())
        elif name in TIMEOUTS:
            said = _seconds(value)
            timeout_s = said if timeout_s is None or said is None else min(timeout_s, said)
    sender = sha256(b"\n".join(secrets)).hexdigest() if secrets else ""
    tokens = min(int(length) // BYTES_PER_TOKEN, LARGEST_PROMPT) if length.isdigit() else UNSTATED_TOKENS
    return Asked(sender, tokens, timeout_s, priority)


def _seconds(text: bytes) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0.0 < seconds < 86_400.0 else None


class _Refused(Exception):
    """Ends a call that was not let in after all."""

    def __init__(self, error: Overloaded) -> None:
        super().__init__(error.message)
        self.error = error


class _ClientLeft(Exception):
    """The client closed its connection while its request waited."""


class Gate:
    """Lets calls to models through to an application.

    `cors` are the options with which that application answers browsers of other origins, None for not at all;
    `key_header` is one more header in which clients send keys. `everywhere` counts teams over all workers.
    """

    def __init__(
        self,
        admission: Admission,
        clock: Clock,
        *,
        cors: Mapping[str, Any] | None = None,
        key_header: str | None = None,
        everywhere: Everywhere | None = None,
    ) -> None:
        self.admission = admission
        self._clock = clock
        self._cors = cors
        self._everywhere = everywhere
        self._credentials = frozenset((*CREDENTIALS, *((key_header.lower().encode(),) if key_header else ())))

    async def through(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, exchange: Exchange, call_id: str
    ) -> None:
        """Serve one call by the application, when its turn comes, or say why not."""
        admission, clock = self.admission, self._clock
        given = asked(scope["headers"], self._credentials)
        party = admission.directory.find(given.sender)
        priority = given.priority if party.admin else None
        try:
            ticket = admission.enter(
                party, clock.monotonic(), tokens=given.tokens, priority=priority, timeout_s=given.timeout_s
            )
        except Overloaded as error:
            await self._refuse(error, scope, receive, send, exchange)
            return
        try:
            receive = await self._let_in(ticket, receive, call_id)
            admission.expect(call_id, given.sender)
            await app(scope, receive, self._watched(ticket, send))
        except _Refused as refused:
            await self._refuse(refused.error, scope, receive, send, exchange)
        except _ClientLeft:
            return
        finally:
            admission.leave(ticket, clock.monotonic())
            admission.forget(call_id)
            if self._everywhere is not None:
                self._everywhere.leave(call_id)

    async def _let_in(self, ticket: Ticket, receive: Receive, call_id: str) -> Receive:
        """Wait for a ticket's turn, here and everywhere, and return what the application receives from."""
        try:
            if ticket.waiting:
                receive = await self._turn(ticket, receive)
            if self._everywhere is not None:
                await self._everywhere.enter(ticket, call_id)
        except Overloaded as error:
            if ticket.refused is None:
                self.admission.refusals[error.reason] += 1
            raise _Refused(error) from None
        return receive

    def _watched(self, ticket: Ticket, send: Send) -> Send:
        """Return `send` that notes when the answer begins, and gives the place back as soon as it has ended."""
        admission, clock = self.admission, self._clock

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                admission.begins(ticket, clock.monotonic())
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                admission.leave(ticket, clock.monotonic())

        return watched

    async def _turn(self, ticket: Ticket, receive: Receive) -> Receive:
        """Wait for a ticket's turn, and return what gives the application all that came meanwhile.

        A client that leaves is noticed as soon as its body is here; a body that comes in several parts is left for the
        application to read.
        """
        turn = asyncio.ensure_future(self.admission.wait(ticket, self._clock))
        listening: asyncio.Future[Message] | None = asyncio.ensure_future(receive())
        seen: list[Message] = []
        try:
            while not turn.done():
                waits: set[asyncio.Future[Any]] = {turn, *([listening] if listening is not None else [])}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if listening is not None and listening.done():
                    seen.append(listening.result())
                    if seen[-1]["type"] == "http.disconnect":
                        raise _ClientLeft
                    whole = not seen[-1].get("more_body", False)
                    listening = asyncio.ensure_future(receive()) if whole else None
            turn.result()
        finally:
            turn.cancel()
            if listening is not None:
                listening.cancel()

        async def again() -> Message:
            return seen.pop(0) if seen else await receive()

        return again

    async def _refuse(self, error: Overloaded, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        exchange.hand_over += ((REASON.encode(), error.reason.encode()),)
        headers = {"retry-after": str(ceil(error.retry_after_s))}
        answer: ASGIApp = refusal(error.status, error.reason, error.message, headers)
        if self._cors is not None:
            answer = CORSMiddleware(answer, **self._cors)
        await answer(scope, receive, send)
