"""Decision spans of a real proxy: inside LiteLLM's own traces, one for every decision, sent to a collector."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from routeiq.testing.otlp import OtlpReceiver, ReceivedSpan
from routeiq.testing.replay import ReplayProcess
from tests.integration.proxy import MASTER_KEY, LiteLLMProxy, interpreter

DECISION = "routeiq.routing.decision"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROMPT = "Name the rivers of Mesopotamia."
NOBODY = "http://127.0.0.1:9"

pytestmark = pytest.mark.integration


def config(provider: str) -> dict[str, Any]:
    """A LiteLLM configuration with its `otel` callback, a virtual model that works and one that cannot."""

    def model(name: str, upstream: str, size: float, base: str) -> dict[str, Any]:
        at = {"model": f"openai/{upstream}", "api_base": f"{base}/v1", "api_key": "provider-key"}
        return {"model_name": name, "litellm_params": at, "model_info": {"size": size}}

    def group(name: str, *members: str) -> dict[str, Any]:
        ranks = dict.fromkeys(members, 1)
        return {"group_name": name, "models": list(members), "routing_strategy": "priority", "model_priorities": ranks}

    return {
        "model_list": [
            model("small", "sim-small", 3, provider),
            model("large", "sim-large", 70, provider),
            model("gone", "sim-large", 70, NOBODY),
            model("lost", "sim-large", 60, NOBODY),
        ],
        "router_settings": {
            "routing_groups": [
                group("auto", "small", "large"),
                group("dead", "gone", "lost"),
            ],
            "num_retries": 0,
        },
        "litellm_settings": {"callbacks": ["otel"]},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "routeiq_settings": {
            "strategy": "largest",
            "aliases": {"auto": {"candidates": ["small", "large"]}, "dead": {"candidates": ["gone", "lost"]}},
            "outcome_log": {"path": None},
            "embedder": {"kind": "none"},
        },
    }


SETTINGS = {
    # LiteLLM's callback, and a collector of our own: the variable both read.
    "own": {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "address": "OTEL_EXPORTER_OTLP_ENDPOINT"},
    # LiteLLM's second implementation, and no collector of our own: spans go the way LiteLLM's go.
    "hosts": {"OTEL_EXPORTER": "otlp_http", "LITELLM_OTEL_V2": "true", "address": "OTEL_ENDPOINT"},
}
SERVICE = {"own": "routeiq-gateway", "hosts": "litellm"}


@pytest.fixture(scope="module", params=SETTINGS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiteLLMProxy, OtlpReceiver]]:
    """A proxy whose own spans and ours go to the same collector, in either way there is."""
    with OtlpReceiver() as receiver, ReplayProcess.start(time_scale=1_000.0) as provider:
        chosen = {**SETTINGS[request.param], "OTEL_BSP_SCHEDULE_DELAY": "200"}
        env = {chosen.pop("address"): receiver.endpoint, **chosen}
        python = interpreter("oldest", lambda: None)
        folder = tmp_path_factory.mktemp("spans")
        with LiteLLMProxy.start(python, config(provider.base_url), folder, "routeiq.wiring:install", env) as proxy:
            yield proxy, receiver


def ask(proxy: LiteLLMProxy, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    """Send a chat completion to `auto`, or what `body` says, and read the answer to its end."""
    return httpx.post(
        f"{proxy.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {MASTER_KEY}", **(headers or {})},
        json={"model": "auto", "messages": [{"role": "user", "content": PROMPT}], **body},
        timeout=60,
    )


def span_of(receiver: OtlpReceiver, decision_id: str) -> ReceivedSpan:
    """The span of a decision and, before it is returned, the span that encloses it."""

    def found(receiver: OtlpReceiver) -> ReceivedSpan | None:
        return next((s for s in receiver.named(DECISION) if s.attributes["routeiq.decision.id"] == decision_id), None)

    receiver.wait_for(lambda r: found(r) is not None)
    span = found(receiver)
    assert span is not None
    receiver.wait_for(lambda r: any(s.span_id == span.parent_id for s in list(r.spans)))
    return span


@pytest.mark.parametrize("stream", [False, True])
def test_a_decision_lies_within_litellms_request(
    running: tuple[LiteLLMProxy, OtlpReceiver], stream: bool, request: pytest.FixtureRequest
) -> None:
    """The span's parent is a span of the proxy, in the trace that the caller began."""
    proxy, receiver = running
    answer = ask(proxy, {"traceparent": f"00-{TRACE}-{SPAN}-01"}, stream=stream)
    assert answer.status_code == 200
    span = span_of(receiver, answer.headers["x-routeiq-decision-id"])
    parent = next(s for s in receiver.spans if s.span_id == span.parent_id)
    assert span.trace_id == parent.trace_id == TRACE
    assert parent.scope != span.scope
    assert parent.start_ns <= span.start_ns <= span.end_ns
    assert span.resource["service.name"] == SERVICE[request.node.callspec.params["running"]]
    assert span.attributes["router.selected_model"] == span.attributes["model_selected"] == "large"
    assert span.attributes["router.strategy"] == "largest"
    assert span.attributes["router.candidates"] == ["large", "small"]
    assert span.attributes["gen_ai.request.model"] == "auto"


def test_every_decision_has_a_span(running: tuple[LiteLLMProxy, OtlpReceiver]) -> None:
    """Answered, streamed, failed and named requests leave one span each, with strategy and model, and no prompt."""
    proxy, receiver = running
    before = len(receiver.named(DECISION))
    answers = [
        ask(proxy),
        ask(proxy, stream=True),
        ask(proxy, model="dead"),
        ask(proxy, model="small"),
    ]
    assert [answer.status_code == 200 for answer in answers] == [True, True, False, True]
    receiver.wait_for(lambda r: len(r.named(DECISION)) >= before + 4)
    spans = receiver.named(DECISION)[before:]
    assert [(s.attributes["strategy"], s.attributes["model_selected"]) for s in spans] == [
        ("largest", "large"),
        ("largest", "large"),
        ("largest", "gone"),
        ("named", "small"),
    ]
    assert len({s.trace_id for s in spans}) == 4
    assert all(s.parent_id for s in spans)
    assert PROMPT not in repr(spans)
