"""The seam in a real LiteLLM proxy, on the oldest and the newest supported release, driven by the official clients."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from routeiq.testing.replay import ReplayProcess
from tests.integration.proxy import MASTER_KEY, LiteLLMProxy, interpreter
from tests.integration.seam_config import seam_config
from tests.integration.surfaces import MESSAGES, SURFACES, ask, claude, client

NARROW, BARE = "sk-narrow-4Tr8kPz1", "sk-bare-9Lm3xQw6"
TEAM, GROUPS = "sk-team-2Bn7yHd5", "sk-groups-6Vc1sJf8"

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def provider() -> Iterator[ReplayProcess]:
    with ReplayProcess.start(time_scale=1_000.0) as running:
        yield running


@pytest.fixture(scope="module", params=["oldest", "newest"])
def started(
    request: pytest.FixtureRequest, provider: ReplayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiteLLMProxy]:
    python = interpreter(request.param, lambda: request.getfixturevalue("newest_python"))
    with LiteLLMProxy.start(python, seam_config(provider.base_url), tmp_path_factory.mktemp("proxy")) as running:
        yield running


@pytest.fixture
def proxy(started: LiteLLMProxy, provider: ReplayProcess) -> Iterator[LiteLLMProxy]:
    """The proxy with an empty journal, over a provider without faults; every test ends with all its outcomes in."""
    provider.reset()
    yield started
    started.settle()
    started.forget()


def leave(proxy: LiteLLMProxy, path: str, body: dict[str, Any], patience_s: float = 30.0) -> None:
    """Begin a stream, and close the connection after its first lines."""
    headers = {"authorization": f"Bearer {MASTER_KEY}"}
    timeout = httpx.Timeout(30, read=patience_s)
    whole = {"model": "auto", "stream": True, **body}
    with httpx.stream("POST", f"{proxy.url}{path}", json=whole, headers=headers, timeout=timeout) as response:
        for _, _line in zip(range(2), response.iter_lines(), strict=False):
            pass


def upstream(provider: ReplayProcess) -> list[str]:
    """The models that the provider was asked for, in order."""
    return [row.model for row in provider.journal()]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_is_routed_named_and_remembered(
    proxy: LiteLLMProxy, provider: ReplayProcess, surface: str
) -> None:
    """On every surface, streamed or not, the best candidate answers, the headers say so, and one outcome is kept."""
    call, name, streamed = SURFACES[surface]
    headers = call(proxy)
    assert headers["x-routeiq-model"] == "large"
    assert headers["x-routeiq-strategy"] == "largest"
    assert headers["x-routeiq-reason"] == "best"
    assert headers["x-routeiq-schema"] == "1"
    assert "x-routeiq-degraded" not in headers
    assert upstream(provider) == ["sim-large"]
    [outcome] = proxy.wait_for("outcome")
    [decision] = proxy.wait_for("decision")
    assert headers["x-routeiq-decision-id"] == decision["id"] == outcome["decision_id"]
    assert (decision["surface"], decision["text"]) == (name, "What is a seam?")
    assert decision["request_id"] == headers["x-litellm-call-id"]
    assert decision["ranking"] == ["large", "small", "tiny"]
    assert decision["embedded"]
    assert (outcome["model"], outcome["status"], outcome["streamed"]) == ("large", "success", streamed)
    assert outcome["input_tokens"] > 0
    assert outcome["output_tokens"] > 0
    assert outcome["cost_usd"] == pytest.approx(70e-8 * outcome["input_tokens"] + 70e-7 * outcome["output_tokens"])
    assert surface != "chat" or float(headers["x-litellm-response-cost"]) == pytest.approx(outcome["cost_usd"])
    assert (outcome["ttft_s"] is not None) == streamed
    assert 0 <= (outcome["ttft_s"] or 0) <= outcome["latency_s"] < 20
    assert outcome["retries"] == 0


def test_embeddings_are_routed_by_their_input(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """An embedding request goes to an embedding candidate, with its input as the text."""
    raw = client(proxy).embeddings.with_raw_response.create(model="vectors", input=["one", "two"])
    assert len(raw.parse().data) == 2
    assert raw.headers["x-routeiq-model"] == "vector"
    assert upstream(provider) == ["replay-embedding-small"]
    [outcome] = proxy.wait_for("outcome")
    [decision] = proxy.wait_for("decision")
    assert (decision["text"], decision["needs"]) == ("one\ntwo", ["embedding"])
    assert outcome["input_tokens"] > 0


def test_anthropic_provider_behind_messages(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A named candidate at an Anthropic provider is honoured, counted, and learned from."""
    raw = claude(proxy).messages.with_raw_response.create(model="medium", max_tokens=64, messages=MESSAGES[1:])
    assert raw.headers["x-routeiq-model"] == "medium"
    assert raw.headers["x-routeiq-reason"] == "named"
    assert upstream(provider) == ["sim-medium"]
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["status"]) == ("medium", "success")


