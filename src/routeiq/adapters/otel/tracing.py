"""One span for every decision, `routeiq.routing.decision`, inside the request it belongs to.

Owns the attributes of the span and how its parent is found. Spans are handed to a batch processor: nothing here waits
for a collector, and when too many are waiting the oldest are lost.
"""

import atexit
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    get_current_span,
    get_tracer,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from routeiq.adapters.otel.renewed import RenewedExporter
from routeiq.core.decision import Decision
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock
from routeiq.core.request import RouteRequest
from routeiq.core.trace import CURRENT, TRACE_HEADERS, TraceContext, carried

SPAN_NAME: Final = "routeiq.routing.decision"
SCOPE: Final = "routeiq"
DEFAULT_SERVICE: Final = "routeiq-gateway"
NO_EXPERIMENT: Final = "none"

Value: TypeAlias = str | int | float | bool | Sequence[str]


class SpanTelemetry:
    """Implements `core.ports.Telemetry`: decisions become spans; outcomes and swallowed errors are left to metrics."""

    def __init__(
        self,
        tracer: Tracer,
        clock: Clock,
        provider: TracerProvider | None = None,
        exporter: SpanExporter | None = None,
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._provider = provider
        self._exporter = exporter

    @classmethod
    def to_collector(
        cls,
        endpoint: str,
        clock: Clock,
        *,
        service_name: str = DEFAULT_SERVICE,
        headers: Mapping[str, str] | None = None,
        sample_ratio: float = 1.0,
        delay_s: float = 2.0,
        queue_limit: int = 8_192,
    ) -> "SpanTelemetry":
        """Return telemetry that sends its spans to an OTLP/HTTP collector, in the background, every `delay_s` seconds.

        `endpoint` is the collector's address, with or without the path `/v1/traces`. A span is recorded when its parent
        is; one without a parent with probability `sample_ratio`.
        """

        def make() -> SpanExporter:
            return OTLPSpanExporter(endpoint=traces_url(endpoint), headers=dict(headers or {}), timeout=5)

        exporter = RenewedExporter(make)
        return cls.to_exporter(exporter, clock, service_name, sample_ratio, delay_s, queue_limit)

    @classmethod
    def to_exporter(
        cls,
        exporter: SpanExporter,
        clock: Clock,
        service_name: str = DEFAULT_SERVICE,
        sample_ratio: float = 1.0,
        delay_s: float = 2.0,
        queue_limit: int = 8_192,
    ) -> "SpanTelemetry":
        """Return telemetry that hands its spans to an exporter, in batches."""
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({SERVICE_NAME: service_name}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=queue_limit,
                schedule_delay_millis=delay_s * 1000,
                max_export_batch_size=min(512, queue_limit),
            )
        )
        telemetry = cls(provider.get_tracer(SCOPE), clock, provider, exporter)
        atexit.register(telemetry.close)
        return telemetry

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Record the span of a decision that ends now and began when the request was admitted.

        `parent` is the enclosing span of OpenTelemetry, a mapping with the request's headers, or None. See
        `parent_context` for what else is tried.
        """
        end = int(self._clock.now() * 1e9)
        span = self._tracer.start_span(
            SPAN_NAME,
            context=parent_context(parent),
            kind=SpanKind.INTERNAL,
            attributes=attributes(decision),
            start_time=end - int(decision.duration_ms * 1e6),
        )
        span.end(end)

    def ended(self, outcome: Outcome) -> None:
        """Do nothing: LiteLLM's own spans tell how the call went."""

    def failed(self, where: str, error: BaseException) -> None:
        """Do nothing: swallowed errors are metrics and log lines."""

    def renew(self) -> bool:
        """Have spans sent with the headers that the environment has now; return False where others send them."""
        if not isinstance(self._exporter, RenewedExporter):
            return False
        self._exporter.renew()
        return True

    def close(self, timeout_s: float = 3.0) -> None:
        """Send what waits, but give up on a collector that does not answer within the bound."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        atexit.unregister(self.close)
        last = threading.Thread(target=provider.shutdown, name="routeiq-spans-close", daemon=True)
        last.start()
        last.join(timeout_s)


def host_spans(clock: Clock) -> SpanTelemetry:
    """Return telemetry that uses the process's own tracer provider, as LiteLLM's `otel` callback sets it up.

    Until there is one, spans cost little and go nowhere.
    """
    return SpanTelemetry(get_tracer(SCOPE), clock)


def attributes(decision: Decision) -> Mapping[str, Value]:
    """Return the attributes of a decision's span; docs/reference/spans.md says what each means.

    `router.score` and `routeiq.degraded` are absent when there is nothing to say.
    """
    found: dict[str, Value] = {
        "strategy": decision.strategy,
        "model_selected": decision.choice,
        "candidates_count": len(decision.candidates) or len(decision.ranking),
        "ab_experiment": decision.experiment or NO_EXPERIMENT,
        "ab_variant": decision.arm or NO_EXPERIMENT,
        "duration_ms": decision.duration_ms,
        "router.strategy": decision.strategy,
        "router.selected_model": decision.choice,
        "router.candidates": decision.ranking,
        "gen_ai.request.model": decision.alias,
        "routeiq.decision.id": decision.id,
        "routeiq.request.id": decision.request_id,
        "routeiq.reason": decision.reason.value,
        "routeiq.propensity": decision.propensity,
    }
    if decision.score is not None:
        found["router.score"] = decision.score
    if decision.degraded is not None:
        found["routeiq.degraded"] = decision.degraded
    if decision.artifact is not None:
        found["routeiq.artifact"] = decision.artifact
    return found


def parent_context(parent: Any) -> Context:
    """Return the context to open a span in: the first of these that there is.

    The span handed in; the span that is current in this task; the trace context in the headers handed in (W3C, single
    or multiple B3); the one the edge has read (`core.trace.CURRENT`). With none of them the span begins a trace.
    """
    if isinstance(parent, Span) and parent.get_span_context().is_valid:
        return set_span_in_context(parent, Context())
    current = get_current_span()
    if current.get_span_context().is_valid:
        return set_span_in_context(current, Context())
    trace = (_from_headers(parent) if isinstance(parent, Mapping) else None) or CURRENT.get()
    return Context() if trace is None else set_span_in_context(NonRecordingSpan(_remote(trace)), Context())


def _from_headers(headers: Mapping[str, str]) -> TraceContext | None:
    return carried({name.lower(): value for name, value in headers.items() if name.lower() in TRACE_HEADERS})


def _remote(trace: TraceContext) -> SpanContext:
    return SpanContext(
        trace_id=int(trace.trace_id, 16),
        span_id=int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )


def traces_url(endpoint: str) -> str:
    """Return the address of a collector's traces."""
    return signal_url(endpoint, "traces")


def signal_url(endpoint: str, signal: str) -> str:
    """Return a collector's address of one signal (`traces`, `metrics`), whether or not the path was given."""
    base = endpoint.rstrip("/")
    for known in ("traces", "metrics", "logs"):
        base = base.removesuffix(f"/v1/{known}")
    return f"{base}/v1/{signal}"
