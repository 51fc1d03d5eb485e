"""RouteIQ's own endpoints behind a key: decisions, the dry run, feedback, status.

Owns who may see what: a caller sees decisions of its own key, an admin sees all, and everything else does not exist.
"""

import asyncio
import inspect
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routeiq import __version__
from routeiq.core.errors import (
    FeedbackInvalid,
    RouteIQError,
    StoreUnavailable,
    UnknownDecision,
    UnknownModel,
    nearest,
)
from routeiq.core.outcome import Feedback
from routeiq.core.ports import Authenticator, OutcomeLog, Remembered
from routeiq.core.request import Caller, RouteRequest
from routeiq.flow import RequestFlow
from routeiq.http.admin import AdminDoor
from routeiq.http.answers import Json, compound_form, failure, preview_form, refusal, remembered_form
from routeiq.http.bodies import ID_PATTERN, ComparisonBody, check_prompt, feedback_body, read_object, shown
from routeiq.http.probes import Health
from routeiq.http.table import DECISION, FEEDBACK, ROUTE, STATUS, Endpoint, at

FEEDBACK_LIMIT = 16 * 1024
"""Largest feedback body, in bytes."""

PROMPT_LIMIT = 8 * 1024 * 1024
"""Largest body of a dry run, in bytes: room for a few images."""

ACKNOWLEDGE_S = 10.0
"""How long a durable write may take before the client is told to send it again."""

NOT_PERMITTED = "access"
"""What an explanation says of a candidate that the caller could not call by name; the hook says the same."""

Translate = Callable[[Mapping[str, Any], Mapping[str, str], Caller], RouteRequest]
"""A request body and lower-case headers to a RouteRequest; raises RequestInvalid for what it cannot read."""

Status = Callable[[], Mapping[str, object] | Awaitable[Mapping[str, object]]]
"""What the parts add to /routeiq/status, at once or when others were asked."""

_ID = re.compile(ID_PATTERN)

