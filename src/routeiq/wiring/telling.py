"""Who is told what happened: metrics, spans, log lines."""

import logging
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routeiq import __version__
from routeiq.config.limits import Guards
from routeiq.config.load import Settings
from routeiq.core.candidate import Candidate
from routeiq.core.decision import Decision
from routeiq.core.errors import ConfigError
from routeiq.core.metrics import (
    DEGRADED_NOW,
    IN_FLIGHT,
    LINES_DROPPED,
    LOG_DROPPED,
    LOG_HEALTHY,
    LOG_QUEUED,
    LOG_REPLAYED,
    LOG_SPILLED,
    Metric,
    Reading,
)
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock, Telemetry
from routeiq.core.remembered import LogStatus
from routeiq.core.request import RouteRequest
from routeiq.flow import NAMED_STRATEGY
from routeiq.guard.degraded import Degraded
from routeiq.routing.snapshot import Snapshot
from routeiq.routing.vitals import Vitals

if TYPE_CHECKING:
    from routeiq.adapters.logs import JsonLogging
    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry


@dataclass(slots=True)
class CompositeTelemetry:
    """Tells every part, in order; implements `core.ports.Telemetry`."""

    parts: tuple[Telemetry, ...]

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Report a decision to all parts."""
        for part in self.parts:
            part.decided(request, decision, parent)

    def ended(self, outcome: Outcome) -> None:
        """Report an outcome to all parts."""
        for part in self.parts:
            part.ended(outcome)

    def failed(self, where: str, error: BaseException) -> None:
        """Report a swallowed error to all parts."""
        for part in self.parts:
            part.failed(where, error)


def metrics_of(
    snapshot: Snapshot,
    candidates: Sequence[Candidate],
    status: Callable[[], LogStatus],
    vitals: Vitals,
    degraded: Degraded,
    lost_lines: Callable[[], int],
    guards: Guards,
    more: Mapping[Metric, Callable[[], Reading]],
) -> "PrometheusTelemetry":
    from prometheus_client import REGISTRY

    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry

    sources: dict[Metric, Callable[[], Reading]] = {
        **guards.sources(),
        **more,
        IN_FLIGHT: lambda: float(vitals.total()),
        LINES_DROPPED: lambda: float(lost_lines()),
        LOG_QUEUED: lambda: float(status().queued),
        LOG_DROPPED: lambda: float(status().dropped),
        LOG_HEALTHY: lambda: float(status().healthy),
        LOG_SPILLED: lambda: float(status().spilled),
        LOG_REPLAYED: lambda: float(status().replayed),
        DEGRADED_NOW: lambda: float(degraded.count()),
    }
    return PrometheusTelemetry(
        __version__,
        strategies={NAMED_STRATEGY, *snapshot.strategies},
        experiments={found.plan.name for found in snapshot.experiments},
        models={candidate.name for candidate in candidates},
        sources=sources,
        beside=(REGISTRY,),  # LiteLLM's own metrics, which its path would show if ours did not stand before it
    )


def spans_of(settings: Settings, clock: Clock) -> tuple[Telemetry, Callable[[], None], Callable[[], bool]]:
    """Return telemetry for spans, what closes it, and what renews its credentials, which returns whether it has any.

    Without the `otel` extra there are no spans.
    """
    endpoint = settings.environment.otlp_endpoint
    try:
        from routeiq.adapters.otel.tracing import SpanTelemetry, host_spans
    except ModuleNotFoundError as error:
        if endpoint is not None:
            message = f"OTEL_EXPORTER_OTLP_ENDPOINT needs {error.name}; run: pip install 'routeiq-router[otel]'"
            raise ConfigError(message) from None
        return CompositeTelemetry(()), lambda: None, lambda: False
    if endpoint is None:
        return host_spans(clock), lambda: None, lambda: False
    spans = SpanTelemetry.to_collector(str(endpoint), clock, service_name=settings.environment.service_name)
    return spans, spans.close, spans.renew


def lines_of(settings: Settings, clock: Clock) -> Telemetry:
    """Return telemetry that writes to the process's loggers."""
    from routeiq.adapters.logs import LogTelemetry

    return LogTelemetry(clock, random.Random(), share=float(settings.routeiq.decision_log))  # noqa: S311 - a sample


def json_lines(
    settings: Settings, stack: ExitStack, worker_id: str | None = None, hide: Callable[[str], str] = str
) -> "JsonLogging":
    """Have this process write JSON lines only, its host's messages and prints included, until the stack is closed.

    `hide` takes what is known to be secret out of a text.
    """
    from routeiq.adapters.logs import JsonLogging, LineHandler, PrintedLines

    handler = LineHandler(sys.stdout, service=settings.environment.service_name, worker_id=worker_id, hide=hide)
    lines = JsonLogging(handler, level=logging.getLogger("uvicorn.error").getEffectiveLevel())
    lines.start()
    stack.callback(lines.stop)
    stack.enter_context(redirect_stdout(PrintedLines()))
    return lines
