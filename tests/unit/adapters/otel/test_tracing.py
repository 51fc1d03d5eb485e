"""Spans of decisions, as a collector receives them."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from routeiq.adapters.otel import SpanTelemetry, host_spans
from routeiq.adapters.otel.tracing import SPAN_NAME, attributes, signal_url
from routeiq.core.decision import Decision, Reason
from routeiq.core.trace import CURRENT, TraceContext
from routeiq.routing.strategies import BUILT_IN
from routeiq.testing.otlp import OtlpReceiver, ReceivedSpan
from tests.unit.adapters.records import PROMPT, WallClock, a_decision, a_request, an_outcome
from tests.unit.routing.scene import decide

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER_TRACE, OTHER_SPAN = "1" * 32, "2" * 16


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


Report = Callable[..., ReceivedSpan | None]


@pytest.fixture
def report(receiver: OtlpReceiver) -> Report:
    """What becomes of one decision, as the collector sees it."""

    def run(decision: Decision | None = None, parent: Any = None, **changes: Any) -> ReceivedSpan | None:
        telemetry = SpanTelemetry.to_collector(receiver.endpoint, WallClock(), **changes)
        telemetry.decided(a_request(), decision or a_decision(), parent)
        telemetry.close()
        return receiver.spans[-1] if receiver.spans else None

    return run


def test_a_decision_is_a_span_with_its_attributes(report: Report) -> None:
    """The span carries both families of attribute names, and the service's name."""
    span = report(service_name="gw-1")
    assert span is not None
    assert span.name == SPAN_NAME == "routeiq.routing.decision"
    assert span.resource["service.name"] == "gw-1"
    assert span.attributes == {
        "strategy": "knn",
        "model_selected": "model-0",
        "candidates_count": 3,
        "ab_experiment": "exp",
        "ab_variant": "b",
        "duration_ms": 0.21,
        "router.strategy": "knn",
        "router.score": 0.7,
        "router.selected_model": "model-0",
        "router.candidates": ["model-0", "model-1", "model-2"],
        "gen_ai.request.model": "auto",
        "routeiq.decision.id": "dec_1",
        "routeiq.request.id": "req_1",
        "routeiq.reason": "best",
        "routeiq.propensity": 0.91,
        "routeiq.degraded": "embedder_timeout",
        "routeiq.artifact": "knn-3",
    }


def test_the_service_has_a_name_of_its_own(report: Report) -> None:
    """Unless the operator names it, the service is routeiq-gateway."""
    span = report()
    assert span is not None
    assert span.resource["service.name"] == "routeiq-gateway"


REQUIRED = {"strategy", "model_selected", "candidates_count", "ab_experiment", "ab_variant", "duration_ms"} | {
    "router.strategy",
    "router.selected_model",
    "router.candidates",
}


@pytest.mark.parametrize("strategy", [name for name, made_of in BUILT_IN.items() if not made_of.needs_artifact])
def test_every_strategy_has_every_attribute(strategy: str) -> None:
    """Whatever chose, strategy, score, model and candidates are told."""
    decision = decide(strategy, draw=0.4)
    found = attributes(decision)
    assert found.keys() >= REQUIRED | {"router.score"}
    assert found["strategy"] == found["router.strategy"] == strategy
    assert found["model_selected"] == found["router.selected_model"] == decision.choice
    assert found["candidates_count"] == 3


@pytest.mark.parametrize("reason", [Reason.STATIC_ORDER, Reason.NAMED])
def test_a_fall_back_has_every_attribute_but_a_score(reason: Reason) -> None:
    """A decision without a prediction tells everything else, and counts the candidates it had."""
    plain = replace(a_decision(), reason=reason, candidates=(), score=None, experiment=None, arm=None)
    found = attributes(plain)
    assert found.keys() >= REQUIRED
    assert "router.score" not in found
    assert found["candidates_count"] == 3
    assert found["ab_experiment"] == "none"


def test_the_span_lasts_as_long_as_the_decision(report: Report) -> None:
    """The span ends when it is reported and began as long before as the decision took."""
    before = time.time_ns()
    span = report(a_decision(duration_ms=12.5))
    assert span is not None
    assert span.end_ns - span.start_ns == 12_500_000
    assert before - 1_000_000 <= span.end_ns <= time.time_ns() + 1_000_000


