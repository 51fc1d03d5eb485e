"""The one door to what only admins may do.

Owns who comes through, that a change which has to reach all workers is refused while it cannot, and that every change
and every refusal is in the audit: a change is durable there before it is answered. What a change means is the business
of the endpoint behind the door, which says by `noted` what it was before and is now.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from routeiq.core.audit import ACCESS_REFUSED, NAMELESS, STRANGER, AuditTrail, Result, acts
from routeiq.core.errors import AuditUnavailable, RouteIQError, StateUnavailable
from routeiq.core.request import Caller
from routeiq.core.shared import SharedState
from routeiq.http.answers import refusal
from routeiq.http.table import Endpoint

if TYPE_CHECKING:
    from routeiq.http.endpoints import Handler

ACKNOWLEDGE_S: Final = 2.0
"""How long an answer waits until its change is durable in the audit, before it is given without that."""

REPEATED_S: Final = 60.0
"""How long further refusals of the same caller at the same endpoint are counted rather than written one by one."""

CALLERS_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Change:
    """What an endpoint changed: of what, and what that was before and is now, where these are names."""

    subject: str
    before: str | None = None
    after: str | None = None


def noted(request: Request, subject: str, before: str | None = None, after: str | None = None) -> None:
    """Have the audit say what a request was about to change, or has changed."""
    request.state.change = Change(subject, before, after)


@dataclass(slots=True)
class Refusals:
    """Refusals by endpoint and caller: who is refused all the time must not fill the audit."""

    _seen: "OrderedDict[tuple[str, str], tuple[float, int]]" = field(default_factory=OrderedDict)

    def count(self, endpoint: Endpoint, actor: str, now: float) -> int | None:
        """Return how many were not written since the last one that was, or None when this is not to be written."""
        key = (f"{endpoint.method} {endpoint.path}", actor)
        since, more = self._seen.get(key, (float("-inf"), 0))
        if now - since < REPEATED_S:
            self._seen[key] = since, more + 1
            return None
        self._seen[key] = now, 0
        self._seen.move_to_end(key)
        if len(self._seen) > CALLERS_KEPT:
            self._seen.popitem(last=False)
        return more


@dataclass(slots=True)
class AdminDoor:
    """Lets admins through. `lonely` says that this worker has others and cannot reach them.

    With `audited` no change is made while the audit cannot be written.
    """

    trail: AuditTrail
    state: SharedState | None = None
    lonely: Callable[[], bool] = lambda: False
    audited: bool = False
    _refusals: Refusals = field(default_factory=Refusals)

    def stranger(self, endpoint: Endpoint, request: Request) -> None:
        """Note that a request to an endpoint of admins came without a valid key."""
        with acts(STRANGER, request.headers.get("x-request-id")):
            self._refused(endpoint, STRANGER, "unauthenticated")

    async def through(
        self, endpoint: Endpoint, request: Request, caller: Caller, parameter: str, handler: "Handler"
    ) -> Response:
        """Answer a request to an endpoint of admins."""
        actor = caller.key_hash or caller.user or NAMELESS
        with acts(actor, request.headers.get("x-request-id")):
            if not caller.admin:
                self._refused(endpoint, actor, "forbidden")
                name = f"{endpoint.method} {endpoint.path}"
                return refusal(403, "forbidden", f"{name} takes LiteLLM's master key, or the key of a proxy admin")
            if endpoint.kind is None:
                return await handler(request, caller, parameter)
            return await self._changing(endpoint, endpoint.kind, request, caller, parameter, handler)

    async def _changing(
        self, endpoint: Endpoint, kind: str, request: Request, caller: Caller, parameter: str, handler: "Handler"
    ) -> Response:
        """Have a change made, and told however it ends."""
        result: Result = "refused"
        reason: str | None = "internal"
        try:
            await self._check(endpoint)
            result = "failed"
            response = await handler(request, caller, parameter)
            result, reason = _ended(response.status_code), getattr(response, "reason", None)
        except RouteIQError as error:
            result, reason = result if result == "refused" else _ended(error.status), error.reason
            raise
        finally:
            change: Change = getattr(request.state, "change", None) or Change(parameter or endpoint.path)
            await self._told(kind, change, result, reason)
        return response

    async def _told(self, kind: str, change: Change, result: Result, reason: str | None) -> None:
        self.trail.tell(kind, change.subject, before=change.before, after=change.after, result=result, reason=reason)
        if self.trail.kept.trouble is None:
            await asyncio.to_thread(self.trail.kept.flush, ACKNOWLEDGE_S)

    async def _check(self, endpoint: Endpoint) -> None:
        trouble = self.trail.kept.trouble
        if self.audited and trouble is not None:
            raise AuditUnavailable(
                f"the audit cannot be written ({trouble}), and `audit.required` allows no change without it"
            )
        if not endpoint.shared:
            return
        if self.lonely():
            raise StateUnavailable(
                "the workers of this gateway share nothing, and this has to reach all of them; set REDIS_URL"
            )
        if self.state is not None:
            try:
                await self.state.ping()
            except StateUnavailable:
                raise StateUnavailable(
                    "the other workers cannot be told while shared state does not answer; try again"
                ) from None

    def _refused(self, endpoint: Endpoint, actor: str, reason: str) -> None:
        more = self._refusals.count(endpoint, actor, self.trail.clock.monotonic())
        if more is not None:
            subject, after = f"{endpoint.method} {endpoint.path}", f"and {more} more before" if more else None
            self.trail.tell(ACCESS_REFUSED, subject, after=after, result="refused", reason=reason)


def _ended(status: int) -> Result:
    return "ok" if status < 400 else "refused" if status < 500 else "failed"
