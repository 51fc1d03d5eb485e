"""LiteLLM's dictionaries to our nouns, for every surface and for malformed input."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.adapters.litellm import translate
from routeiq.core.candidate import Candidate
from routeiq.core.outcome import Outcome, Status, Usage
from routeiq.core.request import Caller, Capability, RouteRequest, Surface

BUCKET = {
    "user_api_key_hash": "a" * 64,
    "user_api_key_team_id": "blue",
    "user_api_key_user_id": "ann",
    "tags": ["x", 3],
}


def read(surface: Surface = Surface.CHAT, **data: Any) -> RouteRequest:
    """Translate a request as LiteLLM's hooks see it."""
    return translate.request({"metadata": dict(BUCKET), **data}, "auto", surface, "req-1")


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_text_is_the_last_user_turn_with_text() -> None:
    """Features come from the last user turn that has text, not from tool results or what the model said."""
    turns = [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "said"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "text", "text": "part"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "result"}]},
    ]
    assert read(messages=turns).text == "second\npart"


@pytest.mark.parametrize(
    ("surface", "data", "text"),
    [
        (Surface.COMPLETION, {"prompt": "plain"}, "plain"),
        (Surface.COMPLETION, {"prompt": ["one", "two"]}, "one\ntwo"),
        (Surface.COMPLETION, {"prompt": [1, 2, 3]}, ""),
        (Surface.RESPONSES, {"input": "plain"}, "plain"),
        (Surface.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "in"}]}]}, "in"),
        (Surface.RESPONSES, {"input": [{"content": "without a role"}]}, "without a role"),
        (Surface.MESSAGES, {"system": "rules", "messages": user("hello")}, "hello"),
        (Surface.EMBEDDING, {"input": ["one", "two"]}, "one\ntwo"),
        (Surface.EMBEDDING, {"input": [[1, 2], [3]]}, ""),
        (Surface.CHAT, {}, ""),
    ],
)
def test_text_of_every_surface(surface: Surface, data: dict[str, Any], text: str) -> None:
    """Each surface keeps its prompt elsewhere, and all of them are read."""
    assert read(surface, **data).text == text


def test_tokens_count_everything_that_is_sent() -> None:
    """The estimate covers all turns, the system prompt and the tools' schemas."""
    bare = read(messages=user("x" * 400)).prompt_tokens
    assert 100 <= bare <= 105
    assert read(messages=user("x" * 400) * 3).prompt_tokens >= 3 * 100
    assert read(Surface.MESSAGES, system="y" * 400, messages=user("x" * 400)).prompt_tokens >= bare + 100
    tools = [{"type": "function", "function": {"name": "f", "description": "z" * 400}}]
    assert read(messages=user("x" * 400), tools=tools).prompt_tokens >= bare + 100
    assert read(Surface.EMBEDDING, input=[[7] * 50, [8] * 50]).prompt_tokens == 100


def test_an_image_costs_a_constant() -> None:
    """An image's base64 text is not counted, and asks for a model that sees."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    request = read(messages=user([{"type": "text", "text": "what?"}, picture]))
    assert translate.IMAGE_TOKENS <= request.prompt_tokens < translate.IMAGE_TOKENS + 10
    assert request.needs == {Capability.VISION}
    nested = {"type": "tool_result", "content": [{"type": "image", "source": {"data": "A" * 1_000}}]}
    assert read(Surface.MESSAGES, messages=user([nested])).needs == {Capability.VISION}


@pytest.mark.parametrize(
    ("surface", "data", "needs"),
    [
        (Surface.CHAT, {"tools": [{"type": "function"}]}, {Capability.TOOLS}),
        (Surface.CHAT, {"functions": [{"name": "f"}]}, {Capability.TOOLS}),
        (Surface.CHAT, {"tools": []}, set()),
        (Surface.CHAT, {"response_format": {"type": "json_object"}}, {Capability.JSON_MODE}),
        (Surface.CHAT, {"response_format": {"type": "json_schema"}}, {Capability.JSON_MODE}),
        (Surface.CHAT, {"response_format": {"type": "text"}}, set()),
        (Surface.RESPONSES, {"text": {"format": {"type": "json_schema"}}}, {Capability.JSON_MODE}),
        (Surface.EMBEDDING, {"input": "x"}, {Capability.EMBEDDING}),
    ],
)
def test_needs(surface: Surface, data: dict[str, Any], needs: set[Capability]) -> None:
    """What a request uses is what its model must be able to do."""
    assert read(surface, **data).needs == needs


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
        ({"max_output_tokens": 30}, 30),
        ({"max_tokens": 0}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "many"}, None),
        ({}, None),
    ],
)
def test_output_limit(data: dict[str, Any], limit: int | None) -> None:
    """The caller's limit goes by three names, and what is no limit counts as none."""
    assert read(**data).output_tokens == limit


