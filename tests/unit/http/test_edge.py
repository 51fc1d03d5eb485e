"""The edge around an inner application: what comes in, what goes out, what passes through."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from routeiq.core.outcome import Status
from routeiq.core.request import RouteRequest
from routeiq.core.trace import CURRENT, TraceContext, parse_traceparent
from routeiq.flow import RequestFlow
from routeiq.http import endings
from tests.unit.http.scene import Scene, scene

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def seen(at: Scene) -> dict[str, str]:
    """Return the headers that the inner application got last."""
    headers = at.inner.seen[-1]["headers"]
    assert len({name for name, _ in headers}) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


async def test_a_sane_request_id_is_kept_and_returned() -> None:
    """The caller's request id goes in and comes back."""
    at = scene()
    answer = await at.ask("POST", "/v1/chat/completions", headers={"x-request-id": "order-7.a:b_c"})
    assert answer.headers["x-request-id"] == "order-7.a:b_c" == seen(at)["x-request-id"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", 'a"b', "a;b", "caf\u00e9".encode()])
async def test_any_other_request_id_is_replaced(given: Any) -> None:
    """A request id that could spoil a log line is replaced by a new one."""
    at = scene()
    answer = await at.ask("GET", "/plain", headers={"x-request-id": given})
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["x-request-id"])


async def test_the_call_id_is_always_new() -> None:
    """A client cannot choose the id under which its passage is kept."""
    at = scene()
    for _ in range(2):
        await at.ask("POST", "/v1/chat/completions", headers={"x-litellm-call-id": "mine"})
    ids = [dict(s["headers"])[b"x-litellm-call-id"] for s in at.inner.seen]
    assert len({*ids, b"mine"}) == 3


async def test_only_accepted_headers_with_our_prefix_come_in() -> None:
    """A hint passes; look-alikes of our own headers do not, however they are written."""
    at = scene()
    sent = {"X-RouteIQ-Hint": "large", "X-ROUTEIQ-Model": "forged", "x-routeiq-decision-id": "forged", "x-other": "yes"}
    await at.ask("POST", "/v1/chat/completions", headers=sent)
    got = seen(at)
    assert (got["x-routeiq-hint"], got["x-other"]) == ("large", "yes")
    assert not {"x-routeiq-model", "x-routeiq-decision-id"} & got.keys()


async def test_an_answer_names_its_decision() -> None:
    """Headers name the decision and the candidate that was tried last."""
    at = scene()
    answer = await at.ask("POST", "/v1/chat/completions")
    decision = at.kept.decisions[0][1]
    found = {name: value for name, value in answer.headers.items() if name.startswith("x-routeiq-")}
    assert found == {
        "x-routeiq-model": "large",
        "x-routeiq-strategy": "smallest",
        "x-routeiq-reason": "best",
        "x-routeiq-decision-id": decision.id,
        "x-routeiq-schema": "1",
        "x-routeiq-score": f"{decision.score:.4f}",
    }


@pytest.mark.parametrize(("path", "status"), [("/v1/limited", 429), ("/v1/forged", 200)])
async def test_errors_name_their_decision_too_and_forgeries_do_not_stay(path: str, status: int) -> None:
    """An error carries decision headers, and what a provider sent under our names or as request id is replaced."""
    at = scene()
    answer = await at.ask("POST", path, headers={"x-request-id": "r-1"})
    assert answer.status_code == status
    assert answer.headers["x-routeiq-decision-id"] == at.kept.decisions[0][1].id
    assert answer.headers.get_list("x-routeiq-model") == ["large"]
    assert answer.headers.get_list("x-request-id") == ["r-1"]


async def test_headers_that_name_this_decision_are_the_hooks() -> None:
    """What the hook has set stays as it is and stands once."""
    answer = await scene().ask("POST", "/v1/hooked")
    assert answer.headers.get_list("x-routeiq-model") == ["large"]
    assert len(answer.headers.get_list("x-routeiq-decision-id")) == 1


