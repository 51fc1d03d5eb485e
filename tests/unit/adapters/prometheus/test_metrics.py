"""Metrics as Prometheus scrapes them."""

import secrets

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from routeiq.adapters.prometheus import PrometheusTelemetry
from routeiq.core.decision import Reason
from routeiq.core.errors import EmbedderTimeout
from routeiq.core.metrics import CATALOGUE, IN_FLIGHT, LOG_DROPPED, LOG_HEALTHY, LOG_QUEUED, Kind
from routeiq.core.outcome import Status
from tests.unit.adapters.records import PROMPT, a_decision, a_request, an_outcome

Samples = dict[tuple[str, ...], float]


def telemetry(**changes: object) -> PrometheusTelemetry:
    return PrometheusTelemetry(
        "1.2.3", **{"strategies": ["knn"], "models": ["model-0", "model-1"], "experiments": ["exp"], **changes}
    )


def scraped(of: PrometheusTelemetry) -> Samples:
    """Return samples by name and label values."""
    text, content_type = of.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(text.decode())
    return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for family in families for s in family.samples}


def test_a_decision_is_counted() -> None:
    """Duration, reason, what was missing and the experiment of a decision are counted under the catalogue's names."""
    counted = telemetry()
    counted.decided(a_request(), a_decision(duration_ms=0.25), None)
    found = scraped(counted)
    assert found["routeiq_routing_decision_duration_seconds_count", "model-0", "knn"] == 1
    assert found["routeiq_routing_decision_duration_seconds_sum", "model-0", "knn"] == pytest.approx(0.00025)
    assert found["routeiq_routing_decision_duration_seconds_bucket", "0.0002", "model-0", "knn"] == 0
    assert found["routeiq_routing_decision_duration_seconds_bucket", "0.0003", "model-0", "knn"] == 1
    assert found["routeiq_routing_decision_duration_seconds_bucket", "5e-05", "model-0", "knn"] == 0
    assert found["routeiq_routing_decisions_total", "best", "knn"] == 1
    assert found["routeiq_routing_degraded_total", "embedder_timeout"] == 1
    assert found["routeiq_ab_traffic_split_total", "exp", "b"] == 1


def test_an_outcome_is_counted_with_its_strategy() -> None:
    """How a request ended is counted for the strategy that routed it and for the model that served it."""
    counted = telemetry()
    for number, status in enumerate([Status.SUCCESS, Status.SUCCESS, Status.FAILURE]):
        counted.decided(a_request(number), a_decision(number), None)
        counted.ended(an_outcome(number, status=status, model="model-1"))
    found = scraped(counted)
    assert found["routeiq_routing_strategy_usage_total", "success", "knn"] == 2
    assert found["routeiq_routing_strategy_usage_total", "failure", "knn"] == 1
    assert found["routeiq_outcomes_total", "model-1", "success"] == 2
    assert found["routeiq_tokens_total", "input", "model-1"] == 36
    assert found["routeiq_tokens_total", "output", "model-1"] == 102
    assert found["routeiq_cost_usd_total", "model-1"] == pytest.approx(0.006)


def test_an_error_that_was_swallowed_is_counted_by_its_reason() -> None:
    """Our own errors count under their reason word, others as internal; what they say is nowhere."""
    counted = telemetry()
    counted.failed("embedder", EmbedderTimeout(PROMPT))
    counted.failed("decide", ZeroDivisionError(PROMPT))
    found = scraped(counted)
    assert found["routeiq_errors_swallowed_total", "embedder_timeout", "embedder"] == 1
    assert found["routeiq_errors_swallowed_total", "internal", "decide"] == 1
    assert PROMPT.encode() not in counted.render()[0]


def test_names_that_are_not_configured_add_no_series() -> None:
    """However many models callers make up, they are counted as "other"."""
    counted = telemetry()
    for number in range(200):
        name = secrets.token_hex(4)
        counted.decided(
            a_request(number), a_decision(number, strategy=name, choice=name, experiment=name, arm=name), None
        )
        counted.ended(an_outcome(number, model=name))
    found = scraped(counted)
    assert found["routeiq_outcomes_total", "other", "success"] == 200
    assert found["routeiq_routing_decisions_total", "best", "other"] == 200
    assert found["routeiq_ab_traffic_split_total", "other", "other"] == 200
    assert len(found) < 60


def test_names_of_a_new_configuration_are_counted() -> None:
    """After a change of the configuration its names are label values."""
    counted = telemetry()
    counted.allow(["linear"], ["model-9"])
    counted.decided(a_request(), a_decision(strategy="linear", choice="model-9"), None)
    assert scraped(counted)["routeiq_routing_decisions_total", "best", "linear"] == 1


def test_values_that_others_own_are_read_when_scraped() -> None:
    """Queue length, losses, health and requests in flight are read at each scrape."""
    now = {"queued": 3.0}
    counted = telemetry(
        sources={
            LOG_QUEUED: lambda: now["queued"],
            LOG_DROPPED: lambda: 2.0,
            LOG_HEALTHY: lambda: 1.0,
            IN_FLIGHT: lambda: 5.0,
        }
    )
    assert scraped(counted)["routeiq_outcome_log_queued",] == 3
    now["queued"] = 0.0
    found = scraped(counted)
    assert found["routeiq_outcome_log_queued",] == 0
    assert found["routeiq_outcome_log_dropped_total",] == 2
    assert found["routeiq_outcome_log_healthy",] == 1
    assert found["routeiq_requests_in_flight",] == 5


def test_everything_in_the_catalogue_can_be_scraped() -> None:
    """Each metric of the catalogue appears after something of every kind happened, and nothing else does."""
    counted = telemetry(sources={metric: lambda: 1.0 for metric in CATALOGUE if metric.read})
    counted.decided(a_request(), a_decision(reason=Reason.EXPLORATION), None)
    counted.ended(an_outcome())
    counted.failed("decide", ValueError())
    text = counted.render()[0].decode()
    typed = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    ours = {name: kind for name, kind in typed.items() if not name.endswith("_created")}
    assert ours == {metric.prometheus_name: metric.kind.value for metric in CATALOGUE}


def test_the_hosts_metrics_may_stand_beside() -> None:
    """Metrics of another registry are part of the same answer."""
    host = CollectorRegistry()
    Counter("litellm_requests_metric", "h", registry=host).inc()
    found = scraped(telemetry(beside=[host]))
    assert found["litellm_requests_metric_total",] == 1
    assert found["routeiq_build_info", "1.2.3"] == 1


def test_a_decision_without_an_end_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions whose outcome never comes do not pile up, and a late outcome is counted as "other"."""
    monkeypatch.setattr("routeiq.core.metrics.UNFINISHED_KEPT", 10)
    counted = telemetry()
    for number in range(30):
        counted.decided(a_request(number), a_decision(number), None)
    counted.ended(an_outcome(0))
    counted.ended(an_outcome(29))
    found = scraped(counted)
    assert found["routeiq_routing_strategy_usage_total", "success", "other"] == 1
    assert found["routeiq_routing_strategy_usage_total", "success", "knn"] == 1


def test_the_catalogue_keeps_its_rules() -> None:
    """Names are unique, what is read is no histogram, and histograms have buckets."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    assert all(metric.kind is not Kind.HISTOGRAM for metric in CATALOGUE if metric.read)
    assert all(bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM) for metric in CATALOGUE)