def test_caller_is_who_litellm_says() -> None:
    """Key hash, team, user and tags come from LiteLLM's bucket; the role from its authentication."""
    admin = SimpleNamespace(user_role=SimpleNamespace(value="proxy_admin"))
    request = translate.request({"metadata": BUCKET, "messages": []}, "auto", Surface.CHAT, "r", admin)
    assert request.caller == Caller("a" * 64, "blue", "ann", ("x",), admin=True)
    assert read().caller.admin is False


def test_a_key_that_was_left_plain_is_hashed() -> None:
    """A custom authentication may hand over the key itself; it never becomes part of a caller."""
    sent = translate.caller(SimpleNamespace(api_key="my-secret-key"), {})
    assert sent.key_hash is not None
    assert len(sent.key_hash) == 64
    assert "secret" not in sent.key_hash


def test_the_clients_metadata_is_not_litellms() -> None:
    """Where clients have a `metadata` of their own, LiteLLM's bucket is found beside it."""
    data = {"metadata": {"tags": ["forged"]}, "litellm_metadata": dict(BUCKET)}
    assert translate.bucket(data) is data["litellm_metadata"]
    data = {"litellm_metadata": {"tags": ["forged"]}, "metadata": dict(BUCKET)}
    assert translate.bucket(data) is data["metadata"]
    assert translate.bucket({"litellm_params": {"metadata": BUCKET}}) is BUCKET
    assert translate.bucket({"metadata": None}) is None


def test_hint_and_session_headers() -> None:
    """The hint and the session are read from the request's headers, whatever their case."""
    headers = {"X-RouteIQ-Hint": " large ", "X-Session-Id": "s-1", "bad": 7}
    request = read(proxy_server_request={"headers": headers}, messages=user("hi"))
    assert (request.hint, request.session) == ("large", "s-1")
    assert read(litellm_session_id="s-2", messages=user("hi")).session == "s-2"


def test_session_without_an_id_is_the_start_of_the_conversation() -> None:
    """Later turns of a conversation keep its session; another key, system prompt or first turn has another."""
    begun = [{"role": "system", "content": "rules"}, *user("hello")]
    first = read(messages=begun).session
    assert first is not None
    assert read(messages=[*begun, {"role": "assistant", "content": "hi"}, *user("more")]).session == first
    assert read(messages=user("hello")).session != first
    assert read(messages=[begun[0], *user("hullo")]).session != first
    other = {**BUCKET, "user_api_key_hash": "b" * 64}
    assert translate.request({"metadata": other, "messages": begun}, "auto", Surface.CHAT, "r").session != first
    assert "hello" not in first
    assert read(Surface.COMPLETION, prompt="hello").session is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["messages", "input", "prompt", "system", "tools", "functions", "max_tokens", "response_format", "text"]
FIELDS += ["metadata", "litellm_metadata", "proxy_server_request", "stream", "litellm_session_id"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.sampled_from(list(Surface)))
@settings(max_examples=300, deadline=None)
def test_no_body_raises(data: dict[str, Any], surface: Surface) -> None:
    """Whatever a client sends is translated to something with text, a token count and a caller."""
    request = translate.request(data, "auto", surface, "r")
    assert isinstance(request.text, str)
    assert request.prompt_tokens >= 0


