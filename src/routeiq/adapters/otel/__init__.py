"""Decisions as OpenTelemetry spans and metrics, sent by OTLP/HTTP. Deciding what happened is not done here."""

from routeiq.adapters.otel.metrics import MetricTelemetry
from routeiq.adapters.otel.tracing import SpanTelemetry, host_spans

__all__ = ["MetricTelemetry", "SpanTelemetry", "host_spans"]
