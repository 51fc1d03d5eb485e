"""`routeiq serve` as people run it: a learned strategy over a real LiteLLM, its spans, lines and records, and what it
does when a provider fails, the disk is full, or it is told to stop. The tests share one gateway and run in order.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.logs.json_lines import FIELDS
from routeiq.learn import knn
from routeiq.testing.demo.teach import SUITE
from routeiq.testing.otlp import OtlpReceiver, ReceivedSpan
from routeiq.testing.replay import ReplayProcess
from tests.integration.outcomes import write_outcomes
from tests.integration.serving import KEY, HeaderKeeper, Serving, free_port

DECISION = "routeiq.routing.decision"
PROMPT = "How many herons stand in the reeds of Lake Manyara?"
MESSAGES: Any = [{"role": "user", "content": PROMPT}]
POOL = ["sim-tiny", "sim-small", "sim-medium", "sim-large"]
RING = ["sim-mini", "sim-math", "sim-code", "sim-tools"]
PROVIDER_KEY = "sk-provider-8Hw2nLq5"
NOBODY = "http://127.0.0.1:9"

pytestmark = pytest.mark.integration


@dataclass
class Scene:
    """The gateway and what stands around it. `asked` has every decision that a test made, by id."""

    gateway: Serving
    provider: ReplayProcess
    keeper: HeaderKeeper
    receiver: OtlpReceiver
    asked: dict[str, str] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60)

    def claude(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.gateway.url, api_key=KEY, max_retries=0, timeout=60)

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask one of RouteIQ's own endpoints."""
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.request(method, f"{self.gateway.url}{path}", headers=headers, timeout=60, **more)

    def chat(self, model: str = "auto", messages: Any = MESSAGES, **more: Any) -> httpx.Headers:
        """Send a chat completion and return the answer's headers."""
        raw = self.client().chat.completions.with_raw_response.create(model=model, messages=messages, **more)
        return self.note(raw.headers)

    def note(self, headers: httpx.Headers) -> httpx.Headers:
        """Remember a decision for the tests of spans and lines."""
        self.asked[headers["x-routeiq-decision-id"]] = headers["x-trace-id"]
        return headers

    def ended(self, decision_id: str) -> dict[str, Any]:
        """The decision, as soon as it has an outcome; that arrives after the answer."""
        deadline = time.monotonic() + 60
        while True:
            found: dict[str, Any] = self.call("GET", f"/routeiq/decisions/{decision_id}").json()
            if found["outcome"] is not None:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def feedback(self, decision_id: str) -> httpx.Response:
        """Judge an answer."""
        answer = self.call("POST", "/routeiq/feedback", json={"decision_id": decision_id, "score": 0.75})
        if answer.status_code == 200:
            self.judged.append(decision_id)
        return answer


def taught(folder: Path) -> Path:
    """An artifact of `knn` that the built-in tasks have taught."""
    write_outcomes(folder, POOL, prompts=120)
    knn.train(folder, (SUITE,), FileArtifactStore(), str(folder / "knn.npz"), models=POOL)
    return folder / "knn.npz"