def test_hostile_bodies_are_bounded() -> None:
    """Lone surrogates and very deep nesting neither raise nor exhaust the stack."""
    deep: Any = "bottom"
    for _ in range(50_000):
        deep = [deep]
    assert read(messages=deep).text == ""
    assert read(messages=user("\ud800")).session


def test_a_megabyte_is_cheap() -> None:
    """The work grows with the number of parts, not with the length of a text."""
    read(messages=user("warm"))
    short, long = user("x" * 1_000), user("x" * 1_000_000)
    times = {}
    for name, messages in (("short", short), ("long", long)):
        begun = time.perf_counter()
        for _ in range(200):
            read(messages=messages)
        times[name] = time.perf_counter() - begun
    assert times["long"] < 20 * times["short"]


PRICES = {
    "known": {
        "mode": "chat",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "max_input_tokens": 8_000,
        "supports_function_calling": True,
    },
    "vec": {"mode": "embedding", "input_cost_per_token": 1e-8, "max_input_tokens": 512},
}


def entry(name: str, model: str, info: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, **params}, "model_info": info or {}}


def one(*entries: Any) -> Candidate:
    [candidate] = translate.candidates(entries, PRICES)
    return candidate


def test_candidate_from_the_price_map() -> None:
    """Price, window and capabilities of a known model come from LiteLLM's map, by its name with or without provider."""
    candidate = one(entry("a", "openai/known"))
    assert (candidate.usd_per_input_token, candidate.usd_per_output_token) == (1e-6, 2e-6)
    assert candidate.context_window == 8_000
    assert candidate.capabilities == {Capability.TOOLS, Capability.JSON_MODE}
    assert one(entry("e", "openai/vec")).capabilities == {Capability.EMBEDDING}
    assert one(entry("d", "azure/my-deployment", {"base_model": "known"})).usd_per_input_token == 1e-6


def test_the_operators_word_comes_first() -> None:
    """What `litellm_params` and `model_info` state overrides the map; YAML's text numbers are numbers."""
    info = {"size": 7, "weight": 2.5, "quality": "0.8", "latency_s": 1, "region": "eu", "max_input_tokens": 100}
    candidate = one(entry("a", "known", {**info, "supports_vision": True}, input_cost_per_token="5e-6"))
    assert candidate.usd_per_input_token == 5e-6
    assert (candidate.size, candidate.weight, candidate.quality, candidate.latency_s) == (7, 2.5, 0.8, 1)
    assert (candidate.region, candidate.context_window) == ("eu", 100)
    assert candidate.capabilities == {Capability.TOOLS, Capability.VISION, Capability.JSON_MODE}


def test_nothing_known_is_unknown() -> None:
    """A model that neither map nor operator describes has unknowns, which exclude it from nothing."""
    candidate = one(entry("a", "my/own"))
    assert candidate == Candidate("a")
    stated = one(entry("a", "my/own", {"supports_vision": False}))
    assert stated.capabilities == {Capability.TOOLS, Capability.JSON_MODE, Capability.EMBEDDING}


def test_deployments_of_one_name_are_one_candidate() -> None:
    """Entries of one name are merged to what all of them can do."""
    merged = one(
        entry("a", "known", {"max_input_tokens": 500, "supports_vision": True, "region": "eu"}),
        entry("a", "known", {"region": "us", "size": 8}, input_cost_per_token=3e-6),
        entry("a", "my/own"),
    )
    assert merged.usd_per_input_token == pytest.approx(2e-6)
    assert merged.context_window == 500
    assert merged.capabilities == {Capability.TOOLS, Capability.JSON_MODE}
    assert (merged.region, merged.size) == (None, 8)


def test_rows_that_are_no_models_are_passed_over() -> None:
    """Candidates keep the order of the list, and rubbish in it is not a candidate."""
    rows = [entry("b", "known"), None, 7, {"model_name": 3}, {"model_name": "bare"}, entry("a", "known")]
    assert [c.name for c in translate.candidates(rows, PRICES)] == ["b", "bare", "a"]


START = datetime(2026, 1, 1, tzinfo=UTC)
BLANK = Outcome("dec", "req", 1.0, "large", Status.FAILURE)


