"""Every metric of RouteIQ in one table, and what a decision, an outcome or an error adds to which.

Owns names, labels, units and the bound on label values. Vendors' instruments are `adapters.prometheus` and
`adapters.otel`; the gauges marked `read` are read from the parts that own the numbers. Nothing here is counted that
comes from a prompt, a key or a user: labels are names of the configuration and words of this code.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from routeiq.core.decision import Decision
from routeiq.core.errors import RouteIQError
from routeiq.core.outcome import Outcome
from routeiq.core.request import RouteRequest

OTHER: Final = "other"
"""The label value of every name that is not in the configuration."""

UNFINISHED_KEPT: Final = 50_000
"""How many decisions are remembered until their outcome comes in."""


class Kind(StrEnum):
    """What sort of number a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is `s`, `USD` or empty; `buckets` are upper bounds in it. `read` ones are asked for."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    buckets: tuple[float, ...] = ()
    read: bool = False

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus's form, with the unit and the suffix of counters."""
        unit = {"s": "_seconds", "USD": "_usd"}.get(self.unit, "")
        return self.name.replace(".", "_") + unit + ("_total" if self.kind is Kind.COUNTER else "")


DECISION_DURATION: Final = Metric(
    "routeiq.routing.decision.duration",
    Kind.HISTOGRAM,
    ("strategy", "model"),
    "Time from admission of a request to its decision, features included.",
    unit="s",
    buckets=(5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0),
)
STRATEGY_USAGE: Final = Metric(
    "routeiq.routing.strategy.usage",
    Kind.COUNTER,
    ("strategy", "outcome"),
    "Requests that ended, by the strategy that routed them and how they ended (success, failure, cancelled).",
)
DECISIONS: Final = Metric(
    "routeiq.routing.decisions", Kind.COUNTER, ("strategy", "reason"), "Decisions by strategy and reason."
)
DEGRADED: Final = Metric(
    "routeiq.routing.degraded",
    Kind.COUNTER,
    ("reason",),
    "Decisions that were made without something, by what was missing.",
)
AB_SPLIT: Final = Metric(
    "routeiq.ab.traffic.split", Kind.COUNTER, ("experiment", "variant"), "Decisions that took part in an experiment."
)
AB_SKEW: Final = Metric(
    "routeiq.ab.skew.alarms",
    Kind.GAUGE,
    (),
    "Experiments whose units are not divided by their weights, by a sequential test.",
    read=True,
)
SWALLOWED: Final = Metric(
    "routeiq.errors.swallowed",
    Kind.COUNTER,
    ("where", "reason"),
    "Errors of RouteIQ's own that did not keep a request from being served.",
)
OUTCOMES: Final = Metric(
    "routeiq.outcomes", Kind.COUNTER, ("model", "status"), "Requests that ended, by the model that served them."
)
TOKENS: Final = Metric(
    "routeiq.tokens", Kind.COUNTER, ("model", "direction"), "Tokens of routed requests, as providers count them."
)
COST: Final = Metric("routeiq.cost", Kind.COUNTER, ("model",), "Cost of routed requests.", unit="USD")
IN_FLIGHT: Final = Metric(
    "routeiq.requests.in_flight", Kind.GAUGE, (), "Requests admitted that have not ended.", read=True
)
LOG_QUEUED: Final = Metric(
    "routeiq.outcome_log.queued", Kind.GAUGE, (), "Records that wait to be written to the outcome log.", read=True
)
LOG_DROPPED: Final = Metric(
    "routeiq.outcome_log.dropped", Kind.COUNTER, (), "Records that the outcome log gave up on.", read=True
)
LOG_HEALTHY: Final = Metric(
    "routeiq.outcome_log.healthy",
    Kind.GAUGE,
    (),
    "1 when the last write of the outcome log succeeded, else 0.",
    read=True,
)
LOG_SPILLED: Final = Metric(
    "routeiq.outcome_log.spilled",
    Kind.COUNTER,
    (),
    "Records that were kept on disk because the outcome log's database was away.",
    read=True,
)
LOG_REPLAYED: Final = Metric(
    "routeiq.outcome_log.replayed",
    Kind.COUNTER,
    (),
    "Records that were brought from the disk to the outcome log's database.",
    read=True,
)
AUDIT_EVENTS: Final = Metric(
    "routeiq.audit.events", Kind.COUNTER, ("kind", "result"), "Events that were recorded for the audit.", read=True
)
AUDIT_QUEUED: Final = Metric(
    "routeiq.audit.queued", Kind.GAUGE, (), "Events that wait to be written to the audit.", read=True
)
AUDIT_DROPPED: Final = Metric(
    "routeiq.audit.dropped", Kind.COUNTER, (), "Events that the audit lost because too many waited.", read=True
)
AUDIT_HEALTHY: Final = Metric(
    "routeiq.audit.healthy", Kind.GAUGE, (), "1 when the last write of the audit succeeded, else 0.", read=True
)
LINES_DROPPED: Final = Metric(
    "routeiq.log.lines.dropped", Kind.COUNTER, (), "Log lines that could not be written in time.", read=True
)
RELOADS: Final = Metric(
    "routeiq.config.reloads", Kind.COUNTER, ("result",), "Changed configurations, by whether they were taken up."
)
AGREEMENT: Final = Metric(
    "routeiq.config.agreement",
    Kind.GAUGE,
    (),
    "1 while all workers that this one knows of serve the same version and configuration, else 0.",
    read=True,
)
ADMITTED: Final = Metric(
    "routeiq.admission.in_flight", Kind.GAUGE, (), "Calls to models that were let in and have not ended.", read=True
)
WAITING: Final = Metric(
    "routeiq.admission.queued", Kind.GAUGE, (), "Calls to models that wait to be let in.", read=True
)
REFUSED: Final = Metric(
    "routeiq.admission.refused", Kind.COUNTER, ("reason",), "Calls to models that were not let in.", read=True
)
BREAKER_STATE: Final = Metric(
    "routeiq.circuit_breaker.state",
    Kind.GAUGE,
    ("name", "state"),
    "1 for the state that the breaker of a candidate or provider is in, 0 for the others.",
    read=True,
)
ACTIVE_STREAMS: Final = Metric("active_streams_count", Kind.GAUGE, (), "Answers that are being streamed.", read=True)
TOKEN_THROUGHPUT: Final = Metric(
    "token_throughput", Kind.GAUGE, (), "Tokens per second of calls that ended, over half a minute.", read=True
)
REQUEST_RATE: Final = Metric(
    "gateway_requests_per_second", Kind.GAUGE, (), "Calls to models that came in, over half a minute.", read=True
)
P95: Final = Metric(
    "gateway_p95_latency_ms",
    Kind.GAUGE,
    (),
    "Milliseconds until an answer begins, 95th percentile over half a minute; 0 without answers.",
    read=True,
)
DEGRADED_NOW: Final = Metric(
    "routeiq.degraded", Kind.GAUGE, (), "How many of the things that RouteIQ depends on it does without now.", read=True
)
DEPENDENCY_CHANGES: Final = Metric(
    "routeiq.dependency.changes",
    Kind.COUNTER,
    ("dependency", "state"),
    "How often something that RouteIQ depends on went (degraded) and came back (ok).",
)
BUILD: Final = Metric("routeiq.build.info", Kind.GAUGE, ("version",), "1, labelled with the version that runs.")