async def test_an_answer_without_a_decision_has_no_decision_headers() -> None:
    """Nothing with our prefix leaves the gateway unless RouteIQ decided."""
    answer = await scene().ask("GET", "/plain")
    assert not [name for name in answer.headers if name.startswith("x-routeiq-")]


async def test_a_request_that_was_not_decided_says_so() -> None:
    """When RouteIQ was asked and failed, the hook's word for it stays, and nothing else with our prefix."""
    answer = await scene().ask("POST", "/v1/undecided")
    found = {name: value for name, value in answer.headers.items() if name.startswith("x-routeiq-")}
    assert found == {"x-routeiq-degraded": "internal"}


async def test_a_trace_goes_on_and_comes_back() -> None:
    """W3C context goes on unchanged, is current while the request is served, and is named in the answer."""
    at = scene()
    given = f"00-{TRACE}-{SPAN}-01"
    answer = await at.ask("POST", "/v1/chat/completions", headers={"traceparent": given, "tracestate": "a=1"})
    assert (seen(at)["traceparent"], seen(at)["tracestate"]) == (given, "a=1")
    assert at.inner.traces == [TraceContext(TRACE, SPAN, sampled=True, state="a=1")]
    assert (answer.headers["x-trace-id"], answer.headers["traceparent"]) == (TRACE, given)
    assert CURRENT.get() is None


@pytest.mark.parametrize(
    "headers",
    [
        {"b3": f"{TRACE}-{SPAN}-1"},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-ParentSpanId": "1" * 16, "X-B3-Sampled": "1"},
    ],
)
async def test_b3_goes_on_as_w3c_and_comes_back_as_b3(headers: dict[str, str]) -> None:
    """A caller that speaks B3 gets its trace on to LiteLLM as `traceparent` and is answered in B3."""
    at = scene()
    answer = await at.ask("POST", "/v1/chat/completions", headers=headers)
    assert seen(at)["traceparent"] == f"00-{TRACE}-{SPAN}-01"
    assert not [name for name in seen(at) if name.startswith("x-b3")]
    assert answer.headers["b3"] == f"{TRACE}-{SPAN}-1" == seen(at)["b3"]