def event(**fields: Any) -> dict[str, Any]:
    payload = {"prompt_tokens": 12, "completion_tokens": 34, "response_cost": 0.5, "stream": fields.get("stream")}
    return {"standard_logging_object": payload, "litellm_params": {"metadata": dict(BUCKET)}, **fields}


def test_success_event() -> None:
    """Tokens, cost and latency are LiteLLM's; the first token's time counts for streams only."""
    first = START + timedelta(seconds=1)
    end = START + timedelta(seconds=3)
    outcome = translate.success(event(completion_start_time=first), START, end, BLANK)
    assert (outcome.status, outcome.usage, outcome.cost_usd) == (Status.SUCCESS, Usage(12, 34), 0.5)
    assert (outcome.latency_s, outcome.ttft_s, outcome.streamed) == (3.0, None, False)
    streamed = translate.success(event(completion_start_time=first, stream=True), START, end, BLANK)
    assert (streamed.ttft_s, streamed.streamed) == (1.0, True)


def test_a_stream_that_was_left_is_cancelled() -> None:
    """LiteLLM logs a stream whose client left as a success, and marks it in the event itself."""
    left = event(metadata={"client_disconnected": True})
    assert translate.success(left, START, START, BLANK).status is Status.CANCELLED


def test_an_empty_event_is_an_outcome_without_figures() -> None:
    """An event that says nothing leaves everything unknown, and raises nothing."""
    outcome = translate.success({}, None, None, BLANK)
    assert (outcome.usage, outcome.cost_usd, outcome.latency_s, outcome.ttft_s) == (Usage(), None, None, None)


def test_cost_that_litellm_does_not_know() -> None:
    """A cost of 0 is replaced by the price list's, or by None: unknown is not free. A cached answer is."""
    spent = translate.success({**event(), "response_cost": 0.0}, START, START, BLANK)
    assert translate.priced(spent, Candidate("large", 1e-3, 1e-2)).cost_usd == pytest.approx(0.352)
    assert translate.priced(spent, Candidate("large")).cost_usd is None
    assert translate.priced(spent, None).cost_usd is None
    assert translate.priced(spent, Candidate("large", 0.0, 0.0)).cost_usd == 0.0
    cached = translate.success({**event(cache_hit=True), "response_cost": 0.0}, START, START, BLANK)
    assert translate.priced(cached, None).cost_usd == 0.0


def test_failures_are_told_by_class_name() -> None:
    """Of an error only its class is kept; a client that closed the connection is a cancellation."""
    assert translate.failure(ValueError("the prompt")) == (Status.FAILURE, "ValueError")
    closed = type("Closed", (Exception,), {"status_code": 499})()
    assert translate.failure(closed)[0] is Status.CANCELLED