def test_a_name_that_is_no_candidate_is_left_alone(proxy: LiteLLMProxy) -> None:
    """Every virtual model is listed beside the models, and a name that LiteLLM does not know stays its error."""
    listed = {model.id for model in client(proxy).models.list()}
    assert {"auto", "cheap", "vectors", "large"} <= listed
    with pytest.raises(openai.APIStatusError) as failed:
        ask(proxy, "nothing")
    assert failed.value.status_code in (400, 404)
    assert not any(name.startswith("x-routeiq") for name in failed.value.response.headers)
    assert proxy.entries() == []


def test_an_alias_of_an_alias_is_routed(proxy: LiteLLMProxy) -> None:
    """LiteLLM's `model_group_alias` of a virtual model is that virtual model."""
    assert ask(proxy, "assistant")[1]["x-routeiq-model"] == "large"
    assert proxy.wait_for("decision")[0]["alias"] == "auto"


@pytest.mark.parametrize("path", ["/utils/token_counter", "/v1/messages/count_tokens"])
def test_counting_tokens_is_no_decision(proxy: LiteLLMProxy, path: str) -> None:
    """LiteLLM counts as the model it would call does; nothing is called, so nothing is decided or remembered."""
    headers = {"authorization": f"Bearer {MASTER_KEY}"}
    body = {"model": "auto", "messages": MESSAGES[1:]}
    answer = httpx.post(f"{proxy.url}{path}", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    assert proxy.entries() == []


def test_overlapping_virtual_models_rank_independently(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """Virtual models over the same deployments each get their own strategy's order."""
    assert ask(proxy, "cheap")[1]["x-routeiq-model"] == "tiny"
    assert ask(proxy, "auto")[1]["x-routeiq-model"] == "large"
    assert upstream(provider) == ["sim-tiny", "sim-large"]


def test_a_retry_goes_to_the_next_candidate(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """When the best candidate fails once, the second serves the same request, and header and outcome say so."""
    provider.fault("sim-large", "error_500", times=1)
    text, headers = ask(proxy, "auto")
    assert "sim-small" in text
    assert headers["x-routeiq-model"] == "small"
    assert upstream(provider) == ["sim-large", "sim-small"]
    [outcome] = proxy.wait_for("outcome")
    [decision] = proxy.wait_for("decision")
    assert decision["choice"] == "large"
    assert (outcome["model"], outcome["status"], outcome["retries"]) == ("small", "success", 1)


@pytest.mark.parametrize("surface", ["chat_stream", "responses", "messages", "completion"])
def test_retries_work_on_every_surface(proxy: LiteLLMProxy, provider: ReplayProcess, surface: str) -> None:
    """Also where LiteLLM serves one surface by another, a retry goes on to the next candidate."""
    provider.fault("sim-large", "error_500", times=1)
    with pytest.raises(AssertionError, match="sim-small"):
        SURFACES[surface][0](proxy)
    assert upstream(provider) == ["sim-large", "sim-small"]
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["retries"]) == ("small", 1)


def test_a_fallback_to_another_alias_is_ranked_too(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """When a virtual model falls back to another, that one's strategy ranks, and the one outcome says who served."""
    provider.fault("sim-tools", "error_500")
    _, headers = ask(proxy, "frail")
    assert headers["x-routeiq-model"] == "tiny"
    assert upstream(provider) == ["sim-tools"] * 3 + ["sim-tiny"]
    [outcome] = proxy.wait_for("outcome")
    [decision] = proxy.wait_for("decision")
    assert (decision["alias"], decision["choice"]) == ("frail", "tools")
    assert (outcome["model"], outcome["status"], outcome["retries"]) == ("tiny", "success", 3)


def test_a_request_that_fails_for_good_has_one_outcome(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """When every attempt fails the client gets LiteLLM's error with our headers, and one outcome is recorded."""
    provider.fault("sim-code", "error_500")
    provider.fault("sim-mini", "error_500")
    with pytest.raises(openai.InternalServerError) as failed:
        ask(proxy, "doomed")
    [decision] = proxy.wait_for("decision")
    assert failed.value.response.headers["x-routeiq-decision-id"] == decision["id"]
    assert upstream(provider) == ["sim-code", "sim-mini", "sim-code"]
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["status"], outcome["error"], outcome["retries"]) == ("failure", "InternalServerError", 2)
    assert outcome["model"] == "code"


def test_cooldown_takes_a_candidate_out(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A candidate that LiteLLM cools down is not tried by the next request, whose decision says why."""
    provider.fault("sim-math", "error_429", times=1)
    assert ask(proxy, "cool")[1]["x-routeiq-model"] == "mini"
    assert ask(proxy, "cool")[1]["x-routeiq-model"] == "mini"
    assert upstream(provider) == ["sim-math", "sim-mini", "sim-mini"]
    first, second = proxy.wait_for("decision", 2)
    assert (first["choice"], second["choice"]) == ("math", "mini")
    assert second["filtered"] == {"math": "unavailable"}


def test_a_stream_that_breaks_is_a_failure(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A stream that the provider cuts ends in one outcome that is not a success."""
    provider.fault("sim-large", "close_mid_stream", times=1)
    with pytest.raises(openai.OpenAIError):
        list(client(proxy).chat.completions.create(model="auto", messages=MESSAGES, stream=True))
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["status"], outcome["streamed"]) == ("large", "failure", True)
    assert outcome["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/v1/responses", {"input": "What is a seam?"}),
        ("/v1/messages", {"messages": MESSAGES[1:], "max_tokens": 64}),
    ],
)
def test_a_client_that_leaves_is_a_cancellation(
    proxy: LiteLLMProxy, provider: ReplayProcess, path: str, body: dict[str, Any]
) -> None:
    """A stream whose client leaves ends in one outcome, cancelled."""
    provider.fault("sim-large", "trickle", times=1, delay_s=0.3)
    leave(proxy, path, body)
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["status"]) == ("large", "cancelled")