def config(provider: str, keeper: str, artifact: Path, log: Path) -> dict[str, Any]:
    """LiteLLM's configuration with its `otel` callback, and a section of ours."""

    def model(name: str, size: float, upstream: str = "", base: str = provider, **info: Any) -> dict[str, Any]:
        at = {"model": f"openai/{upstream or name}", "api_base": f"{base}/v1", "api_key": PROVIDER_KEY}
        price = {"input_cost_per_token": size * 1e-8, "output_cost_per_token": size * 1e-7}
        return {"model_name": name, "litellm_params": {**at, **price}, "model_info": {"size": size, **info}}

    def group(name: str, members: list[str]) -> dict[str, Any]:
        ranks = dict.fromkeys(members, 1)
        return {"group_name": name, "models": members, "routing_strategy": "priority", "model_priorities": ranks}

    aliases = {
        "auto": ("knn", POOL),
        "turns": ("round-robin", RING),
        "frail": ("smallest", ["gone"]),
        "eyes": ("largest", ["blind", "unseeing"]),
        "vectors": ("smallest", ["replay-embedding-small", "replay-embedding-large"]),
        "seen": ("smallest", ["keeper"]),
    }
    return {
        "model_list": [
            *(model(name, size) for size, name in enumerate(POOL + RING, 1)),
            model("gone", 1, base=NOBODY),
            model("blind", 1, "sim-tiny", supports_vision=False),
            model("unseeing", 2, "sim-small", supports_vision=False),
            model("replay-embedding-small", 1, mode="embedding"),
            model("replay-embedding-large", 2, mode="embedding"),
            model("keeper", 1, base=keeper),
        ],
        "router_settings": {
            "routing_groups": [group(name, members) for name, (_, members) in aliases.items()],
            "fallbacks": [{"frail": ["auto"]}],
            "num_retries": 1,
            "retry_after": 0,
            "disable_cooldowns": True,
        },
        "litellm_settings": {"callbacks": ["otel"], "forward_traceparent_to_llm_provider": True},
        "routeiq_settings": {
            "artifact": str(artifact),
            "aliases": {name: {"strategy": strategy} for name, (strategy, _) in aliases.items()},
            "outcome_log": {"path": str(log)},
        },
    }


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway, its provider and its collector."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "taught").mkdir()
    artifact = taught(folder / "taught")
    with ReplayProcess.start(time_scale=1_000.0) as provider, HeaderKeeper() as keeper, OtlpReceiver() as receiver:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        whole = config(provider.base_url, keeper.url, artifact, folder / "disk" / "routeiq.db")
        gateway = Serving.start(whole, folder, free_port(), env)
        try:
            yield Scene(gateway, provider, keeper, receiver)
        finally:
            gateway.stop()


@pytest.fixture
def scene(started: Scene) -> Scene:
    """The gateway over a provider without faults."""
    started.provider.reset()
    return started


def chat(scene: Scene) -> httpx.Headers:
    return scene.client().chat.completions.with_raw_response.create(model="auto", messages=MESSAGES).headers


def chat_stream(scene: Scene) -> httpx.Headers:
    raw = scene.client().chat.completions.with_raw_response.create(model="auto", messages=MESSAGES, stream=True)
    assert "sim-" in "".join(c.choices[0].delta.content or "" for c in raw.parse() if c.choices)
    return raw.headers


def completion(scene: Scene) -> httpx.Headers:
    return scene.client().completions.with_raw_response.create(model="auto", prompt=PROMPT).headers


def completion_stream(scene: Scene) -> httpx.Headers:
    raw = scene.client().completions.with_raw_response.create(model="auto", prompt=PROMPT, stream=True)
    assert "sim-" in "".join(c.choices[0].text or "" for c in raw.parse() if c.choices)
    return raw.headers


def responses(scene: Scene) -> httpx.Headers:
    return scene.client().responses.with_raw_response.create(model="auto", input=PROMPT).headers


def responses_stream(scene: Scene) -> httpx.Headers:
    raw = scene.client().responses.with_raw_response.create(model="auto", input=PROMPT, stream=True)
    assert "sim-" in "".join(e.delta for e in raw.parse() if e.type == "response.output_text.delta")
    return raw.headers


def messages(scene: Scene) -> httpx.Headers:
    raw = scene.claude().messages.with_raw_response.create(model="auto", max_tokens=64, messages=MESSAGES)
    return raw.headers


def messages_stream(scene: Scene) -> httpx.Headers:
    with scene.claude().messages.stream(model="auto", max_tokens=64, messages=MESSAGES) as stream:
        assert "sim-" in "".join(stream.text_stream)
        return stream.response.headers


