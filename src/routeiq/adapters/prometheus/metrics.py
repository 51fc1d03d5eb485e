"""Metrics for Prometheus: instruments in a registry of their own, and the text that is scraped.

Owns the exposition of one process. A scrape of a gateway with several workers sees the worker that answered it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from routeiq.core.metrics import BUILD, CATALOGUE, Kind, MeteredTelemetry, Metric, Reading, readings

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusInstruments:
    """Implements `core.metrics.Instruments`. Children are kept by label values: looking one up costs a dictionary."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: dict[Metric, Counter] = {}
        self._histograms: dict[Metric, Histogram] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Counter | Histogram] = {}
        for metric in CATALOGUE:
            if metric.kind is Kind.COUNTER and not metric.read:
                name = metric.prometheus_name.removesuffix("_total")
                self._counters[metric] = Counter(name, metric.help, metric.labels, registry=registry)
            elif metric.kind is Kind.HISTOGRAM:
                self._histograms[metric] = Histogram(
                    metric.prometheus_name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
                )

    def count(self, metric: Metric, values: tuple[str, ...], amount: float = 1.0) -> None:
        """Add to a counter."""
        child = self._children.get((metric.name, values))
        if child is None:
            child = self._children[metric.name, values] = self._counters[metric].labels(*values)
        child.inc(amount)  # type: ignore[union-attr]  # the key's metric is a counter

    def observe(self, metric: Metric, values: tuple[str, ...], amount: float) -> None:
        """Add an observation to a histogram."""
        child = self._children.get((metric.name, values))
        if child is None:
            child = self._children[metric.name, values] = self._histograms[metric].labels(*values)
        child.observe(amount)  # type: ignore[union-attr]  # the key's metric is a histogram


class ReadMetrics(Collector):
    """The metrics that are read from the parts that own the numbers, when somebody scrapes."""

    def __init__(self, sources: Mapping[Metric, Callable[[], Reading]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each metric with its present value."""
        for metric, read in self._sources.items():
            family: CounterMetricFamily | GaugeMetricFamily
            if metric.kind is Kind.COUNTER:
                name = metric.prometheus_name.removesuffix("_total")
                family = CounterMetricFamily(name, metric.help, labels=metric.labels)
            else:
                family = GaugeMetricFamily(metric.prometheus_name, metric.help, labels=metric.labels)
            for values, amount in readings(read()).items():
                family.add_metric(values, amount)
            yield family


class PrometheusTelemetry(MeteredTelemetry):
    """Implements `core.ports.Telemetry` as Prometheus metrics.

    `sources` gives the value of each metric marked `read`; those without a source are left out. `beside` are other
    registries whose metrics belong in the same answer, such as the host's.
    """

    def __init__(
        self,
        version: str,
        *,
        strategies: Collection[str] = (),
        models: Collection[str] = (),
        experiments: Collection[str] = (),
        sources: Mapping[Metric, Callable[[], Reading]] | None = None,
        beside: Sequence[CollectorRegistry] = (),
    ) -> None:
        self._registry = CollectorRegistry()
        self._beside = tuple(beside)
        self._registry.register(ReadMetrics(sources or {}))
        Gauge(BUILD.prometheus_name, BUILD.help, BUILD.labels, registry=self._registry).labels(version).set(1)
        super().__init__(PrometheusInstruments(self._registry), strategies, models, experiments)

    def render(self) -> tuple[bytes, str]:
        """Return the text of all metrics, in Prometheus's text form 0.0.4, and its content type."""
        registries = (self._registry, *self._beside)
        return b"".join(generate_latest(registry) for registry in registries), CONTENT_TYPE