def test_a_span_handed_in_is_the_parent(report: Report) -> None:
    """The host's request span, whichever provider made it, encloses the decision."""
    host = TracerProvider().get_tracer("host").start_span("request")
    context = host.get_span_context()
    span = report(parent=host)
    assert span is not None
    assert span.trace_id == f"{context.trace_id:032x}"
    assert span.parent_id == f"{context.span_id:016x}"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE}-{SPAN}-01"},
        {"Traceparent": f"00-{TRACE}-{SPAN}-01", "b3": f"{OTHER_TRACE}-{OTHER_SPAN}-1"},
        {"b3": f"{TRACE}-{SPAN}-1"},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"},
        {"x-b3-traceid": TRACE.upper(), "x-b3-spanid": SPAN},
    ],
)
def test_headers_handed_in_name_the_parent(report: Report, headers: dict[str, str]) -> None:
    """Without a span the request's own headers are followed, W3C before B3."""
    span = report(parent={**headers, "content-type": "application/json"})
    assert span is not None
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)


def test_the_span_of_the_task_is_the_parent(report: Report) -> None:
    """A span that is current in the task encloses the decision, and goes before headers."""
    context = SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(1))
    with use_span(NonRecordingSpan(context)):
        span = report(parent={"traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-01"})
    assert span is not None
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)


def test_what_the_edge_has_read_is_the_parent(report: Report) -> None:
    """With nothing handed in, the trace context of the task is followed."""
    token = CURRENT.set(TraceContext(TRACE, SPAN))
    try:
        span = report(parent=None)
    finally:
        CURRENT.reset(token)
    assert span is not None
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "parent", [None, {}, {"traceparent": "garbage", "b3": "0"}, NonRecordingSpan(SpanContext(0, 0, False))]
)
def test_without_a_parent_a_trace_begins(report: Report, parent: Any) -> None:
    """Where nothing valid encloses the decision its span is a root."""
    span = report(parent=parent)
    assert span is not None
    assert span.parent_id == ""


def test_a_caller_that_does_not_sample_is_heeded(report: Report) -> None:
    """Nothing is recorded within a trace that its beginner chose not to record."""
    assert report(parent={"traceparent": f"00-{TRACE}-{SPAN}-00"}) is None
    assert report(sample_ratio=0.0) is None


def test_every_decision_arrives(receiver: OtlpReceiver) -> None:
    """A thousand decisions are a thousand spans."""
    telemetry = SpanTelemetry.to_collector(receiver.endpoint, WallClock())
    for number in range(1_000):
        telemetry.decided(a_request(number), a_decision(number), None)
        telemetry.ended(an_outcome(number))
    telemetry.close()
    assert {span.attributes["routeiq.decision.id"] for span in receiver.spans} == {f"dec_{n}" for n in range(1_000)}


def test_spans_leave_while_the_gateway_runs(receiver: OtlpReceiver) -> None:
    """Spans are sent after a short while without being asked for."""
    telemetry = SpanTelemetry.to_collector(receiver.endpoint, WallClock(), delay_s=0.1)
    telemetry.decided(a_request(), a_decision(), None)
    receiver.wait_for(lambda r: len(r.spans) == 1)
    telemetry.close()


def test_headers_change_while_spans_are_sent(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans go on with the headers of the environment as it is when they are renewed, and none is lost."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=one")
    telemetry = SpanTelemetry.to_collector(receiver.endpoint, WallClock(), delay_s=0.05)
    telemetry.decided(a_request(1), a_decision(1), None)
    receiver.wait_for(lambda r: len(r.spans) == 1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=two")
    assert telemetry.renew()
    telemetry.decided(a_request(2), a_decision(2), None)
    receiver.wait_for(lambda r: len(r.spans) == 2)
    telemetry.decided(a_request(3), a_decision(3), None)
    telemetry.close()
    assert [span.attributes["routeiq.decision.id"] for span in receiver.spans] == ["dec_1", "dec_2", "dec_3"]
    assert [found["x-key"] for found in receiver.headers] == ["one", "two", "two"]


def test_spans_of_the_host_are_not_renewed() -> None:
    """Where the process's own provider sends them, we have no headers to change."""
    assert not host_spans(WallClock()).renew()


def test_no_prompt_is_in_a_span(report: Report) -> None:
    """Neither names nor attributes hold the prompt."""
    assert PROMPT not in repr(report())


def test_a_collector_that_hangs_holds_up_nobody() -> None:
    """With a collector that accepts and never answers, deciding goes on at once and closing is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        telemetry = SpanTelemetry.to_collector(
            f"http://127.0.0.1:{silent.getsockname()[1]}", WallClock(), queue_limit=100
        )
        began = time.monotonic()
        for number in range(500):
            telemetry.decided(a_request(number), a_decision(number), None)
        decided = time.monotonic() - began
        telemetry.close(timeout_s=1.0)
        closed = time.monotonic() - began - decided
    assert decided < 1.0
    assert closed < 3.0


@pytest.mark.parametrize(
    "given", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/metrics/"]
)
def test_a_collectors_address_may_have_a_path(given: str) -> None:
    """The signal's path is added where it is missing."""
    assert signal_url(given, "traces") == "http://c:4318/v1/traces"