Handler = Callable[[Request, Caller, str], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The keyed endpoints as an ASGI application; it is only given paths below /routeiq."""

    flow: RequestFlow
    log: OutcomeLog
    auth: Authenticator
    translate: Translate
    health: Health
    status: Status
    door: AdminDoor
    more: Mapping[Endpoint, Handler] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes an error in OpenAI's form."""
        request = Request(scope, receive)
        try:
            response = await self._respond(request, scope["path"])
        except ClientDisconnect:
            return
        except RouteIQError as error:
            response = failure(error)
        except Exception as error:  # noqa: BLE001 - one broken endpoint must not take the worker down
            self.flow.telemetry.failed("endpoint", error)
            response = refusal(500, "internal", "RouteIQ could not serve this request; its log has the cause")
        await response(scope, receive, send)

    async def _respond(self, request: Request, path: str) -> Response:
        try:
            caller = await self.auth.authenticate(request.headers)
        except Exception as error:  # noqa: BLE001 - permission fails closed, whatever the reason
            self.flow.telemetry.failed("authenticate", error)
            return refusal(503, "auth_unavailable", "keys cannot be checked at the moment; try again")
        if caller is None:
            for endpoint, _ in at(path):
                if endpoint.admin and endpoint.method == request.method:
                    self.door.stranger(endpoint, request)
            message = "no valid key; send one as `Authorization: Bearer ...`"
            return refusal(401, "unauthenticated", message, {"www-authenticate": "Bearer"})
        handlers = self.handlers
        found = {endpoint.method: (endpoint, parameter) for endpoint, parameter in at(path) if endpoint in handlers}
        if not found:
            return refusal(404, "unknown_path", "there is no such endpoint; /routeiq/status is one")
        if request.method not in found:
            allowed = ", ".join(sorted(found))
            return refusal(405, "method_not_allowed", f"this endpoint takes {allowed}", {"allow": allowed})
        endpoint, parameter = found[request.method]
        handler = handlers[endpoint]
        if endpoint.admin:
            return await self.door.through(endpoint, request, caller, parameter, handler)
        return await handler(request, caller, parameter)

    @property
    def handlers(self) -> Mapping[Endpoint, Handler]:
        """What answers each endpoint of the table that there is in this process."""
        return {
            **self.more,
            DECISION: self._explain,
            ROUTE: self._preview,
            FEEDBACK: self._take_feedback,
            STATUS: self._tell_status,
        }

    async def _explain(self, request: Request, caller: Caller, decision_id: str) -> Response:
        return Json(remembered_form(await self._remembered(decision_id, caller)))

    async def _preview(self, request: Request, caller: Caller, _: str) -> Response:
        body = await read_object(request, PROMPT_LIMIT)
        check_prompt(body)
        wanted = self.translate(body, request.headers, caller)
        barred = await self._barred(wanted, caller)
        compound = self.flow.holder.current.compounds.get(wanted.alias)
        return Json(preview_form(await self.flow.preview(wanted, barred), compound))

    async def _barred(self, wanted: RouteRequest, caller: Caller) -> dict[str, str]:
        """Return the candidates the caller could not call by name; raises UnknownModel when nothing is left.

        A model that the caller may not call and one that does not exist get the same answer.
        """
        snapshot = self.flow.holder.current
        routes, route = snapshot.routes, snapshot.route(wanted.alias)
        compound = snapshot.compounds.get(wanted.alias)
        known = {name for r in routes.values() for name in r.table.names}
        exists = route is not None or wanted.alias in known
        if exists and (compound is not None or await self.auth.permitted(caller, wanted.alias)):
            names = route.table.names if route is not None else ()
            answering = names if compound is None else compound.candidates
            barred = {name: NOT_PERMITTED for name in names if not await self.auth.permitted(caller, name)}
            if route is None or any(name not in barred for name in answering):
                return barred
        open_to_caller = [alias for alias in routes if await self.auth.permitted(caller, alias)]
        raise UnknownModel(
            f"model {shown(wanted.alias)} is not one that this key may have routed; "
            f"{nearest(wanted.alias, open_to_caller)}"
        )

    async def _take_feedback(self, request: Request, caller: Caller, _: str) -> Response:
        body = feedback_body(await read_object(request, FEEDBACK_LIMIT))
        found = await self._remembered(body.decision_id, caller)
        if body.comparison is not None:
            _check_comparison(body.comparison, found)
        feedback = Feedback(
            id="fb_" + secrets.token_hex(12),
            decision_id=body.decision_id,
            at=self.flow.clock.now(),
            source=body.source,
            score=body.score,
            other=body.comparison.other if body.comparison else None,
            preferred=body.comparison.preferred if body.comparison else None,
        )
        try:
            await asyncio.wait_for(self.log.add_feedback(feedback), ACKNOWLEDGE_S)
        except TimeoutError:
            raise StoreUnavailable("the feedback could not be stored in time; send it again") from None
        self.flow.judged(found, feedback)
        return Json({"id": feedback.id, "decision_id": feedback.decision_id, "stored": True})

    async def _tell_status(self, request: Request, caller: Caller, _: str) -> Response:
        snapshot = self.flow.holder.current
        aliases = {
            alias: {
                "strategy": route.profile.strategy,
                "artifact": route.profile.artifact,
                "candidates": list(route.table.names),
            }
            for alias, route in snapshot.routes.items()
        }
        form: dict[str, object] = {
            "version": __version__,
            "pid": os.getpid(),
            "state": self.health.state,
            "checks": self.health.checked(),
            "snapshot": snapshot.version,
            "aliases": aliases,
            "compounds": {name: compound_form(compound) for name, compound in snapshot.compounds.items()},
        }
        told = self.status()
        return Json({**form, **(await told if inspect.isawaitable(told) else told)})

    async def _remembered(self, decision_id: str, caller: Caller) -> Remembered:
        """Return a decision that the caller may see; raises UnknownDecision for any other, in the same words."""
        found = await self.log.find(decision_id) if _ID.fullmatch(decision_id) else None
        if found is None or not _may_see(caller, found.caller):
            raise UnknownDecision(f"no decision {shown(decision_id)} of this key is known")
        return found


def _may_see(caller: Caller, owner: Caller) -> bool:
    return caller.admin or (caller.key_hash is not None and caller.key_hash == owner.key_hash)


def _check_comparison(posted: ComparisonBody, found: Remembered) -> None:
    """Raise FeedbackInvalid unless the comparison is between the served answer and another candidate's."""
    decision = found.decision
    served = {found.outcome.model} if found.outcome is not None else set(decision.ranking)
    candidates = {report.name for report in decision.candidates}
    if candidates and posted.other not in candidates:
        raise FeedbackInvalid(
            f"`comparison.other`: found {shown(posted.other)}, expected another candidate of this decision; "
            f"{nearest(posted.other, candidates)}"
        )
    if served == {posted.other}:
        raise FeedbackInvalid(f"`comparison.other`: {shown(posted.other)} gave the served answer; name another one")
    if posted.preferred is not None and posted.preferred not in served | {posted.other}:
        raise FeedbackInvalid(
            f"`comparison.preferred`: found {shown(posted.preferred)}, expected null for a tie, "
            f"{shown(posted.other)} or the served model"
        )
