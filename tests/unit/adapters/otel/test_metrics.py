"""Metrics as a collector receives them."""

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from routeiq.adapters.otel import MetricTelemetry
from routeiq.adapters.otel.metrics import collector_reader
from routeiq.core.metrics import LOG_QUEUED
from routeiq.testing.otlp import OtlpReceiver
from tests.unit.adapters.records import a_decision, a_request, an_outcome


def test_a_collector_receives_what_was_counted() -> None:
    """Histogram, counters and read values arrive under their dotted names with their labels."""
    with OtlpReceiver() as receiver:
        telemetry = MetricTelemetry(
            collector_reader(receiver.endpoint),
            strategies=["knn"],
            models=["model-0"],
            sources={LOG_QUEUED: lambda: 7.0},
        )
        telemetry.decided(a_request(), a_decision(duration_ms=2.0), None)
        telemetry.ended(an_outcome())
        telemetry.failed("decide", ValueError("x"))
        telemetry.close()
        points = {(p.name, *sorted(p.attributes.values())): p for p in receiver.points}
    duration = points["routeiq.routing.decision.duration", "knn", "model-0"]
    assert (duration.count, duration.total) == (1, 0.002)
    assert duration.attributes == {"strategy": "knn", "model": "model-0"}
    assert points["routeiq.routing.strategy.usage", "knn", "success"].attributes == {
        "strategy": "knn",
        "outcome": "success",
    }
    assert points["routeiq.tokens", "model-0", "output"].value == 34
    assert points["routeiq.errors.swallowed", "decide", "internal"].value == 1
    assert points["routeiq.outcome_log.queued",].value == 7


def test_a_reader_in_memory_sees_the_same() -> None:
    """Any reader of the SDK may be used."""
    reader = InMemoryMetricReader()
    telemetry = MetricTelemetry(reader, strategies=["knn"])
    telemetry.decided(a_request(), a_decision(), None)
    data = reader.get_metrics_data()
    assert data is not None
    names = {metric.name for r in data.resource_metrics for scope in r.scope_metrics for metric in scope.metrics}
    assert names == {
        "routeiq.routing.decision.duration",
        "routeiq.routing.decisions",
        "routeiq.routing.degraded",
        "routeiq.ab.traffic.split",
    }
    telemetry.close()