CATALOGUE: Final = (
    DECISION_DURATION,
    STRATEGY_USAGE,
    DECISIONS,
    DEGRADED,
    AB_SPLIT,
    AB_SKEW,
    SWALLOWED,
    OUTCOMES,
    TOKENS,
    COST,
    IN_FLIGHT,
    LOG_QUEUED,
    LOG_DROPPED,
    LOG_HEALTHY,
    LOG_SPILLED,
    LOG_REPLAYED,
    AUDIT_EVENTS,
    AUDIT_QUEUED,
    AUDIT_DROPPED,
    AUDIT_HEALTHY,
    LINES_DROPPED,
    RELOADS,
    AGREEMENT,
    ADMITTED,
    WAITING,
    REFUSED,
    BREAKER_STATE,
    ACTIVE_STREAMS,
    TOKEN_THROUGHPUT,
    REQUEST_RATE,
    P95,
    DEGRADED_NOW,
    DEPENDENCY_CHANGES,
    BUILD,
)
"""Every metric there is."""


Reading: TypeAlias = float | Mapping[tuple[str, ...], float]
"""What a metric that is read has to say: a number or, where it has labels, numbers by their values."""


def readings(found: Reading) -> Mapping[tuple[str, ...], float]:
    """Return a reading by label values, which of a plain number are none."""
    return found if isinstance(found, Mapping) else {(): found}


