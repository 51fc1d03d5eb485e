"""What an outcome says was delivered of a stream that did not end well, whoever speaks first: the host or the wire."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from routeiq import flow as module
from routeiq.core.outcome import Outcome, Status
from routeiq.flow import Passage, RequestFlow
from tests.flow.test_request_path import end, make
from tests.unit.http.scene import scene
from tests.unit.http.test_edge import connection
from tests.unit.routing.scene import request

EVENTS = (b"data: a\n\n", b"data: b\n\ndata: c\n\n", b'event: error\ndata: {"error": {}}\n\n')


def broken(flow: RequestFlow, request_id: str, streamed: bool = True) -> tuple[Passage, Outcome]:
    """Return a request that is being served, and the end that the host reports of it."""
    passage = flow.admit(request(id=request_id, stream=streamed))
    flow.attempt(passage, flow.decide(passage).choice)
    return passage, replace(end(passage, Status.FAILURE), streamed=streamed, error="APIConnectionError")


def hasty(status: Status, after: int) -> Any:
    """Return an application that reports the end of its stream when so many of its messages were sent."""

    def made(flow: RequestFlow) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            passage, failed = broken(flow, dict(scope["headers"])[b"x-litellm-call-id"].decode())
            bodies = [{"type": "http.response.body", "body": part, "more_body": True} for part in EVENTS]
            headers = [(b"content-type", b"text/event-stream")]
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            for number, message in enumerate([start, *bodies, {"type": "http.response.body"}]):
                if number == after:
                    flow.observe(passage, replace(failed, status=status))
                    assert passage.serving is None
                await send(message)

        return app

    return made


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELLED])
@pytest.mark.parametrize("after", range(5))
async def test_what_was_delivered_is_known_whenever_the_host_reports_the_end(status: Status, after: int) -> None:
    """A failure that is reported before, while or after its stream is sent is recorded once, with all that was sent."""
    at = scene(inner=hasty(status, after))
    await at.edge(*connection("/v1/responses", []))
    [outcome] = at.kept.outcomes
    assert (outcome.status, outcome.error, outcome.delivered) == (status, "APIConnectionError", 4)
    assert at.telemetry.outcomes == [outcome]


async def test_a_stream_that_ended_well_is_recorded_at_once() -> None:
    """Nothing waits for a stream that succeeded, and its outcome speaks of no events."""
    at = scene(inner=hasty(Status.SUCCESS, 2))
    said: list[Any] = []
    await at.edge(*connection("/v1/responses", said))
    [outcome] = at.kept.outcomes
    assert (outcome.status, outcome.delivered) == (Status.SUCCESS, None)


@pytest.mark.parametrize("streamed", [True, False])
def test_nothing_is_held_back_where_nobody_counts(streamed: bool) -> None:
    """Without an edge, as in plugin mode, a failure is recorded when the host reports it."""
    flow = make()
    passage, failed = broken(flow, "alone", streamed)
    flow.observe(passage, failed)
    assert flow.log.outcomes == [failed]  # type: ignore[attr-defined]


async def test_an_answer_that_does_not_end_holds_nothing_back_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads no further delays the record of a broken stream by a bound; later it changes nothing."""
    monkeypatch.setattr(module, "HELD_S", 0.0)
    flow = make()
    flow.counting("slow")
    passage, failed = broken(flow, "slow")
    passage.delivered = 2
    flow.observe(passage, failed)
    assert flow.log.outcomes == []  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)
    passage.delivered = 3
    flow.counted("slow")
    assert flow.log.outcomes == [replace(failed, delivered=2)]  # type: ignore[attr-defined]


async def test_what_is_held_back_at_the_end_is_recorded() -> None:
    """A flow that is closed before an answer was over records the end that it knows."""
    flow = make()
    flow.counting("cut")
    passage, failed = broken(flow, "cut")
    flow.observe(passage, failed)
    await flow.close()
    assert flow.log.outcomes == [failed]  # type: ignore[attr-defined]
