"""What a draining gateway hands over to nginx, and orders to nginx that do not come from the gateway."""

import asyncio

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from routeiq.guard.drain import Drain
from tests.unit.http.scene import scene
from tests.unit.http.test_draining import CHAT, clock, draining, under_way

OFFER = "x-routeiq-drain-redirect"
ORDER = "x-accel-redirect"


@pytest.mark.parametrize(
    ("offered", "handed"),
    [("@draining", "@draining"), (None, None), ("/key/generate", None), ("@a b", None), ("", None)],
)
async def test_a_refused_request_goes_where_nginx_offered(offered: str | None, handed: str | None) -> None:
    """Only a named location is handed back, and only to somebody who offered one."""
    at = scene(drain=Drain(0, 30))
    at.edge.drain()
    clock(at).advance(1)
    headers = {} if offered is None else {OFFER: offered}
    answer = await at.ask("POST", CHAT, headers=headers)
    assert (answer.status_code, answer.headers.get(ORDER)) == (503, handed)


async def test_what_is_served_is_not_handed_over() -> None:
    """Before a drain and in its lame-duck period the offer changes nothing."""
    at = scene(drain=Drain(5, 30))
    before = await at.ask("POST", CHAT, headers={OFFER: "@draining"})
    at.edge.drain()
    lame = await at.ask("POST", CHAT, headers={OFFER: "@draining"})
    assert [(a.status_code, ORDER in a.headers) for a in (before, lame)] == [(200, False)] * 2


async def test_what_was_begun_is_not_handed_over() -> None:
    """A request that is cut at the limit of the drain may have been charged for, so nginx is not told to repeat it."""
    at, _ = draining("silent")
    async with under_way(at, CHAT, [(OFFER.encode(), b"@draining")]) as (task, said):
        at.edge.hurry()
        at.edge.settle()
        await task
    assert said[0]["status"] == 503
    assert ORDER.encode() not in dict(said[0]["headers"])


async def test_nobody_else_gives_orders_to_nginx() -> None:
    """Headers of the kind that a provider sends through LiteLLM do not leave the gateway."""

    def inner(_: object) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            await Response("{}", headers={"X-Accel-Redirect": "/key/generate", "x-kept": "1"})(scope, receive, send)

        return app

    answer = await scene(inner=inner).ask("POST", CHAT)
    assert (answer.headers.get(ORDER), answer.headers["x-kept"]) == (None, "1")


@pytest.mark.parametrize(("given", "left"), [("no", "no"), ("yes", None)])
async def test_a_stream_is_not_held_back(given: str, left: str | None) -> None:
    """That nginx shall not collect a stream may be said by whoever sends it; the opposite may not."""

    def inner(_: object) -> ASGIApp:
        return Response("data: a", headers={"X-Accel-Buffering": given}, media_type="text/event-stream")

    answer = await scene(inner=inner).ask("POST", CHAT)
    assert answer.headers.get("x-accel-buffering") == left
