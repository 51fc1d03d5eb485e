"""Health, by all its names, and metrics."""

from collections.abc import Mapping

import pytest

from routeiq.http.table import LIVE, OPEN, READY, STARTUP
from tests.unit.http.scene import lifespan, scene


@pytest.mark.parametrize("path", LIVE)
async def test_a_process_that_answers_is_alive(path: str) -> None:
    """Liveness needs no key and no start."""
    at = scene()
    answer = await at.ask("GET", path, key=None)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert answer.headers["x-request-id"]
    assert not at.inner.seen


@pytest.mark.parametrize("path", READY)
async def test_a_worker_is_ready_between_start_and_drain(path: str) -> None:
    """Readiness is 503 before the start and while draining, and says which; aliases say the same."""
    at = scene(checks=lambda: {"outcome_log": "disk_full"})
    answers = [await at.ask("GET", path, key=None)]
    at.edge.health.started = True
    answers.append(await at.ask("GET", path, key=None))
    at.edge.drain()
    answers.append(await at.ask("GET", path, key=None))
    assert [a.status_code for a in answers] == [503, 200, 503]
    assert [a.json()["status"] for a in answers] == ["starting", "ready", "draining"]
    assert all(a.json()["checks"] == {"outcome_log": "disk_full"} for a in answers)


async def test_startup_stays_true_while_draining() -> None:
    """Startup asks whether the worker ever came up."""
    at = scene()
    before = await at.ask("GET", STARTUP[0], key=None)
    await lifespan(at.edge, ["startup", "shutdown"])
    after = await at.ask("GET", STARTUP[0], key=None)
    assert (before.status_code, after.status_code) == (503, 200)


async def test_a_broken_check_does_not_take_the_worker_out() -> None:
    """Checks are advice: when they fail, readiness says so and stays."""

    def broken() -> Mapping[str, str]:
        raise OSError("no such device")

    at = scene(checks=broken)
    at.edge.health.started = True
    answer = await at.ask("GET", "/_health/ready", key=None)
    assert (answer.status_code, answer.json()["checks"]) == (200, {"checks": "failed"})
    assert [where for where, _ in at.telemetry.failures] == ["checks"]


async def test_metrics_are_what_the_callable_gives() -> None:
    """The exposition goes out with its own content type."""
    answer = await scene().ask("GET", "/metrics", key=None)
    assert answer.text == "# metrics\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"


async def test_broken_metrics_are_a_503() -> None:
    """Metrics that cannot be collected say so and are counted."""

    def broken() -> tuple[bytes, str]:
        raise ValueError("duplicated timeseries")

    at = scene(metrics=broken)
    answer = await at.ask("GET", "/metrics", key=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "metrics_unavailable")
    assert [where for where, _ in at.telemetry.failures] == ["metrics"]


@pytest.mark.parametrize("path", [endpoint.path for endpoint in OPEN])
async def test_open_endpoints_answer_head_and_nothing_else(path: str) -> None:
    """HEAD works like GET; other methods are refused with what is allowed."""
    at = scene()
    at.edge.health.started = True
    assert (await at.ask("HEAD", path, key=None)).status_code == 200
    refused = await at.ask("POST", path, key=None)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/health", "/health/services"])
async def test_the_rest_of_health_is_the_inner_applications(path: str) -> None:
    """LiteLLM's other health endpoints are reached."""
    at = scene()
    assert (await at.ask("GET", path)).status_code == 200
    assert at.inner.seen[0]["path"] == path