def test_benchmark_scores_are_read_from_model_info() -> None:
    """Numbers from 0 to 1 by name are kept, also when written as text; what is not such a number is left out."""
    info = {"benchmarks": {"mmlupro": 0.7, "gsm8k": "0.9", "elo": 1250, "said": "good", "below": -0.1}}
    assert one(entry("a", "known", info)).benchmarks == {"mmlupro": 0.7, "gsm8k": 0.9}
    assert one(entry("b", "known")).benchmarks is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["type", "text", "content", "role", "image_url", "a"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_no_body_is_too_odd_to_be_read(part: object) -> None:
    """Whatever JSON stands in messages, tools or content, a request can be made of it."""
    for body in ({"messages": part}, {"messages": [{"role": "user", "content": part}], "tools": part, "system": part}):
        asked = translate.request(body, "auto", Surface.CHAT, "r")
        assert asked.prompt_tokens >= 0
        assert isinstance(asked.text, str)


def test_a_tool_with_a_property_called_type_is_counted() -> None:
    """A schema whose property is named `type` is text like any other."""
    schema = {"type": "object", "properties": {"type": {"type": "string", "description": "kind of game"}}}
    tools = [{"type": "function", "function": {"name": "play", "parameters": schema}}]
    asked = translate.request(
        {"messages": [{"role": "user", "content": "hi"}], "tools": tools}, "auto", Surface.CHAT, "r"
    )
    assert asked.prompt_tokens > 10
    assert Capability.TOOLS in asked.needs
    assert Capability.VISION not in asked.needs


def test_tools_are_handed_on_as_they_came() -> None:
    """Schemas of tools and of older functions are part of the request, and never of its representation."""
    tool = {"type": "function", "function": {"name": "f", "description": "a secret word"}}
    asked = read(messages=user("hi"), tools=[tool, "no tool"], functions=[{"name": "g"}])
    assert asked.tools == (tool, {"name": "g"})
    assert "secret" not in repr(asked)
    assert read(messages=user("hi"), tools="none").tools == ()


def test_prices_go_where_litellm_reads_them_for_nothing() -> None:
    """A ranked copy states its prices in `model_info`; the original, and one without prices, stay as they are."""
    params = {"model": "x", "input_cost_per_token": 1e-6}
    priced = {"model_name": "m", "litellm_params": params, "model_info": {"id": "1"}}
    copy = translate.ordered(priced, 2)
    assert copy["litellm_params"] == {"model": "x", "order": 2}
    assert copy["model_info"] == {"id": "1", "input_cost_per_token": 1e-6}
    assert priced["litellm_params"] == {"model": "x", "input_cost_per_token": 1e-6}
    plain = {"model_name": "m", "litellm_params": {"model": "x"}, "model_info": {"id": "1"}}
    assert translate.ordered(plain, 1) == {**plain, "litellm_params": {"model": "x", "order": 1}}


@pytest.mark.parametrize(
    ("data", "person"),
    [
        ({"user": "ann@example.org"}, "ann@example.org"),
        ({"user": "ann", "metadata": {**BUCKET, "user_api_key_end_user_id": "customer-7"}}, "customer-7"),
        ({"user": 7}, None),
        ({}, None),
    ],
)
def test_the_person_behind_the_caller(data: dict[str, Any], person: str | None) -> None:
    """LiteLLM's customer comes before the body's `user`; what is no name is nobody."""
    assert read(messages=user("hi"), **data).end_user == person


@pytest.mark.parametrize(
    ("surface", "last", "follows"),
    [
        (Surface.CHAT, {"role": "tool", "tool_call_id": "1", "content": "4"}, True),
        (Surface.MESSAGES, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}, True),
        (Surface.RESPONSES, {"type": "function_call_output", "call_id": "1", "output": "4"}, True),
        (Surface.CHAT, {"role": "user", "content": "thanks"}, False),
        (Surface.CHAT, {"role": "user", "content": [{"type": ["tool_result"]}, 3]}, False),
        (Surface.CHAT, "text", False),
    ],
)
def test_a_tools_result_follows_up(surface: Surface, last: Any, follows: bool) -> None:
    """A last turn that answers a tool call belongs to the model that made it, in each API's form."""
    turns = [*user("what is 2+2?"), {"role": "assistant", "tool_calls": []}, last]
    key = "input" if surface is Surface.RESPONSES else "messages"
    assert read(surface, **{key: turns}).follows_up is follows


def test_what_begins() -> None:
    """Without an id of the caller's and without an answer among the turns, nothing went before."""
    assert read(messages=user("hi")).begins
    assert read(prompt="hi", surface=Surface.COMPLETION).begins
    assert not read(messages=[*user("hi"), {"role": "assistant", "content": "hello"}, *user("and?")]).begins
    assert not read(messages=user("hi"), litellm_session_id="s").begins
    headers = {"proxy_server_request": {"headers": {"X-Session-Id": "s"}}}
    assert not read(messages=user("hi"), **headers).begins


def test_the_price_of_cached_input() -> None:
    """It comes from the price list or the operator, and is the mean of a group's deployments."""
    prices = {"openai/m": {"input_cost_per_token": 1e-6, "cache_read_input_token_cost": 1e-7}}
    listed = {"model_name": "m", "litellm_params": {"model": "openai/m"}}
    said = {**listed, "model_info": {"cache_read_input_token_cost": 3e-7}}
    [one] = translate.candidates([listed], prices)
    [both] = translate.candidates([listed, said], prices)
    assert one.usd_per_cached_token == 1e-7
    assert both.usd_per_cached_token == pytest.approx(2e-7)
