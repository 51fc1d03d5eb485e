"""The ASGI edge around LiteLLM's application: ids, trace context, decision headers, and our own endpoints.

Owns what happens to a request before and after the inner application. Bodies pass through untouched; nothing is
buffered, so streams and disconnects reach both sides as they are.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.ports import Authenticator, OutcomeLog
from routeiq.core.trace import CURRENT
from routeiq.flow import RequestFlow
from routeiq.http.answers import refusal
from routeiq.http.endpoints import Endpoints, Status, Translate
from routeiq.http.headers import arrive, depart
from routeiq.http.lifespan import Lifespan, Step
from routeiq.http.probes import Checks, Health, Metrics, Probes
from routeiq.http.table import OPEN, is_ours


def _nothing() -> Mapping[str, str]:
    return {}


class Edge:
    """Our ASGI application around another one.

    `metrics` returns the exposition and its content type. `on_startup` runs after the inner application has started,
    `on_shutdown` after it has stopped or failed to; it closes the log and telemetry. `status` adds to /routeiq/status,
    `checks` to readiness. `sample_ratio` is the share of traces begun here that are sampled.
    """

    def __init__(
        self,
        inner: ASGIApp,
        *,
        flow: RequestFlow,
        log: OutcomeLog,
        auth: Authenticator,
        translate: Translate,
        metrics: Metrics,
        on_startup: Step,
        on_shutdown: Step,
        status: Status = _nothing,
        checks: Checks = _nothing,
        sample_ratio: float = 1.0,
    ) -> None:
        self.health = Health(checks, flow.telemetry)
        self._inner = inner
        self._flow = flow
        self._sample_ratio = sample_ratio
        self._lifespan = Lifespan(inner, self.health, log, flow.telemetry, on_startup, on_shutdown)
        self._keyed = Endpoints(flow, log, auth, translate, self.health, status)
        self._probes = Probes(self.health, metrics)
        self._open_paths = frozenset(endpoint.path for endpoint in OPEN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of whatever kind."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    def drain(self) -> None:
        """Answer readiness with 503 from now on; requests are still served."""
        self.health.draining = True

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = arrive(scope["headers"], self._sample_ratio)
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                passage = self._flow.passage(arrival.call_id)
                message = {**message, "headers": depart(message.get("headers", ()), arrival, passage)}
            await send(message)

        token = CURRENT.set(arrival.trace)
        try:
            app, inside = self._inside(scope)
            await app({**inside, "headers": arrival.headers}, receive, answer)
        except Exception:
            if not began:
                message = "the gateway failed on this request; its log has the cause under the request id"
                await refusal(500, "internal", message)(scope, receive, answer)
            raise
        finally:
            CURRENT.reset(token)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = arrive(scope["headers"], self._sample_ratio)
        token = CURRENT.set(arrival.trace)
        try:
            await self._inner({**scope, "headers": arrival.headers}, receive, send)
        finally:
            CURRENT.reset(token)

    def _inside(self, scope: Scope) -> tuple[ASGIApp, Scope]:
        """Return who answers a path, and the scope it gets: ours know nothing of a root path."""
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path in self._open_paths:
            return self._probes, {**scope, "path": path, "root_path": ""}
        if is_ours(path):
            return self._keyed, {**scope, "path": path, "root_path": ""}
        return self._inner, scope