SURFACES: list[Callable[[Scene], httpx.Headers]] = [
    chat,
    chat_stream,
    completion,
    completion_stream,
    responses,
    responses_stream,
    messages,
    messages_stream,
]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_is_routed_by_what_was_learned(scene: Scene, surface: Callable[[Scene], httpx.Headers]) -> None:
    """One decision with the learned score of every candidate, named by the headers, and one outcome of who served."""
    headers = scene.note(surface(scene))
    assert (headers["x-routeiq-strategy"], headers["x-routeiq-schema"]) == ("knn", "1")
    found = scene.ended(headers["x-routeiq-decision-id"])
    scores = {one["name"]: one["expected_score"] for one in found["candidates"]}
    assert set(scores) == set(POOL)
    assert all(0.0 <= score <= 1.0 for score in scores.values())
    assert len(set(scores.values())) > 1
    assert all(one["expected_cost_usd"] > 0.0 for one in found["candidates"])
    assert float(headers["x-routeiq-score"]) == pytest.approx(scores[found["choice"]], abs=5e-5)
    assert found["request_id"] == headers["x-litellm-call-id"]
    assert (found["outcome"]["model"], found["outcome"]["status"]) == (headers["x-routeiq-model"], "success")
    assert found["outcome"]["streamed"] is surface.__name__.endswith("stream")
    assert [row.model for row in scene.provider.journal()] == [found["choice"]]


def test_embeddings_are_routed_through_the_edge(scene: Scene) -> None:
    """An embedding call has headers, a decision and an outcome like any other."""
    raw = scene.client().embeddings.with_raw_response.create(model="vectors", input=PROMPT)
    headers = scene.note(raw.headers)
    assert (headers["x-routeiq-model"], headers["x-routeiq-strategy"]) == ("replay-embedding-small", "smallest")
    assert scene.ended(headers["x-routeiq-decision-id"])["outcome"]["status"] == "success"


