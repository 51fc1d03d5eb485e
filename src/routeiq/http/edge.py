"""The ASGI edge around LiteLLM's application: ids, trace context, decision headers, and our own endpoints.

Owns what happens to a request before and after the inner application. Bodies pass through untouched; nothing is
buffered, so streams and disconnects reach both sides as they are.
"""

import math
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.audit import AuditTrail, NoAudit
from routeiq.core.ports import Authenticator, OutcomeLog
from routeiq.core.trace import CURRENT
from routeiq.flow import RequestFlow
from routeiq.guard.drain import Drain, Phase
from routeiq.http.admin import AdminDoor
from routeiq.http.answers import refusal
from routeiq.http.endings import Session, follow_up
from routeiq.http.endpoints import Endpoints, Handler, Status, Translate
from routeiq.http.experiments import handlers
from routeiq.http.gate import Gate, is_model_call
from routeiq.http.headers import Arrival, arrive, depart
from routeiq.http.lifespan import Lifespan, Step, nothing
from routeiq.http.load import LoadEndpoint
from routeiq.http.probes import Checks, Health, Metrics, Probes, Sync, fixed
from routeiq.http.table import LOAD, OPEN, Endpoint, is_ours
from routeiq.http.traffic import CLOSING, Exchange, Traffic, draining, handing_over, is_stream, stream_id

Worded = Callable[[Exception], tuple[int, str, str] | None]


def _nothing() -> Mapping[str, str]:
    return {}


def _never(error: Exception) -> tuple[int, str, str] | None:
    return None


