"""Start and stop: in order, once, and told to the server in its own words."""

from typing import Any

import pytest

from routeiq.core.errors import ConfigError, StoreUnavailable
from routeiq.testing.fakes import RecordingLog
from tests.unit.http.scene import Scene, lifespan, scene


class FlushedLog(RecordingLog):
    """A log that notes when it was flushed."""

    def __init__(self, events: list[str], error: Exception | None = None) -> None:
        super().__init__()
        self.events = events
        self.error = error

    async def flush(self) -> None:
        """Note the flush, or fail."""
        self.events.append("flush")
        if self.error is not None:
            raise self.error


def watched(startup: str = "complete", flush_error: Exception | None = None, **parts: Any) -> Scene:
    """Return a scene whose events include the flush of the log."""
    log = FlushedLog([], flush_error)
    at = scene(log, **parts)
    log.events = at.inner.events
    at.inner.startup = startup
    return at


async def test_ours_starts_after_and_stops_after_the_inner_application() -> None:
    """What is queued is flushed first; late outcomes of the inner application still find the log open."""
    at = watched()
    said = await lifespan(at.edge, ["startup", "shutdown"])
    assert at.inner.events == ["inner starts", "ours starts", "flush", "inner stops", "ours stops"]
    assert [m["type"] for m in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert at.kept.closed


async def test_the_inner_applications_state_is_its_own() -> None:
    """The scope goes in as the server made it, so state that the inner application keeps there stays."""
    at = watched()
    await lifespan(at.edge, ["startup", "shutdown"])
    assert at.inner.seen[0]["state"] == {}


async def test_a_worker_is_ready_only_between_start_and_stop() -> None:
    """While our parts start the worker is not ready yet, and while they stop it is not ready any more."""
    states: list[str] = []

    async def note() -> None:
        states.append(at.edge.health.state)

    at = scene(on_startup=note, on_shutdown=note)
    await lifespan(at.edge, ["startup", "shutdown"])
    assert states == ["starting", "draining"]


async def test_our_failure_to_start_stops_the_inner_application_first() -> None:
    """The server hears of the failed start after the inner application was stopped in order."""

    async def refuse() -> None:
        raise ConfigError("routeiq_settings.strategy: unknown strategy 'knm'; did you mean 'knn'?")

    at = watched(on_startup=refuse)
    said = await lifespan(at.edge, ["startup"])
    assert at.inner.events == ["inner starts", "inner stops", "ours stops"]
    assert [m["type"] for m in said] == ["lifespan.startup.failed"]
    assert "did you mean 'knn'?" in said[0]["message"]
    assert not at.edge.health.started


async def test_the_text_of_a_foreign_error_is_not_shown() -> None:
    """An error that RouteIQ did not raise is named by its class, as its text may hold a secret."""

    async def refuse() -> None:
        raise RuntimeError("password=hunter2")

    said = await lifespan(scene(on_startup=refuse).edge, ["startup"])
    assert said[0]["message"] == "RouteIQ did not start: RuntimeError"


async def test_a_failed_start_of_the_inner_application_is_passed_on() -> None:
    """When the inner application says that it failed, ours does not start, and closes."""
    at = watched("failed")
    said = await lifespan(at.edge, ["startup"])
    assert said == [{"type": "lifespan.startup.failed", "message": "inner says no"}]
    assert at.inner.events == ["inner starts", "ours stops"]


@pytest.mark.parametrize(
    ("startup", "messages"), [("raises", ["startup"]), ("raises at stop", ["startup", "shutdown"])]
)
async def test_the_log_is_closed_even_when_the_inner_application_breaks(startup: str, messages: list[str]) -> None:
    """Whatever becomes of the inner application, our parts close once, and its error reaches the server."""
    at = watched(startup)
    with pytest.raises(RuntimeError, match="inner failed"):
        await lifespan(at.edge, messages)
    assert at.inner.events.count("ours stops") == 1
    assert at.kept.closed


async def test_a_log_that_cannot_be_flushed_does_not_stop_the_stop() -> None:
    """A failed flush is counted and stopping goes on; a failed close is told to the server."""

    async def fail() -> None:
        raise StoreUnavailable("the disk is full: 12 records are lost")

    at = watched(flush_error=StoreUnavailable("the disk is full"), on_shutdown=fail)
    said = await lifespan(at.edge, ["startup", "shutdown"])
    assert [where for where, _ in at.telemetry.failures] == ["flush"]
    assert said[-1]["type"] == "lifespan.shutdown.failed"
    assert "12 records are lost" in said[-1]["message"]