def test_tool_calls_and_their_results_are_routed(scene: Scene) -> None:
    """A conversation with a call of a tool and what came of it is routed like any other."""
    call = {"id": "call_1", "type": "function", "function": {"name": "count", "arguments": '{"bird": "heron"}'}}
    schema = {"type": "object", "properties": {"bird": {"type": "string"}}}
    conversation = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12"},
    ]
    tools = [{"type": "function", "function": {"name": "count", "parameters": schema}}]
    headers = scene.chat(messages=conversation, tools=tools)
    assert (headers["x-routeiq-strategy"], "x-routeiq-degraded" in headers) == ("knn", False)
    used = {"type": "tool_use", "id": "call_1", "name": "count", "input": {"bird": "heron"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "12"}
    blocks: Any = [*MESSAGES, {"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    given: Any = [{"name": "count", "input_schema": schema}]
    raw = scene.claude().messages.with_raw_response.create(model="auto", max_tokens=64, messages=blocks, tools=given)
    assert scene.note(raw.headers)["x-routeiq-strategy"] == "knn"


@pytest.mark.parametrize("content", ["", "word " * 200_000])
def test_empty_and_huge_prompts_are_served(scene: Scene, content: str) -> None:
    """A prompt of no or of a million characters is served, and no error of ours was swallowed."""
    headers = scene.chat(messages=[{"role": "user", "content": content}])
    assert headers["x-routeiq-model"] in POOL
    assert not [line for line in scene.gateway.lines if "swallowed" in line]


def test_a_retry_a_fallback_and_a_static_order_are_one_decision_each(scene: Scene) -> None:
    """Whoever serves in the end, the headers tell who, and there is one decision."""
    first = scene.chat()["x-routeiq-model"]
    scene.provider.fault(first, "error_500", times=1)
    retried = scene.chat()
    assert retried["x-routeiq-model"] != first
    assert scene.ended(retried["x-routeiq-decision-id"])["outcome"]["retries"] == 1
    fallen = scene.chat("frail")
    assert fallen["x-routeiq-model"] in POOL
    found = scene.ended(fallen["x-routeiq-decision-id"])
    assert (found["alias"], found["choice"], found["outcome"]["status"]) == ("frail", "gone", "success")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    blind = scene.chat("eyes", [{"role": "user", "content": [{"type": "text", "text": PROMPT}, picture]}])
    assert (blind["x-routeiq-reason"], blind["x-routeiq-degraded"]) == ("static_order", "no_candidate")
    assert blind["x-routeiq-model"] == "blind"


@pytest.mark.parametrize("form", ["w3c", "b3", "b3 multiple"])
def test_one_trace_from_the_client_to_the_provider(scene: Scene, form: str) -> None:
    """The trace id a client sends comes back, and stands in the log line, the span and the call to the provider."""
    trace = {"w3c": "1", "b3": "2", "b3 multiple": "3"}[form] * 32
    span = "b7ad6b7169203331"
    sent = {
        "w3c": {"traceparent": f"00-{trace}-{span}-01"},
        "b3": {"b3": f"{trace}-{span}-1"},
        "b3 multiple": {"x-b3-traceid": trace, "x-b3-spanid": span, "x-b3-sampled": "1"},
    }[form]
    headers = scene.chat("seen", extra_headers=sent)
    assert headers["x-trace-id"] == trace
    assert scene.keeper.calls[-1]["traceparent"].split("-")[1] == trace
    assert ("b3" in headers) is form.startswith("b3")


def lines_of(scene: Scene) -> dict[str, dict[str, Any]]:
    """The log lines of decisions by the decision's id, as soon as all have been written."""
    deadline = time.monotonic() + 60
    while True:
        found = [json.loads(line) for line in list(scene.gateway.lines)]
        told = [line for line in found if line["message"] == "routing decision"]
        if len(told) >= len(scene.asked) or time.monotonic() > deadline:
            assert len(told) == len({line["decision_id"] for line in told})
            return {line["decision_id"]: line for line in told}
        time.sleep(0.05)


def test_every_decision_has_one_span_in_its_trace(scene: Scene) -> None:
    """Each of the decisions so far, retried, fallen-back, degraded and streamed, has exactly one span."""

    def spans(receiver: OtlpReceiver) -> dict[str, list[ReceivedSpan]]:
        found: dict[str, list[ReceivedSpan]] = {}
        for span in receiver.named(DECISION):
            found.setdefault(str(span.attributes["routeiq.decision.id"]), []).append(span)
        return found

    scene.receiver.wait_for(lambda r: set(spans(r)) >= set(scene.asked))
    found = spans(scene.receiver)
    assert set(found) == set(scene.asked)
    assert [decision for decision, made in found.items() if len(made) != 1] == []
    assert {decision: made[0].trace_id for decision, made in found.items()} == scene.asked
    assert all(made[0].parent_id for made in found.values())
    assert PROMPT not in repr(found)


def test_every_line_is_json_and_tells_no_secret(scene: Scene) -> None:
    """Everything on standard output has the ten fields, decisions their trace, and nothing has a prompt or a key."""
    told = lines_of(scene)
    assert {decision: line["trace_id"] for decision, line in told.items()} == scene.asked
    for line in list(scene.gateway.lines):
        assert set(FIELDS) <= set(json.loads(line)), line
    written = "".join(scene.gateway.lines) + (scene.gateway.folder / "err").read_text()
    assert [secret for secret in (KEY, PROVIDER_KEY, "herons", "word word") if secret in written] == []


def test_turns_are_exact_under_concurrency(scene: Scene) -> None:
    """Forty calls at once are shared evenly by four candidates."""
    with ThreadPoolExecutor(40) as pool:
        served = [headers["x-routeiq-model"] for headers in pool.map(lambda _: scene.chat("turns"), range(40))]
    assert Counter(served) == dict.fromkeys(RING, 10)


def test_feedback_is_found_with_its_decision(scene: Scene) -> None:
    """A judgement that was acknowledged stands in the decision."""
    decision = scene.chat()["x-routeiq-decision-id"]
    assert scene.feedback(decision).json()["stored"] is True
    [given] = scene.ended(decision)["feedback"]
    assert given["score"] == 0.75


def test_a_full_disk_costs_no_request(scene: Scene) -> None:
    """Without space requests are served and feedback is refused; with space again what waited is written."""
    scene.gateway.fill()
    try:
        decisions = [scene.chat()["x-routeiq-decision-id"] for _ in range(5)]
        refused = scene.feedback(decisions[0])
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        log = scene.call("GET", "/routeiq/status").json()["outcome_log"]
        assert (log["healthy"], log["dropped"]) == (False, 0)
        assert log["queued"] >= 5
        assert scene.call("GET", "/_health/ready").json()["checks"]["outcome_log"] in {"disk_full", "io_error"}
        assert scene.call("GET", f"/routeiq/decisions/{decisions[0]}").status_code == 200
    finally:
        scene.gateway.free()
    assert scene.feedback(decisions[0]).status_code == 200
    deadline = time.monotonic() + 60
    while (log := scene.call("GET", "/routeiq/status").json()["outcome_log"])["queued"]:
        assert time.monotonic() < deadline, log
        time.sleep(0.1)
    assert (log["healthy"], log["dropped"]) == (True, 0)


def test_a_stop_lets_a_stream_end_and_closes_the_log(scene: Scene) -> None:
    """After SIGTERM the stream under way comes to its end, then everything acknowledged or decided is in the file."""
    scene.provider.fault("sim-mini", "trickle", times=1, delay_s=0.3)
    stream = scene.client().chat.completions.create(model="sim-mini", messages=MESSAGES, stream=True)
    scene.note(stream.response.headers)
    read = iter(stream)
    parts = [next(read)]
    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(scene.gateway.end)
        parts += list(read)
        assert parts[-1].choices[0].finish_reason == "stop"
        assert status.result(40) == 0
    assert scene.gateway.files() == ["routeiq.db", "routeiq.db.salt"]
    with closing(sqlite3.connect(scene.gateway.kept("routeiq.db"))) as kept:
        query = "SELECT id, status FROM decisions LEFT JOIN outcomes ON decision_id = id"
        found = dict(kept.execute(query).fetchall())
        judged = [row[0] for row in kept.execute("SELECT decision_id FROM feedback ORDER BY at")]
    assert judged == scene.judged
    assert set(found) == set(scene.asked)
    assert set(found.values()) == {"success"}


def test_without_our_section_litellm_serves_as_ever(tmp_path: Path) -> None:
    """A plain configuration is served without headers, records or a trace towards the provider; status says so."""
    with HeaderKeeper() as keeper:
        plain = config(NOBODY, keeper.url, tmp_path, tmp_path)
        del plain["routeiq_settings"], plain["litellm_settings"]
        gateway = Serving.start(plain, tmp_path, free_port(), {})
        try:
            headers = {"authorization": f"Bearer {KEY}", "traceparent": f"00-{'4' * 32}-b7ad6b7169203331-01"}
            for model in ("seen", "keeper"):
                body = {"model": model, "messages": MESSAGES}
                answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
                assert answer.json()["choices"][0]["message"]["content"] == "kept"
                assert [name for name in answer.headers if name.startswith("x-routeiq-")] == []
                assert answer.headers["x-trace-id"] == "4" * 32
            assert ["traceparent" in call for call in keeper.calls] == [False, False]
            status = httpx.get(f"{gateway.url}/routeiq/status", headers=headers, timeout=60).json()
            assert (status["enabled"], status["aliases"]) == (False, {})
            assert not list(tmp_path.rglob("*.db"))
        finally:
            gateway.stop()
