"""RouteIQ's metrics in Prometheus's form. What is counted, under which name, is `core.metrics`."""

from routeiq.adapters.prometheus.metrics import PrometheusTelemetry

__all__ = ["PrometheusTelemetry"]