def test_a_client_that_leaves_before_the_first_token_is_a_cancellation(
    proxy: LiteLLMProxy, provider: ReplayProcess
) -> None:
    """A client that gives up waiting for a stream to begin leaves one outcome, cancelled."""
    provider.fault("sim-large", "slow", times=1, delay_s=2.0)
    with pytest.raises(httpx.ReadTimeout):
        leave(proxy, "/v1/chat/completions", {"messages": MESSAGES}, patience_s=0.5)
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["status"]) == ("large", "cancelled")


def test_a_client_that_leaves_a_plain_call_changes_nothing(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A call that is not streamed is finished by LiteLLM, and recorded, whether its client waits for it or not."""
    provider.fault("sim-large", "slow", times=1, delay_s=1.5)
    with pytest.raises(httpx.ReadTimeout):
        leave(proxy, "/v1/chat/completions", {"messages": MESSAGES, "stream": False}, patience_s=0.5)
    [outcome] = proxy.wait_for("outcome")
    assert (outcome["model"], outcome["status"]) == ("large", "success")


def test_a_messages_stream_that_breaks_may_be_saved(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """Where LiteLLM begins a broken stream again, which only luck decides, the next one serves the same decision."""
    for _ in range(20):
        provider.reset()
        provider.fault("sim-large", "close_mid_stream", times=1)
        try:
            with claude(proxy).messages.stream(model="auto", max_tokens=64, messages=MESSAGES[1:]) as stream:
                text = "".join(stream.text_stream)
            break
        except anthropic.APIStatusError:
            proxy.forget(unreported=True)
    assert "sim-small" in text
    assert upstream(provider) == ["sim-large", "sim-small"]
    [outcome] = proxy.wait_for("outcome", matches=lambda entry: entry["model"] == "small")
    assert (outcome["status"], outcome["retries"]) == ("success", 1)


def test_a_hint_is_honoured_for_candidates_only(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """`X-RouteIQ-Hint` moves a candidate to the front, and a name that is not a candidate changes nothing."""
    _, headers = ask(proxy, "auto", extra_headers={"X-RouteIQ-Hint": "tiny"})
    assert (headers["x-routeiq-model"], headers["x-routeiq-reason"]) == ("tiny", "hint")
    _, headers = ask(proxy, "auto", extra_headers={"X-RouteIQ-Hint": "medium"})
    assert (headers["x-routeiq-model"], headers["x-routeiq-reason"]) == ("large", "best")
    assert upstream(provider) == ["sim-tiny", "sim-large"]


def test_a_key_reaches_only_what_it_could_name(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A key's candidates are those that it may call by name, whatever it hints, and whatever fails."""
    _, headers = ask(proxy, "auto", NARROW, extra_headers={"X-RouteIQ-Hint": "large"})
    assert headers["x-routeiq-model"] == "small"
    provider.fault("sim-small", "error_500", times=1)
    assert ask(proxy, "auto", NARROW)[1]["x-routeiq-model"] == "tiny"
    assert upstream(provider) == ["sim-small", "sim-small", "sim-tiny"]
    assert [d["filtered"] for d in proxy.wait_for("decision", 2)] == [{"large": "access"}] * 2


def test_teams_and_access_groups_count_as_they_do_by_name(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """A team's list of models and a key's access groups limit the candidates."""
    assert ask(proxy, "auto", TEAM)[1]["x-routeiq-model"] == "small"
    assert ask(proxy, "auto", GROUPS)[1]["x-routeiq-model"] == "small"
    assert upstream(provider) == ["sim-small"] * 2
    assert [d["team"] for d in proxy.wait_for("decision", 2)] == ["red", None]


def test_a_key_that_may_use_no_candidate_reaches_nothing(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """When a key may name the virtual model only, LiteLLM's own error is the answer, soon, and nobody is called."""
    begun = time.monotonic()
    with pytest.raises(openai.APIStatusError) as failed:
        ask(proxy, "auto", BARE)
    assert time.monotonic() - begun < 15
    assert 400 <= failed.value.status_code < 500
    assert "sim-" not in failed.value.message
    assert upstream(provider) == []
    assert [e["kind"] for e in proxy.entries()] == []


def test_keys_are_hashed_before_they_are_ours(proxy: LiteLLMProxy) -> None:
    """No key stands in a record, only LiteLLM's hash of it."""
    ask(proxy, "auto", NARROW)
    [decision] = proxy.wait_for("decision")
    assert len(decision["key_hash"]) == 64
    assert NARROW not in (proxy.folder / "journal").read_text()


def test_tags_narrow_the_candidates_before_the_decision(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """With tag routing the decision is about the tagged deployments only, so that its choice is what serves."""
    _, headers = ask(proxy, "colours", extra_body={"metadata": {"tags": ["blue"]}})
    assert headers["x-routeiq-model"] == "blue"
    assert upstream(provider) == ["sim-small"]
    [decision] = proxy.wait_for("decision")
    assert (decision["choice"], decision["filtered"]) == ("blue", {"red": "tags"})


def test_capabilities_narrow_the_candidates(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """An image goes to a candidate that can see, also when the best one that cannot is tried for text."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    messages: Any = [{"role": "user", "content": content}]
    raw = client(proxy).chat.completions.with_raw_response.create(model="eyes", messages=messages)
    assert raw.headers["x-routeiq-model"] == "seeing"
    assert ask(proxy, "eyes")[1]["x-routeiq-model"] == "blind"
    assert proxy.wait_for("decision")[0]["filtered"] == {"blind": "capability"}


def test_deployments_of_one_candidate_share_its_rank(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """LiteLLM goes on balancing between the deployments of the best candidate."""
    for _ in range(24):
        assert ask(proxy, "twins")[1]["x-routeiq-model"] == "twin"
    assert set(upstream(provider)) == {"sim-tiny", "sim-small"}


def test_a_defect_costs_no_request(proxy: LiteLLMProxy, provider: ReplayProcess) -> None:
    """When the strategy raises, the operator's order serves, and header, record and counter say so."""
    _, headers = ask(proxy, "broken")
    assert headers["x-routeiq-model"] == "small"
    assert headers["x-routeiq-reason"] == "static_order"
    assert headers["x-routeiq-degraded"] == "internal"
    provider.fault("sim-small", "error_500", times=1)
    assert ask(proxy, "broken")[1]["x-routeiq-model"] == "large"
    assert [f["where"] for f in proxy.wait_for("failed", 2)] == ["decide", "decide"]
    assert [d["degraded"] for d in proxy.wait_for("decision", 2)] == ["internal"] * 2


def test_litellm_logs_the_decision(proxy: LiteLLMProxy) -> None:
    """The decision stands in LiteLLM's own log of the request, where its routers leave theirs."""
    _, headers = ask(proxy, "auto", extra_body={"metadata": {"routing_decision": {"cause": "forged"}}})
    [entry] = proxy.wait_for("spend_log")
    assert entry["routing_decision"]["routed_model"] == "large"
    assert entry["routing_decision"]["signals"] == ["largest", headers["x-routeiq-decision-id"]]
    assert entry["model_group"] == "auto"


def test_a_call_id_chosen_by_clients_cannot_mix_requests(proxy: LiteLLMProxy) -> None:
    """Requests that share a call id, or claim another's passage, keep their own decisions and outcomes."""
    shared = {"x-litellm-call-id": "same-for-all"}
    ids = [ask(proxy, model, extra_headers=shared)[1]["x-routeiq-decision-id"] for model in ("auto", "cheap")]
    claim = {
        "metadata": {"routeiq_request_id": "same-for-all"},
        "litellm_metadata": {"routeiq_request_id": "same-for-all"},
    }
    ids.append(ask(proxy, "auto", extra_body=claim)[1]["x-routeiq-decision-id"])
    outcomes = proxy.wait_for("outcome", 3)
    assert [o["decision_id"] for o in outcomes] == ids
    assert [o["model"] for o in outcomes] == ["large", "tiny", "large"]
    assert len({d["request_id"] for d in proxy.wait_for("decision", 3)}) == 3


@pytest.mark.parametrize("content", ["", " ", "x" * 1_000_000, None, "\U0001f600 \x00 \u202e"])
def test_odd_prompts_are_routed(proxy: LiteLLMProxy, content: str | None) -> None:
    """Empty, huge, missing or strange text is routed like any other, without an error of ours."""
    raw = client(proxy).chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": content}],  # type: ignore[typeddict-item]
    )
    assert raw.headers["x-routeiq-model"] == "large"
    assert not [e for e in proxy.entries() if e["kind"] == "failed"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "auto", "messages": "not a list"}),
        ("/v1/chat/completions", {"model": "auto", "messages": [1, None, {"role": 7, "content": {"a": [{}]}}]}),
        ("/v1/chat/completions", {"model": "auto"}),
        ("/v1/chat/completions", {"model": ["auto"], "messages": []}),
        ("/v1/completions", {"model": "auto", "prompt": [[1, 2], [3]]}),
        ("/v1/responses", {"model": "auto", "input": 5}),
        ("/v1/messages", {"model": "auto", "messages": {"role": "user"}, "max_tokens": "many"}),
        ("/v1/embeddings", {"model": "vectors", "input": {"a": 1}}),
    ],
)
def test_malformed_bodies_are_litellms_to_refuse(proxy: LiteLLMProxy, path: str, body: dict[str, Any]) -> None:
    """A malformed request gets what LiteLLM says of it; nothing of ours raises."""
    httpx.post(f"{proxy.url}{path}", json=body, headers={"authorization": f"Bearer {MASTER_KEY}"}, timeout=60)
    assert not [e for e in proxy.entries() if e["kind"] == "failed"], proxy.entries()


def test_the_hook_is_registered_once(started: LiteLLMProxy) -> None:
    """Registering the hook twice leaves one."""
    [installed] = [entry for entry in started.entries(whole=True) if entry["kind"] == "installed"]
    assert installed["callbacks"].count("RouteIQHook") == 1


def test_every_decision_has_one_outcome(started: LiteLLMProxy) -> None:
    """After all of the above no decision is left open but for broken streams of messages, which LiteLLM keeps quiet."""
    entries = started.entries(whole=True)
    decided = sorted(entry["id"] for entry in entries if entry["kind"] == "decision")
    assert len(decided) > 50
    ended = [entry["decision_id"] for entry in entries if entry["kind"] == "outcome"]
    assert decided == sorted([*ended, *(started.unreported - set(ended))])


def test_no_request_left_a_secret_or_a_prompt_in_the_log(started: LiteLLMProxy) -> None:
    """After all of the above, neither keys nor prompts stand in what the proxy printed."""
    printed = Path(started.folder / "log").read_text(errors="replace")
    for secret in (MASTER_KEY, NARROW, "provider-key", "What is a seam?"):
        assert secret not in printed