class Edge:
    """Our ASGI application around another one.

    `worded` returns status, reason word and message of what the inner application meant by an error, or None.
    `metrics` returns the exposition and its content type. `on_startup` runs after the inner application has started,
    `on_shutdown` after it has stopped or failed to; it closes the log and telemetry. `status` adds to /routeiq/status,
    `checks` to readiness. `sample_ratio` is the share of traces begun here that are sampled. `drain` says when work is
    refused; without one it never is. `traffic` knows what is under way. `gate` lets calls to models in; without one
    all come in.
    `door` is what admins come through; without one nothing is audited.
    `sync` tells of the configuration, `more` are the endpoints of other parts, by their entry in the table.
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
        deliver: Step = nothing,
        status: Status = _nothing,
        checks: Checks = _nothing,
        sample_ratio: float = 1.0,
        drain: Drain | None = None,
        gate: Gate | None = None,
        worded: Worded = _never,
        sync: Sync = fixed,
        more: Mapping[Endpoint, Handler] | None = None,
        door: AdminDoor | None = None,
    ) -> None:
        self.traffic = Traffic()
        self.retiring = False
        self._gate = gate
        if gate is not None:
            gate.admission.load.streams = lambda: self.traffic.streams
        self._drain = drain or Drain(math.inf, math.inf)
        self.health = Health(checks, flow.telemetry)
        self._inner = inner
        self._flow = flow
        self._sample_ratio = sample_ratio
        self._worded = worded
        self._lifespan = Lifespan(inner, self.health, log, flow.telemetry, on_startup, on_shutdown, deliver)
        load = {} if gate is None else {LOAD: LoadEndpoint(gate.admission, flow.breakers, flow.clock)}
        also: dict[Endpoint, Handler] = {**load, **handlers(flow), **(more or {})}
        door = door or AdminDoor(AuditTrail(NoAudit(), flow.clock))
        self._keyed = Endpoints(flow, log, auth, translate, self.health, status, door, also)
        self._probes = Probes(self.health, metrics, sync)
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

    def drain(self, lame_duck: bool = True) -> bool:
        """Answer readiness with 503 from now on, and go through the phases of the drain; False when it had begun."""
        self.health.draining = True
        return self._drain.begin(self._flow.clock.monotonic(), lame_duck)

    def hurry(self) -> None:
        """Refuse what comes and cut what is under way, from now on."""
        self.health.draining = True
        self._drain.hurry(self._flow.clock.monotonic())

    def retire(self) -> None:
        """Have clients leave this worker, one answer each, while it goes on as before: another takes its place."""
        self.retiring = True

    def settle(self) -> tuple[Phase, float]:
        """Return the phase of the drain and when the next one begins; what is under way in the last one is cut."""
        now = self._flow.clock.monotonic()
        phase = self._drain.phase(now)
        if phase is Phase.CUTTING:
            self.traffic.cut_all()
        return phase, self._drain.next_at(now)

    @property
    def _going(self) -> bool:
        return self._drain.begun or self.retiring

    def _refuses(self) -> bool:
        return self._drain.begun and self._drain.phase(self._flow.clock.monotonic()) in (Phase.REFUSING, Phase.CUTTING)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrival = arrive(scope["headers"], self._sample_ratio)
        exchange = self.traffic.enter(scope["path"])
        self._flow.counting(arrival.call_id)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                passage = self._flow.passage(arrival.call_id)
                headers = depart(message.get("headers", ()), arrival, passage)
                exchange.stream = is_stream(headers)
                if passage is not None:
                    self._flow.began(passage)
                if exchange.stream:
                    exchange.passage = passage
                    headers.append(stream_id(scope["headers"], arrival.request_id))
                if self._going and CLOSING not in headers:
                    headers.append(CLOSING)
                message = {**message, "headers": [*headers, *exchange.hand_over]}
            exchange.note(message)
            await send(message)

        token = CURRENT.set(arrival.trace)
        try:
            await self._through(scope, arrival, receive, answer, exchange)
            if exchange.cut:
                await exchange.end(scope, receive, answer)
        finally:
            CURRENT.reset(token)
            self.traffic.leave(exchange)
            self._flow.counted(arrival.call_id)
            follow_up(self._flow, exchange, self._flow.passage(arrival.call_id))

    async def _through(
        self, scope: Scope, arrival: Arrival, receive: Receive, answer: Send, exchange: Exchange
    ) -> None:
        """Have a request served; returns early when it is cut, however the application takes that."""
        with exchange:
            try:
                app, inside = self._inside(scope, exchange)
                inside = {**inside, "headers": arrival.headers}
                if self._gate is not None and app is self._inner and is_model_call(inside):
                    await self._gate.through(app, inside, receive, answer, exchange, arrival.call_id)
                else:
                    await app(inside, receive, answer)
            except Exception as error:
                if exchange.begun or exchange.cut:
                    raise
                meant = self._worded(error)
                if meant is not None:
                    await refusal(*meant)(scope, receive, answer)
                    return
                message = "the gateway failed on this request; its log has the cause under the request id"
                # The server closes the connection of a request that raised: a client that was not told reuses it.
                await refusal(500, "internal", message, {"connection": "close"})(scope, receive, answer)
                raise

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._refuses():
            self.traffic.refused += 1
            await send({"type": "websocket.close", "code": 1012, "reason": "draining"})
            return
        arrival, session, broken = arrive(scope["headers"], self._sample_ratio), Session(), True

        async def answer(message: Message) -> None:
            session.note(message)
            await send(message)

        token = CURRENT.set(arrival.trace)
        try:
            await self._inner({**scope, "headers": arrival.headers}, receive, answer)
            broken = False
        finally:
            CURRENT.reset(token)
            session.follow_up(self._flow, self._flow.passage(arrival.call_id), broken)

    def _inside(self, scope: Scope, exchange: Exchange) -> tuple[ASGIApp, Scope]:
        """Return who answers a path, and the scope it gets: ours know nothing of a root path."""
        path, root = scope["path"], scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path in self._open_paths:
            return self._probes, {**scope, "path": path, "root_path": ""}
        if self._refuses():
            self.traffic.refused += 1
            exchange.hand_over = handing_over(scope["headers"])
            return draining(), scope
        if is_ours(path):
            return self._keyed, {**scope, "path": path, "root_path": ""}
        return self._inner, scope
