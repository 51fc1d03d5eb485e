"""Faults on command and the journal, seen by the official client."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from routeiq.testing.replay import ReplayFailed, ReplayProcess
from routeiq.testing.replay.answers import prompt_sha
from routeiq.testing.replay.faults import BadFault, Fault, FaultTable, Journal, JournalEntry, marked_fault, parse_fault

ASK = {"model": "sim-mini", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("error_500", openai.InternalServerError),
        ("error_429", openai.RateLimitError),
        ("error_401", openai.AuthenticationError),
    ],
)
def test_an_error_fault_raises_the_clients_own_exception(
    provider: ReplayProcess, openai_client: openai.OpenAI, fault: str, error: type[openai.APIStatusError]
) -> None:
    """The fault lasts for the calls it was ordered for and no longer."""
    provider.fault("sim-mini", fault, times=1)
    with pytest.raises(error):
        openai_client.chat.completions.create(**ASK)
    assert openai_client.chat.completions.create(**ASK).choices


def test_a_rate_limit_says_when_to_come_back(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """The delay of the order becomes the Retry-After header."""
    provider.fault("*", "error_429", delay_s=7)
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(**ASK)
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_hanging_call_ends_when_the_client_leaves(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """Nothing is answered, and the journal notes that the client went first."""
    provider.fault("sim-mini", "hang")
    with pytest.raises(openai.APITimeoutError):
        openai_client.with_options(timeout=0.3).chat.completions.create(**ASK)
    deadline = time.monotonic() + 60
    while provider.journal()[0].outcome == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    row = provider.journal()[0]
    assert (row.outcome, row.status, row.fault) == ("gone", None, "hang")


def test_a_bounded_hang_ends_with_a_timeout_of_the_provider(
    provider: ReplayProcess, openai_client: openai.OpenAI
) -> None:
    """After its delay the hanging call gets 504."""
    provider.fault("sim-mini", "hang", delay_s=0.05)
    with pytest.raises(openai.InternalServerError) as caught:
        openai_client.chat.completions.create(**ASK)
    assert caught.value.status_code == 504


def test_a_cut_stream_breaks_after_its_first_half(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """The client gets some chunks and then a broken connection, and the journal says it was cut."""
    provider.fault("sim-mini", "close_mid_stream")
    got = []
    chunks = openai_client.chat.completions.create(**ASK, stream=True)
    with pytest.raises(httpx.RemoteProtocolError):
        got.extend(chunks)
    assert 1 < len(got) < 16
    assert all(chunk.choices[0].finish_reason is None for chunk in got)
    assert provider.journal()[0].outcome == "cut"


def test_a_cut_answer_without_stream_breaks_too(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """Half a body and no more is an error of the connection."""
    provider.fault("sim-mini", "close_mid_stream")
    with pytest.raises(openai.APIConnectionError):
        openai_client.chat.completions.create(**ASK)


@pytest.mark.parametrize("stream", [False, True])
def test_a_trickle_is_complete_but_slow(provider: ReplayProcess, openai_client: openai.OpenAI, stream: bool) -> None:
    """The answer arrives whole, and takes many times the delay between its pieces."""
    provider.fault("sim-mini", "trickle", delay_s=0.05)
    begun = time.monotonic()
    reply = openai_client.chat.completions.create(**ASK, stream=stream)
    text = "".join(c.choices[0].delta.content or "" for c in reply) if stream else reply.choices[0].message.content
    assert "simulated model" in (text or "")
    assert time.monotonic() - begun > 5 * 0.05


def test_a_slow_call_is_later_than_its_delay(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """The delay is in real seconds and comes before the answer."""
    provider.fault("sim-mini", "slow", delay_s=0.3, times=1)
    begun = time.monotonic()
    openai_client.chat.completions.create(**ASK)
    assert time.monotonic() - begun >= 0.3


def test_the_journal_lists_what_arrived(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """Model, surface, stream, status, fault and the hash of the prompt, oldest first; a reset empties it."""
    openai_client.chat.completions.create(**ASK)
    list(openai_client.responses.create(model="sim-tiny", input="other", stream=True))
    provider.fault("*", "error_500")
    with pytest.raises(openai.InternalServerError):
        openai_client.embeddings.create(model="replay-embedding-small", input="third")
    rows = provider.journal()
    assert [(r.model, r.surface, r.stream, r.status, r.fault) for r in rows] == [
        ("sim-mini", "chat.completions", False, 200, None),
        ("sim-tiny", "responses", True, 200, None),
        ("replay-embedding-small", "embeddings", False, 500, "error_500"),
    ]
    assert [r.prompt_sha for r in rows] == [prompt_sha("hello  there"), prompt_sha("other"), prompt_sha("third")]
    assert rows[0].at <= rows[1].at <= rows[2].at
    provider.reset()
    assert provider.journal() == []
    assert openai_client.chat.completions.create(**ASK).choices


@pytest.mark.parametrize(
    ("model", "fault", "said"),
    [("sim-mini", "error_50", "did you mean 'error_500'"), ("sim-none", "hang", "no model 'sim-none'")],
)
def test_an_impossible_fault_is_refused(provider: ReplayProcess, model: str, fault: str, said: str) -> None:
    """The order names what is wrong and what would be right."""
    with pytest.raises(ReplayFailed, match=said):
        provider.fault(model, fault)


def test_a_models_own_fault_comes_before_the_one_for_all() -> None:
    """The own fault is used up first, then the common one applies, and `*` with None clears both."""
    table = FaultTable()
    table.set("*", Fault("slow"))
    table.set("a", Fault("hang", times=2))
    kinds = [fault.kind for fault in (table.take("a"), table.take("a"), table.take("a"), table.take("b")) if fault]
    assert kinds == ["hang", "hang", "slow", "slow"]
    table.set("a", Fault("hang"))
    table.set("*", None)
    assert table.take("a") is None


@pytest.mark.parametrize(
    ("text", "model", "fault"),
    [
        ("m=slow", "m", Fault("slow")),
        ("m=slow:3", "m", Fault("slow", 3)),
        ("*=hang::1.5", "*", Fault("hang", None, 1.5)),
    ],
)
def test_the_command_lines_fault_is_read(text: str, model: str, fault: Fault) -> None:
    """MODEL=FAULT, then times, then the delay."""
    assert parse_fault(text) == (model, fault)


@pytest.mark.parametrize("text", ["m", "m=slow:x", "m=slow:1:2:3", "m=slow:0", "=slow", "m=slow:1:-2", "m=slow:1:nan"])
def test_a_wrong_fault_of_the_command_line_is_refused(text: str) -> None:
    """Neither form nor numbers are guessed."""
    with pytest.raises(BadFault):
        parse_fault(text)


def test_the_journal_forgets_its_oldest_entries() -> None:
    """It holds no more than its limit."""
    journal = Journal(limit=3)
    for n in range(5):
        journal.add(JournalEntry(f"m{n}", "messages", False, 0.0, 200, ""))
    assert [row["model"] for row in journal.rows()] == ["m2", "m3", "m4"]


def test_a_prompt_can_ask_for_its_own_fault(provider: ReplayProcess, openai_client: openai.OpenAI) -> None:
    """The marker in a prompt strikes that call alone and leaves the standing fault of the model where it is."""
    provider.fault("sim-mini", "error_429", times=1)
    broken = {"model": "sim-mini", "messages": [{"role": "user", "content": "hello [[replay error_500]]"}]}
    with pytest.raises(openai.InternalServerError):
        openai_client.chat.completions.create(**broken)
    with pytest.raises(openai.RateLimitError):
        openai_client.chat.completions.create(**ASK)
    assert openai_client.chat.completions.create(**ASK).choices


@pytest.mark.parametrize(
    ("prompt", "fault"),
    [
        ("a [[replay pace 0.5]] b", Fault("pace", None, 0.5)),
        ("[[replay hang]]", Fault("hang")),
        ("[[replay nonsense]]", None),
        ("replay hang", None),
    ],
)
def test_a_marker_is_read(prompt: str, fault: Fault | None) -> None:
    """Two brackets, the word replay, a known kind, and a number of seconds if there is one."""
    assert marked_fault(prompt) == fault


@pytest.mark.parametrize("stream", [False, True])
def test_a_paced_answer_takes_its_time(provider: ReplayProcess, openai_client: openai.OpenAI, stream: bool) -> None:
    """`pace` says how long the whole answer takes, whatever the model's own latency is."""
    provider.fault("*", "pace", delay_s=0.4)
    begun = time.monotonic()
    answer = openai_client.chat.completions.create(**ASK, stream=stream)
    if stream:
        list(answer)
    assert 0.35 < time.monotonic() - begun < 60.0


def test_the_counts_have_every_call_under_the_way_it_ended(
    provider: ReplayProcess, openai_client: openai.OpenAI
) -> None:
    """Calls, those under way, answered, cut by a fault, and left by their client are counted apart."""
    openai_client.chat.completions.create(**ASK)
    provider.fault("*", "close_mid_stream", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        list(openai_client.chat.completions.create(**ASK, stream=True))
    provider.fault("*", "hang", times=1)
    with pytest.raises(openai.APITimeoutError):
        openai_client.with_options(timeout=0.3).chat.completions.create(**ASK)
    deadline = time.monotonic() + 60
    while provider.counts()["open"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert provider.counts() == {"calls": 3, "open": 0, "done": 1, "cut": 1, "gone": 1}
