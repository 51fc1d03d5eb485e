"""RouteIQ's metrics as OpenTelemetry instruments, sent by OTLP/HTTP. What is counted is `core.metrics`."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from routeiq.adapters.otel.tracing import DEFAULT_SERVICE, SCOPE, signal_url
from routeiq.core.metrics import CATALOGUE, Kind, MeteredTelemetry, Metric, Reading, readings

Read = Callable[[], Reading]


class MeterInstruments:
    """Implements `core.metrics.Instruments` on a meter."""

    def __init__(self, meter: Meter, sources: Mapping[Metric, Read]) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._labels: dict[tuple[str, tuple[str, ...]], Mapping[str, str]] = {}
        for metric in CATALOGUE:
            if metric in sources:
                _observe(meter, metric, sources[metric])
            elif metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = meter.create_histogram(
                    metric.name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=metric.buckets
                )
            elif metric.kind is Kind.COUNTER and not metric.read:
                self._counters[metric.name] = meter.create_counter(metric.name, metric.unit, metric.help)

    def count(self, metric: Metric, values: tuple[str, ...], amount: float = 1.0) -> None:
        """Add to a counter."""
        self._counters[metric.name].add(amount, self._attributes(metric, values))

    def observe(self, metric: Metric, values: tuple[str, ...], amount: float) -> None:
        """Add an observation to a histogram."""
        self._histograms[metric.name].record(amount, self._attributes(metric, values))

    def _attributes(self, metric: Metric, values: tuple[str, ...]) -> Mapping[str, str]:
        known = self._labels.get((metric.name, values))
        if known is None:
            known = self._labels[metric.name, values] = dict(zip(metric.labels, values, strict=True))
        return known


class MetricTelemetry(MeteredTelemetry):
    """Implements `core.ports.Telemetry` as OpenTelemetry metrics; names, labels and bounds as in `core.metrics`."""

    def __init__(
        self,
        reader: MetricReader,
        *,
        service_name: str = DEFAULT_SERVICE,
        strategies: Collection[str] = (),
        models: Collection[str] = (),
        experiments: Collection[str] = (),
        sources: Mapping[Metric, Read] | None = None,
    ) -> None:
        resource = Resource.create({SERVICE_NAME: service_name})
        self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        instruments = MeterInstruments(self._provider.get_meter(SCOPE), sources or {})
        super().__init__(instruments, strategies, models, experiments)

    def close(self, timeout_s: float = 3.0) -> None:
        """Send the last values, but give up on a collector that does not answer within the bound."""
        last = threading.Thread(target=self._provider.shutdown, name="routeiq-metrics-close", daemon=True)
        last.start()
        last.join(timeout_s)


def collector_reader(endpoint: str, headers: Mapping[str, str] | None = None, every_s: float = 15.0) -> MetricReader:
    """Return a reader that sends all metrics to an OTLP/HTTP collector at an interval, in the background."""
    exporter = OTLPMetricExporter(endpoint=signal_url(endpoint, "metrics"), headers=dict(headers or {}), timeout=5)
    return PeriodicExportingMetricReader(exporter, export_interval_millis=every_s * 1000)


def _observe(meter: Meter, metric: Metric, read: Read) -> None:
    def callback(options: CallbackOptions) -> Iterable[Observation]:
        for values, amount in readings(read()).items():
            yield Observation(amount, dict(zip(metric.labels, values, strict=True)))

    if metric.kind is Kind.COUNTER:
        meter.create_observable_counter(metric.name, [callback], metric.unit, metric.help)
    else:
        meter.create_observable_gauge(metric.name, [callback], metric.unit, metric.help)
