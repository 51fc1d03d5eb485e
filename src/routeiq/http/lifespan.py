"""The lifespan protocol: the inner application's start and stop, with ours around it.

Owns the order. Start: inner first, then ours, as ours needs what it has built. Stop: what is queued is made durable at
once, then the inner application stops, as its last calls still report outcomes, then our parts close. They close once,
whatever becomes of the inner application.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.errors import RouteIQError
from routeiq.core.ports import OutcomeLog, Telemetry
from routeiq.http.probes import Health

logger = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Lifespan:
    """What starts and stops with the server. `deliver` is called first at a stop: it ends what is still to be told."""

    inner: ASGIApp
    health: Health
    log: OutcomeLog
    telemetry: Telemetry
    on_startup: Step
    on_shutdown: Step
    deliver: Step = nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one run of the protocol."""
        run = _Run(self, receive, send)
        try:
            await self.inner(scope, run.from_server, run.to_server)
        finally:
            await run.close()
            await run.report_failure()


@dataclass(slots=True)
class _Run:
    """One run. When our start fails, the inner application is first stopped in order, then the server is told."""

    parts: Lifespan
    receive: Receive
    send: Send
    failure: str | None = None
    unwound: bool = False
    closed: bool = False
    trouble: str | None = None

    async def from_server(self) -> Message:
        if self.failure is not None and not self.unwound:
            self.unwound = True
            return {"type": "lifespan.shutdown"}
        message = await self.receive()
        if message["type"] == "lifespan.shutdown":
            self.parts.health.draining = True
            await self._flush()
        return message

    async def to_server(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            if not await self._start():
                return
        elif self.failure is not None:
            await self.report_failure()
            return
        else:
            await self.close()
            if message["type"] == "lifespan.shutdown.complete" and self.trouble is not None:
                message = {"type": "lifespan.shutdown.failed", "message": self.trouble}
        await self.send(message)

    async def _start(self) -> bool:
        try:
            await self.parts.on_startup()
        except Exception as error:  # noqa: BLE001 - the server has to hear of it in the protocol's own words
            self.failure = _noted("RouteIQ did not start", error)
            return False
        self.parts.health.started = True
        return True

    async def _flush(self) -> None:
        try:
            await self.parts.deliver()
            await self.parts.log.flush()
        except Exception as error:  # noqa: BLE001 - stopping goes on; closing tries again and reports
            self.parts.telemetry.failed("flush", error)

    async def close(self) -> None:
        """Close our parts, once."""
        if self.closed:
            return
        self.closed = True
        self.parts.health.draining = True
        try:
            await self.parts.on_shutdown()
        except Exception as error:  # noqa: BLE001 - reported as a failed shutdown; the process ends anyway
            self.trouble = _noted("RouteIQ did not stop cleanly", error)

    async def report_failure(self) -> None:
        """Tell the server that the start failed, after everything that had started was stopped."""
        if self.failure is None:
            return
        await self.close()
        text, self.failure = self.failure, None
        self.unwound = True
        await self.send({"type": "lifespan.startup.failed", "message": text})


def _noted(what: str, error: Exception) -> str:
    """Log an error and return what may be shown of it; the text of a foreign one may hold a secret."""
    logger.error(what, exc_info=error)
    return f"{what}: {error.message if isinstance(error, RouteIQError) else type(error).__name__}"
