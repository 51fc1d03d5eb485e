"""Compound models as an ASGI application between our edge and LiteLLM's: takes their requests, passes on all others.

Owns which requests are theirs, who may use them, their place in the listing of models, and the client that leaves.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.decision import Decision
from routeiq.core.errors import RouteIQError
from routeiq.core.ports import Authenticator
from routeiq.core.request import Caller, RouteRequest
from routeiq.flow import RequestFlow
from routeiq.http.answers import failure, refusal
from routeiq.http.compound.answering import Answering
from routeiq.http.compound.calls import Call
from routeiq.http.compound.conduct import NOT_PERMITTED, Conduct
from routeiq.http.compound.forms import ChatForm, Form, MessagesForm
from routeiq.routing.compound.methods import Compound

Translate = Callable[[Mapping[str, Any], Mapping[str, str], Caller], RouteRequest]
"""A request body and lower-case headers to a RouteRequest."""

FORMS: Mapping[str, Form] = {
    "/chat/completions": ChatForm(),
    "/v1/chat/completions": ChatForm(),
    "/v1/messages": MessagesForm(),
}
"""Where compound models answer."""

ELSEWHERE = frozenset(
    f"{version}/{path}" for version in ("", "/v1") for path in ("completions", "responses", "embeddings")
)
"""Where they do not, and say so."""

LISTINGS = frozenset({"/models", "/v1/models"})


class CompoundModels:
    """The application around LiteLLM's, which every call of a compound model goes to."""

    def __init__(self, inner: ASGIApp, *, flow: RequestFlow, auth: Authenticator, translate: Translate) -> None:
        self._inner = inner
        self._flow = flow
        self._auth = auth
        self._translate = translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        compounds = self._flow.holder.current.compounds
        if scope["type"] != "http" or not compounds:
            await self._inner(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] == "POST" and (path in FORMS or path in ELSEWHERE):
            await self._post(scope, receive, send, path, compounds)
        elif scope["method"] == "GET" and path in LISTINGS:
            await self._list(scope, send, compounds)
        else:
            await self._inner(scope, receive, send)

    async def _post(
        self, scope: Scope, receive: Receive, send: Send, path: str, compounds: Mapping[str, Compound]
    ) -> None:
        raw = await _body(receive)
        if raw is None:
            return
        body = _asked(raw, compounds)
        if body is None:
            await self._inner(scope, _again(raw, receive), send)
        elif path in ELSEWHERE:
            message = "compound models are served on chat completions and on messages"
            await refusal(400, "request_invalid", message)(scope, receive, send)
        else:
            await self._answer(scope, raw, body, receive, send, FORMS[path])

    async def _answer(
        self, scope: Scope, raw: bytes, body: dict[str, Any], receive: Receive, send: Send, form: Form
    ) -> None:
        """Answer a request to a compound model. Whoever may not use it gets LiteLLM's words for that."""
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            caller = await self._auth.authenticate(headers)
            conduct = None if caller is None else await self._prepare(scope, body, form, headers, caller)
        except RouteIQError as error:
            await failure(error)(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 - permission fails closed, whatever the reason
            self._flow.telemetry.failed("compound", error)
            await refusal(503, "auth_unavailable", "keys cannot be checked at the moment; try again")(
                scope, receive, send
            )
            return
        if conduct is None:
            await self._inner(scope, _again(raw, receive), send)
            return
        await self._attend(conduct, receive, send)

    async def _prepare(
        self, scope: Scope, body: dict[str, Any], form: Form, headers: Mapping[str, str], caller: Caller
    ) -> Answering | None:
        """Return the work on a request, or None when none of the candidates may be used."""
        flow, call_id = self._flow, headers.get("x-litellm-call-id", "")
        asked = self._translate(body, headers, caller)
        asked = replace(asked, id=call_id, surface=form.surface, stream=body.get("stream") is True)
        compound = flow.holder.current.compounds.get(asked.alias)
        if compound is None:
            return None
        names = compound.route.table.names
        barred = {name: NOT_PERMITTED for name in names if not await self._auth.permitted(caller, name)}
        if all(name in barred for name in compound.candidates):
            return None
        passage = flow.admit(asked)
        barred |= flow.forbidden(passage, asked.alias)
        await flow.prepare(passage)
        expected = flow.weigh(passage, barred)
        permitted = frozenset(names) - barred.keys()

        async def choose(prompt: str) -> tuple[str, ...]:
            part = replace(asked, text=prompt, prompt_tokens=len(prompt) // 4 + 1, hint=None)
            found: Decision = await flow.preview(part, barred)
            return found.ranking

        conduct = Conduct(
            compound, form, body, self._inner, scope, flow, expected, permitted, choose, flow.clock.monotonic()
        )
        return Answering(conduct, passage, flow, _unset)

    async def _attend(self, answering: Answering, receive: Receive, send: Send) -> None:
        """Have a request answered; when its client leaves, everything that is done for it ends."""
        answering.send = send
        work = asyncio.ensure_future(answering.run())
        watch = asyncio.ensure_future(_departure(receive))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
            await asyncio.wait({work})
        finally:
            watch.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
        if not work.cancelled():
            work.result()

    async def _list(self, scope: Scope, send: Send, compounds: Mapping[str, Compound]) -> None:
        """List the compound models beside LiteLLM's, those of which the caller is shown a candidate."""
        call = Call(self._inner, scope, {}, "")
        try:
            await call.begin()
            body = await call.whole()
        finally:
            await call.close()
        listed = _with_compounds(body, compounds) if call.status == 200 else None
        headers = [pair for pair in call.headers if pair[0].lower() != b"content-length"]
        body = body if listed is None else listed
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": call.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_compounds(body: bytes, compounds: Mapping[str, Compound]) -> bytes | None:
    """Return a listing with the compound models in it; each looks like the candidate by which it is known."""
    try:
        found = json.loads(body)
        entries = {entry["id"]: entry for entry in found["data"]}
    except (ValueError, TypeError, KeyError):
        return None
    for name, compound in compounds.items():
        known = next((entries[c] for c in compound.candidates if c in entries), None)
        if known is not None and name not in entries:
            found["data"].append({**known, "id": name})
    return json.dumps(found).encode()


def _asked(raw: bytes, compounds: Mapping[str, Compound]) -> dict[str, Any] | None:
    """Return the body of a request to a compound model, None for any other. Most are told apart without being read."""
    if not any(name.encode() in raw for name in compounds if name.isascii()) and all(map(str.isascii, compounds)):
        return None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    model = body.get("model") if isinstance(body, dict) else None
    return body if isinstance(model, str) and model in compounds else None


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None when the client left before its end."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _again(raw: bytes, receive: Receive) -> Receive:
    """Return what gives a body that has been read once more, and then what else the client says."""
    left = [raw]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


async def _departure(receive: Receive) -> None:
    """Return when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unset(message: Message) -> None:
    raise RuntimeError(f"{message['type']} before there was anybody to send to")
