"""Recorded outcomes as a source of answers."""

from __future__ import annotations

import time
from pathlib import Path

import openai
import pyarrow.parquet as parquet
import pytest

from routeiq.testing.replay import ReplayProcess
from routeiq.testing.replay.answers import UnknownModel, UnknownPrompt
from routeiq.testing.replay.recorded import BadRecording, RecordedSource, answer_line, parse_answer_line, recorded_tools


def test_a_prompt_is_found_by_its_normalised_text(recording: Path) -> None:
    """White space does not matter; the answer names prompt and model and has the recorded tokens."""
    source = RecordedSource.load(recording, ["plain"], None, seed=0)
    answer = source.answer("cheap", " Name a  colour. ", [])
    assert parse_answer_line(answer.text) == ("plain/2", "cheap")
    assert (answer.input_tokens, answer.output_tokens) == (22, 200)


def test_one_text_with_different_tools_is_told_apart_by_them(recording: Path) -> None:
    """Tool names compare as clients must write them, a.b as a_b; without tools the first prompt answers."""
    source = RecordedSource.load(recording, ["calls"], None, seed=0)
    found = [parse_answer_line(source.answer("cheap", "Do it.", tools).text)[0] for tools in (["a_b"], ["c"], [])]
    assert found == ["calls/1", "calls/2", "calls/1"]


def test_a_recorded_latency_is_kept_and_a_missing_one_is_stated(recording: Path) -> None:
    """Recorded seconds come back as they are; stated ones depend on prompt, model and seed alone."""
    calls = RecordedSource.load(recording, ["calls"], None, seed=0).answer("cheap", "Do it.", ["c"])
    assert calls.latency_s == 2.5
    assert 0 < calls.ttft_s < 2.5
    sources = [RecordedSource.load(recording, ["plain"], None, seed) for seed in (0, 0, 1)]
    stated = [source.answer("cheap", "What is 2+2?", []) for source in sources]
    assert stated[0] == stated[1]
    assert stated[0].latency_s != stated[2].latency_s
    assert 0.35 < stated[0].latency_s < 5


def test_a_dear_model_is_said_to_be_slower(recording: Path) -> None:
    """The stated latency follows the price tier."""
    source = RecordedSource.load(recording, ["plain"], ["cheap", "dear"], seed=0)
    dear, cheap = (source.answer(model, "What is 2+2?", []) for model in ("dear", "cheap"))
    assert dear.latency_s > 2 * cheap.latency_s


def test_missing_tokens_are_estimated(recording: Path) -> None:
    """Input tokens fall back to the prompt's, output tokens to the stated number."""
    answer = RecordedSource.load(recording, ["calls"], None, seed=0).answer("cheap", "Do it.", ["c"])
    assert (answer.input_tokens, answer.output_tokens) == (14, 30)


def test_the_pool_is_served_unless_models_are_named(recording: Path) -> None:
    """Models outside the pool have to be asked for; two suites can be served at once."""
    assert RecordedSource.load(recording, ["plain"], None, 0).models == ["cheap"]
    assert RecordedSource.load(recording, ["plain"], ["dear"], 0).models == ["dear"]
    both = RecordedSource.load(recording, ["plain", "calls"], None, 0)
    assert parse_answer_line(both.answer("cheap", "Do it.", []).text) == ("calls/1", "cheap")


def test_what_was_not_recorded_is_not_answered(recording: Path) -> None:
    """Unknown model, unknown prompt, and a known prompt without an outcome of this model."""
    source = RecordedSource.load(recording, ["plain"], ["cheap", "dear"], 0)
    with pytest.raises(UnknownModel, match="'huge'"):
        source.answer("huge", "What is 2+2?", [])
    with pytest.raises(UnknownPrompt, match="recorded prompts only"):
        source.answer("cheap", "What is 2+3?", [])
    with pytest.raises(UnknownPrompt, match="No outcome of 'dear' was recorded for the prompt plain/2"):
        source.answer("dear", "Name a colour.", [])


@pytest.mark.parametrize(
    ("suites", "models", "said"),
    [(["plane"], None, "no suite 'plane'; known: calls, plain"), (["calls"], ["dear"], "no model 'dear' in calls")],
)
def test_a_wrong_name_is_refused_with_the_known_ones(
    recording: Path, suites: list[str], models: list[str] | None, said: str
) -> None:
    """Suite and model names are checked at the start."""
    with pytest.raises(BadRecording, match=said):
        RecordedSource.load(recording, suites, models, 0)


def test_any_other_text_is_no_answer_line() -> None:
    """Only the line of a recorded answer can be read back."""
    assert parse_answer_line(answer_line("a/1", "m-2")) == ("a/1", "m-2")
    with pytest.raises(ValueError, match="not the line"):
        parse_answer_line("The answer is 4.")


def test_the_process_answers_recorded_prompts_and_refuses_others(recording: Path) -> None:
    """Over the wire: recorded usage for a recorded prompt, 404 with a reason for any other."""
    with (
        ReplayProcess.start(data=recording, suite="plain", time_scale=float("inf")) as provider,
        openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client,
    ):
        messages = [{"role": "user", "content": "What is 2+2?"}]
        reply = client.chat.completions.create(model="cheap", messages=messages)
        assert reply.usage is not None
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (21, 100)
        with pytest.raises(openai.NotFoundError, match="No recorded prompt") as caught:
            client.chat.completions.create(model="cheap", messages=[{"role": "user", "content": "else"}])
    assert caught.value.code == "unknown_prompt"


@pytest.mark.recorded
def test_every_recorded_prompt_of_the_pool_gets_its_own_outcome(recorded_data: Path) -> None:
    """On the real recordings: each prompt of a suite with tools is found with exactly its tokens and latency."""
    begun = time.monotonic()
    source = RecordedSource.load(recorded_data, ["bfcl"], None, 0)
    loaded = time.monotonic() - begun
    filters = [("suite", "=", "bfcl")]
    prompts = parquet.read_table(recorded_data / "prompts.parquet", filters=filters).to_pylist()
    model = "claude-3-haiku-20240307"
    outcomes = parquet.read_table(recorded_data / "outcomes.parquet", filters=[*filters, ("model", "=", model)])
    known = {row["prompt_id"]: row for row in outcomes.to_pylist()}
    begun = time.monotonic()
    for row in prompts:
        tools = [name.replace(".", "_") for name in recorded_tools(row["tools"])]
        answer = source.answer(model, row["prompt"], tools)
        assert parse_answer_line(answer.text) == (row["prompt_id"], model)
        assert answer.output_tokens == known[row["prompt_id"]]["output_tokens"]
        assert answer.latency_s == known[row["prompt_id"]]["latency_s"]
    assert len(prompts) == 928
    assert len(source.models) == 19
    # A prompt is looked up thousands of times faster than the suite is read.
    assert (time.monotonic() - begun) / len(prompts) < loaded / 100
