"""The provider as an ASGI application: surfaces, models, control.

Owns the way of a call from the socket to an answer and back, and the provider-style errors on that way. Owns neither
formats (`chat`, `responses`, `messages`, `embeddings`) nor answers (`recorded`, `simulated`) nor faults (`faults`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from routeiq.testing.replay.answers import AnswerSource, UnknownModel, UnknownPrompt, prompt_sha
from routeiq.testing.replay.chat import CHAT, COMPLETIONS
from routeiq.testing.replay.delivery import ClientGone, Delivery, Pace
from routeiq.testing.replay.embeddings import LATENCY_S, EmbeddingCall, embedding_body, read_embedding
from routeiq.testing.replay.faults import BadFault, Fault, FaultTable, Journal, JournalEntry, marked_fault, read_fault
from routeiq.testing.replay.messages import MESSAGES
from routeiq.testing.replay.responses import RESPONSES
from routeiq.testing.replay.surface import BadRequest, Call, ProviderError, Reply, Surface, openai_error
from routeiq.testing.tasks.usage import estimate_tokens

EMBEDDING_MODELS = ("replay-embedding-small", "replay-embedding-large")
"""Embedding models every provider has besides its source's models, which embed as well."""

_BROKEN = {
    "error_500": ProviderError(500, "server_error", None, "The server had an error while processing your request."),
    "error_429": ProviderError(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached for this model."),
    "error_401": ProviderError(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
}
_HUNG = ProviderError(504, "server_error", "timeout", "The request timed out.")
_JSON = "application/json"


class _Refused(Exception):
    """Ends a call with an error response."""

    def __init__(self, error: ProviderError, retry_after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Provider:
    """What every endpoint of one provider shares.

    `time_scale` divides every latency; infinity means none. `salt` keeps the ids of two providers apart.
    """

    source: AnswerSource
    time_scale: float
    salt: str
    faults: FaultTable = field(default_factory=FaultTable)
    journal: Journal = field(default_factory=Journal)
    _serials: count[int] = field(default_factory=lambda: count(1))

    def serial(self) -> str:
        """An id that no other response of this provider has."""
        return f"{self.salt}{next(self._serials):08x}"

    def begin(self, surface: str, model: str, stream: bool, prompt: str) -> JournalEntry:
        """Write the call into the journal."""
        entry = JournalEntry(model, surface, stream, time.time(), None, prompt_sha(prompt))
        self.journal.add(entry)
        return entry


async def _read_body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _parse(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest(f"the body must be a JSON object, got {type(body).__name__}")
    return body


async def _meet(fault: Fault | None, delivery: Delivery) -> None:
    """Act out what a fault does before an answer; raises `_Refused` when there will be none."""
    if fault is None:
        return
    if fault.kind in _BROKEN:
        raise _Refused(_BROKEN[fault.kind], fault.delay_s)
    if fault.kind in ("hang", "slow"):
        await delivery.pause(fault.pause_s)
    if fault.kind == "hang":
        raise _Refused(_HUNG)


class _Endpoint:
    """An ASGI endpoint that answers one kind of call. Subclasses read the body and say how to answer it."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        serial = self.provider.serial()
        try:
            raw = await _read_body(receive)
        except ClientGone:
            return
        try:
            call: Any = self._read(_parse(raw))
        except BadRequest as error:
            refused = ProviderError(400, "invalid_request_error", None, str(error))
            entry = self.provider.begin(self._name, "", False, "")
            await Delivery(receive, send, entry, serial).whole(400, self._error(refused, serial))
            self.provider.journal.end(entry, "done")
            return
        entry = self._begin(call)
        async with Delivery(receive, send, entry, serial) as delivery:
            await self._finish(call, entry, delivery, serial)

    async def _finish(self, call: Any, entry: JournalEntry, delivery: Delivery, serial: str) -> None:
        fault = self._fault(call, entry.model)
        entry.fault = fault.kind if fault else None
        try:
            await _meet(fault, delivery)
            await self._answer(call, delivery, fault, serial)
        except _Refused as refused:
            retry = refused.retry_after_s
            headers = [] if retry is None else [(b"retry-after", f"{retry:g}".encode())]
            await delivery.whole(refused.error.status, self._error(refused.error, serial), headers)
        except ClientGone:
            entry.outcome = "gone"
        finally:
            self.provider.journal.end(entry, "done")

    _name: str

    def _fault(self, call: Any, model: str) -> Fault | None:
        """What goes wrong with this call."""
        del call
        return self.provider.faults.take(model)

    def _read(self, body: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def _begin(self, call: Any) -> JournalEntry:
        raise NotImplementedError

    def _error(self, error: ProviderError, serial: str) -> bytes:
        return openai_error(error, serial)

    async def _answer(self, call: Any, delivery: Delivery, fault: Fault | None, serial: str) -> None:
        raise NotImplementedError


class _AnswerEndpoint(_Endpoint):
    """Serves one of the surfaces that answer a prompt."""

    def __init__(self, provider: Provider, surface: Surface) -> None:
        super().__init__(provider)
        self._surface = surface
        self._name = surface.name

    def _read(self, body: Mapping[str, Any]) -> Call:
        return self._surface.read(body)

    def _begin(self, call: Call) -> JournalEntry:
        return self.provider.begin(self._name, call.model, call.stream, call.prompt)

    def _error(self, error: ProviderError, serial: str) -> bytes:
        return self._surface.error(error, serial)

    def _fault(self, call: Call, model: str) -> Fault | None:
        return marked_fault(call.prompt) or self.provider.faults.take(model)

    async def _answer(self, call: Call, delivery: Delivery, fault: Fault | None, serial: str) -> None:
        try:
            answer = self.provider.source.answer(call.model, call.prompt, call.tools)
        except UnknownModel as error:
            raise _Refused(ProviderError(404, "invalid_request_error", "model_not_found", str(error))) from error
        except UnknownPrompt as error:
            raise _Refused(ProviderError(404, "invalid_request_error", "unknown_prompt", str(error))) from error
        reply = Reply(serial, int(time.time()), call.model, answer)
        scale = self.provider.time_scale
        pace = Pace(answer.ttft_s / scale, answer.latency_s / scale)
        if fault is not None and fault.kind == "pace":
            pace = Pace(0.0, fault.pause_s)
        if call.stream:
            await delivery.stream(self._surface.frames(reply, call), pace, fault)
        else:
            await delivery.body(self._surface.body(reply), pace, fault)


class _EmbeddingEndpoint(_Endpoint):
    _name = "embeddings"

    def _read(self, body: Mapping[str, Any]) -> EmbeddingCall:
        return read_embedding(body)

    def _begin(self, call: EmbeddingCall) -> JournalEntry:
        return self.provider.begin(self._name, call.model, False, "\n".join(call.inputs))

    async def _answer(self, call: EmbeddingCall, delivery: Delivery, fault: Fault | None, serial: str) -> None:
        del serial
        if call.model not in EMBEDDING_MODELS and call.model not in self.provider.source.models:
            message = f"The model '{call.model}' does not exist"
            raise _Refused(ProviderError(404, "invalid_request_error", "model_not_found", message))
        latency = LATENCY_S / self.provider.time_scale
        await delivery.body(embedding_body(call), Pace(latency, latency), fault)


def _json(data: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(data), status, media_type=_JSON)


class _Desk:
    """Model list, token counts and control: the endpoints that no fault touches and no journal lists."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def models(self, request: Request) -> Response:
        del request
        names = [*self._provider.source.models, *EMBEDDING_MODELS]
        rows = [{"id": n, "object": "model", "created": 1_700_000_000, "owned_by": "routeiq-replay"} for n in names]
        return _json({"object": "list", "data": rows})

    async def count_tokens(self, request: Request) -> Response:
        return await self._counted(MESSAGES, request)

    async def count_input_tokens(self, request: Request) -> Response:
        return await self._counted(RESPONSES, request, object="response.input_tokens")

    async def _counted(self, surface: Surface, request: Request, **more: str) -> Response:
        try:
            call = surface.read(_parse(await request.body()))
        except BadRequest as error:
            refused = ProviderError(400, "invalid_request_error", None, str(error))
            return Response(surface.error(refused, self._provider.serial()), 400, media_type=_JSON)
        return _json({**more, "input_tokens": estimate_tokens(call.prompt)})

    async def control(self, request: Request) -> Response:
        try:
            model, fault = read_fault(_parse(await request.body()))
            if model != "*" and model not in self._provider.source.models and model not in EMBEDDING_MODELS:
                raise BadFault(f"no model {model!r}; known: {', '.join(self._provider.source.models)}")
        except (BadFault, BadRequest) as error:
            return _json({"error": str(error)}, 400)
        self._provider.faults.set(model, fault)
        return _json({"model": model, "fault": fault.kind if fault else None})

    async def journal(self, request: Request) -> Response:
        del request
        return _json(self._provider.journal.rows())

    async def counts(self, request: Request) -> Response:
        del request
        return _json(self._provider.journal.counts())

    async def reset(self, request: Request) -> Response:
        del request
        self._provider.faults.set("*", None)
        self._provider.journal.clear()
        return _json({"reset": True})


def build_app(provider: Provider) -> Starlette:
    """The application; the caller keeps `provider` to look into the journal or to set faults."""
    desk = _Desk(provider)
    surfaces = {
        "/v1/chat/completions": CHAT,
        "/v1/completions": COMPLETIONS,
        "/v1/responses": RESPONSES,
        "/v1/messages": MESSAGES,
    }
    answering = [Route(path, _AnswerEndpoint(provider, s), methods=["POST"]) for path, s in surfaces.items()]
    return Starlette(
        routes=[
            *answering,
            Route("/v1/embeddings", _EmbeddingEndpoint(provider), methods=["POST"]),
            Route("/v1/models", desk.models, methods=["GET"]),
            Route("/v1/messages/count_tokens", desk.count_tokens, methods=["POST"]),
            Route("/v1/responses/input_tokens", desk.count_input_tokens, methods=["POST"]),
            Route("/control", desk.control, methods=["POST"]),
            Route("/control/journal", desk.journal, methods=["GET"]),
            Route("/control/counts", desk.counts, methods=["GET"]),
            Route("/control/reset", desk.reset, methods=["POST"]),
        ]
    )
