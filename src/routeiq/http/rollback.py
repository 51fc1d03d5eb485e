"""`POST /routeiq/admin/rollback`: the version before, or a named one, put back in every worker of every replica.

Owns the form of question and answer, and how workers tell each other: through the area `config` of shared state. What
putting a version back means is `config.reload`'s. A worker that has never served the version keeps what it has, and
says so.
"""

import json
import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from routeiq.config.reload import Reloader
from routeiq.core.audit import GATEWAY, acting, acts
from routeiq.core.errors import RequestInvalid, RouteIQError
from routeiq.core.request import Caller
from routeiq.guard.mirror import Mirror
from routeiq.guard.tasks import Errands
from routeiq.http.admin import noted
from routeiq.http.answers import Json
from routeiq.http.bodies import read_object, shown
from routeiq.http.config_sync import sync_form

AREA, KEY = "config", "rollback"
BODY_LIMIT = 1024

logger = logging.getLogger(__name__)


class RollbackEndpoint:
    """Goes back, and follows what other workers were told."""

    def __init__(self, reloader: Reloader, mirror: Mirror) -> None:
        self._reloader, self._mirror = reloader, mirror
        self._seen: bytes | None = None
        self._following = Errands()

    def start(self) -> None:
        """Follow from now on; what was asked before this worker began is of no concern to it."""
        self._seen = self._mirror.get(AREA, KEY)
        self._mirror.on_change(AREA, self._changed)

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        body = await read_object(request, BODY_LIMIT)
        to = body.get("to")
        if set(body) - {"to"} or not (to is None or isinstance(to, str)):
            raise RequestInvalid(f'found {shown(json.dumps(body))}, expected {{"to": VERSION}} or {{}}')
        before = self._reloader.status.version
        noted(request, "configuration", before, to)
        status = await self._reloader.rollback(to)
        noted(request, "configuration", before, status.version)
        by = acting()
        order = {"to": status.version, "at": status.since, "by": by.actor, "request_id": by.request_id}
        self._seen = json.dumps(order).encode()
        self._mirror.put(AREA, KEY, self._seen)
        return Json(dict(sync_form(status)))

    def _changed(self, entries: Mapping[str, bytes | None]) -> None:
        told = entries.get(KEY)
        if told is None or told == self._seen:
            return
        self._seen = told
        order = json.loads(told)
        with acts(order.get("by") or GATEWAY, order.get("request_id")):
            self._following.start(self._follow(str(order["to"])))

    async def _follow(self, version: str) -> None:
        try:
            await self._reloader.rollback(version)
        except RouteIQError as error:
            logger.error("this worker does not go back with the others: %s", error.message)