class Instruments(Protocol):
    """Where numbers go. Both take microseconds, from any thread, and do not raise."""

    def count(self, metric: Metric, values: tuple[str, ...], amount: float = 1.0) -> None:
        """Add to a counter; `values` are in the order of `metric.labels`."""
        ...

    def observe(self, metric: Metric, values: tuple[str, ...], amount: float) -> None:
        """Add one observation to a histogram."""
        ...


class MeteredTelemetry:
    """Implements `core.ports.Telemetry` over instruments.

    `strategies`, `models` and `experiments` are the names of the configuration; `allow` replaces them when it changes.
    Any other name is counted as "other", so that a name that a caller made up cannot add a time series.
    """

    def __init__(
        self,
        instruments: Instruments,
        strategies: Collection[str] = (),
        models: Collection[str] = (),
        experiments: Collection[str] = (),
    ) -> None:
        self._instruments = instruments
        self._strategy_of: OrderedDict[str, str] = OrderedDict()
        self.allow(strategies, models, experiments)

    def allow(self, strategies: Collection[str], models: Collection[str], experiments: Collection[str] = ()) -> None:
        """Let these names be label values from now on."""
        self._strategies: Mapping[str, str] = {name: name for name in strategies}
        self._models: Mapping[str, str] = {name: name for name in models}
        self._experiments: Mapping[str, str] = {name: name for name in experiments}

    def depended(self, name: str, degraded: bool, lasted_s: float) -> None:
        """Count that a dependency went or came back."""
        self._instruments.count(DEPENDENCY_CHANGES, (name, "degraded" if degraded else "ok"))

    def configured(self, result: str) -> None:
        """Count a changed configuration; `result` is `ok` or `rejected`."""
        self._instruments.count(RELOADS, (result,))

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Count a decision."""
        add = self._instruments.count
        strategy = self._strategies.get(decision.strategy, OTHER)
        model = self._models.get(decision.choice, OTHER)
        self._instruments.observe(DECISION_DURATION, (strategy, model), decision.duration_ms / 1000.0)
        add(DECISIONS, (strategy, decision.reason.value))
        if decision.degraded is not None:
            add(DEGRADED, (decision.degraded,))
        if decision.experiment is not None:
            known = decision.experiment in self._experiments
            add(AB_SPLIT, (decision.experiment, decision.arm or "") if known else (OTHER, OTHER))
        self._strategy_of[decision.id] = strategy
        if len(self._strategy_of) > UNFINISHED_KEPT:
            self._strategy_of.popitem(last=False)

    def ended(self, outcome: Outcome) -> None:
        """Count an outcome."""
        add = self._instruments.count
        status, model = outcome.status.value, self._models.get(outcome.model, OTHER)
        add(STRATEGY_USAGE, (self._strategy_of.pop(outcome.decision_id, OTHER), status))
        add(OUTCOMES, (model, status))
        if outcome.usage.input_tokens > 0:
            add(TOKENS, (model, "input"), outcome.usage.input_tokens)
        if outcome.usage.output_tokens > 0:
            add(TOKENS, (model, "output"), outcome.usage.output_tokens)
        if outcome.cost_usd is not None and outcome.cost_usd > 0:
            add(COST, (model,), outcome.cost_usd)

    def failed(self, where: str, error: BaseException) -> None:
        """Count an error that was swallowed, by its reason word; errors that are not ours are "internal"."""
        reason = error.reason if isinstance(error, RouteIQError) else "internal"
        self._instruments.count(SWALLOWED, (where, reason))
