"""What answers without a key: whether this worker lives, has started and takes requests, and its metrics.

Owns the flags of a worker; the lifespan and a drain set them. What a check or a metric means is the business of the
part it comes from.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from routeiq.core.ports import Telemetry
from routeiq.http.answers import Json, refusal
from routeiq.http.table import CONFIG_SYNC, LIVE, READY, STARTUP

Checks = Callable[[], Mapping[str, str]]
"""Part by part, "ok" or the reason word of what is wrong. Advice: a failing log does not make a worker unready."""

Metrics = Callable[[], tuple[bytes, str] | Awaitable[tuple[bytes, str]]]
"""The exposition and its content type, at once or when others were asked."""


Sync = Callable[[], Mapping[str, object]]
"""Which configuration serves; see `http.config_sync`."""


def fixed() -> Mapping[str, object]:
    """Return what a process says that reads its configuration once."""
    return {"state": "fixed"}


@dataclass(slots=True)
class Health:
    """The state of one worker. `started` once the inner application and the warm-up are done."""

    checks: Checks
    telemetry: Telemetry
    started: bool = False
    draining: bool = False

    @property
    def state(self) -> str:
        """One word: starting, ready or draining."""
        return "draining" if self.draining else "ready" if self.started else "starting"

    def checked(self) -> dict[str, str]:
        """Return the checks; when they fail themselves, that is what is said."""
        try:
            return dict(self.checks())
        except Exception as error:  # noqa: BLE001 - a broken check must not take the worker out of service
            self.telemetry.failed("checks", error)
            return {"checks": "failed"}


@dataclass(frozen=True, slots=True)
class Probes:
    """The open endpoints as an ASGI application; it is only given paths of the table."""

    health: Health
    metrics: Metrics
    sync: Sync = fixed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._respond(scope["method"], scope["path"])
        await response(scope, receive, send)

    async def _respond(self, method: str, path: str) -> Response:
        if method not in ("GET", "HEAD"):
            return refusal(405, "method_not_allowed", "this endpoint takes GET, HEAD", {"allow": "GET, HEAD"})
        if path in LIVE:
            return Json({"status": "alive"})
        if path in READY:
            state = self.health.state
            return Json({"status": state, "checks": self.health.checked()}, 200 if state == "ready" else 503)
        if path in STARTUP:
            started = self.health.started
            return Json({"status": "started" if started else "starting"}, 200 if started else 503)
        if path in CONFIG_SYNC:
            return Json(dict(self.sync()))
        return await self._exposition()

    async def _exposition(self) -> Response:
        try:
            found = self.metrics()
            text, content_type = await found if inspect.isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - a broken metric must not look like a broken gateway
            self.health.telemetry.failed("metrics", error)
            return refusal(503, "metrics_unavailable", "the metrics could not be collected; the log has the cause")
        return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})
