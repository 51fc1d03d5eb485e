"""Several workers' metrics as one exposition, read back by Prometheus's own parser."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from routeiq.adapters.prometheus.merge import merged


def worker(amount: float, names: tuple[str, ...] = ("a",)) -> bytes:
    """The exposition of one worker."""
    registry = CollectorRegistry()
    counter = Counter("asked", 'How often, "quoted" {braced}.', ["model"], registry=registry)
    for name in names:
        counter.labels(name).inc(amount)
    Histogram("took_seconds", "How long.", buckets=(0.1, 1.0), registry=registry).observe(amount)
    Gauge("under_way", "Now.", registry=registry).set(amount)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels; a family that comes twice would be two of a kind."""
    families = list(text_string_to_metric_families(text.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_sum_over_workers_is_the_sum() -> None:
    """No sample is lost, none is counted twice, and each says whose it is."""
    odd = 'x"} 5\n# TYPE forged counter'
    found = samples(merged({"0": worker(2.0, ("a", odd)), "1": worker(5.0)}))
    per_worker = {
        (dict(labels)["worker_id"], dict(labels).get("model")): value
        for (name, labels), value in found.items()
        if name == "asked_total"
    }
    assert per_worker == {("0", "a"): 2.0, ("0", odd): 2.0, ("1", "a"): 5.0}
    assert sum(value for (name, _), value in found.items() if name == "under_way") == 7.0
    assert sum(value for (name, _), value in found.items() if name == "took_seconds_count") == 2.0


def test_one_worker_and_none() -> None:
    """A worker alone is still named; nobody is nothing."""
    assert len(samples(merged({"0": worker(1.0)}))) == len(samples(worker(1.0)))
    assert merged({}) == b""