async def test_several_or_broken_traceparents_begin_a_new_trace() -> None:
    """Context that is not valid is not guessed at; tracestate goes with it."""
    at = scene()
    twice = [("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2 + [("tracestate", "a=1")]
    answer = await at.ask("GET", "/plain", headers=twice)
    assert answer.headers["x-trace-id"] != TRACE
    assert parse_traceparent(seen(at)["traceparent"]) is not None
    assert "tracestate" not in seen(at)


async def test_new_traces_are_sampled_by_the_ratio() -> None:
    """With a ratio of 0, a trace that begins here is not sampled."""
    answer = await scene(sample_ratio=0.0).ask("GET", "/plain")
    assert answer.headers["traceparent"].endswith("-00")


async def test_the_failure_of_the_inner_application_is_answered_and_passed_on() -> None:
    """An exception before the answer began gives an error with the request id, and still reaches the server."""
    at = scene()
    answer = await at.ask("GET", "/boom", headers={"x-request-id": "r-9"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "r-9")
    assert answer.json()["error"]["code"] == "internal"
    said: list[Message] = []
    with pytest.raises(RuntimeError, match="inner broke"):
        await at.edge(*connection("/boom", said))
    assert said[0]["status"] == 500
    assert (b"connection", b"close") in said[0]["headers"]


def connection(path: str, said: list[Message], incoming: list[Message] | None = None) -> tuple[Any, Any, Any]:
    """Return scope, receive and send of one request."""
    messages = iter(incoming or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b"", "http_version": "1.1"}
    return scope, receive, send


async def test_a_stream_passes_piece_by_piece() -> None:
    """Every message of the inner application goes out as it came, with headers on the first."""
    at, said = scene(), []
    await at.edge(*connection("/v1/stream", said))
    assert [m.get("body") for m in said] == [None, b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"]
    assert b"x-routeiq-decision-id" in dict(said[0]["headers"])


async def test_a_disconnect_reaches_the_inner_application() -> None:
    """A client that goes away is seen by the inner application at once."""
    at, said = scene(), []
    await at.edge(*connection("/v1/stream", said, [{"type": "http.disconnect"}]))
    assert at.inner.disconnected


async def test_huge_and_strange_headers_do_no_harm() -> None:
    """Headers of any size and any bytes pass through, and none of them breaks the edge."""
    at = scene()
    strange = [(b"x-big", b"v" * 1_000_000), (b"traceparent", b"\xff" * 10_000), (b"x-request-id", b"\x00" * 9)]
    strange += [(b"x-routeiq-\xff", b"\xff"), (b"b3", b""), (b"tracestate", b"\xfe=1"), *[(b"x-n", b"1")] * 1000]
    scope, receive, send = connection("/plain", said := [])
    await at.edge({**scope, "headers": strange}, receive, send)
    assert said[0]["status"] == 200
    assert (b"x-big", b"v" * 1_000_000) in at.inner.seen[-1]["headers"]


async def test_requests_at_the_same_time_keep_their_own_ids() -> None:
    """A hundred requests at once get a hundred decisions, and each answer names its own."""
    at = scene()
    async with at.client() as client:
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", headers={"x-request-id": f"r{i}"}) for i in range(100))
        )
    assert [a.headers["x-request-id"] for a in answers] == [f"r{i}" for i in range(100)]
    assert len({a.headers["x-routeiq-decision-id"] for a in answers}) == 100
    assert len({a.headers["x-trace-id"] for a in answers}) == 100


async def test_websockets_get_clean_headers_too() -> None:
    """A websocket is handed on with our ids and without look-alikes."""
    at = scene()
    _, receive, send = connection("/v1/realtime", [])
    headers = [(b"x-routeiq-model", b"forged"), (b"x-litellm-call-id", b"mine")]
    await at.edge({"type": "websocket", "path": "/v1/realtime", "headers": headers}, receive, send)
    got = seen(at)
    assert "x-routeiq-model" not in got
    assert got["x-litellm-call-id"] != "mine"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"type": "websocket.close", "code": 1008}, Status.FAILURE),
        ({"type": "websocket.close", "code": 1000}, Status.CANCELLED),
        ({"type": "websocket.send", "text": "{}"}, Status.CANCELLED),
        (None, Status.FAILURE),
    ],
)
async def test_a_websocket_that_was_decided_has_an_outcome(
    said: Message | None, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host does not report one: what it closed with a code or broke off failed, else its client left."""
    monkeypatch.setattr(endings, "WAITED_S", 0.0)

    def inner(flow: RequestFlow) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            del receive
            flow.decide(flow.admit(RouteRequest(dict(scope["headers"])[b"x-litellm-call-id"].decode(), "auto")))
            if said is None:
                raise RuntimeError("inner broke")
            await send(said)

        return app

    at = scene(inner=inner)
    _, receive, send = connection("/v1/realtime", [])
    with suppress(RuntimeError):
        await at.edge({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send)
    await asyncio.sleep(0.01)
    assert [outcome.status for outcome in at.kept.outcomes] == [status]


async def test_our_paths_are_found_below_a_root_path() -> None:
    """When the server states a root path, our endpoints answer below it and the inner application sees its own path."""
    at, said = scene(), []
    for path in ("/gw/_health/live", "/gw/plain"):
        scope, receive, send = connection(path, said)
        await at.edge({**scope, "method": "GET", "root_path": "/gw"}, receive, send)
    assert said[1]["body"] == b'{"status":"alive"}'
    assert [s["path"] for s in at.inner.seen] == ["/gw/plain"]
