"""Chat completions and completions, through the official OpenAI client."""

from __future__ import annotations

import json

import openai
import pytest

from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks import Task, ToolCall

MODEL = "sim-large"


def test_a_chat_completion_carries_the_answer_and_its_usage(openai_client: openai.OpenAI, text_task: Task) -> None:
    """The text passes the task's own check and the usage adds up."""
    reply = openai_client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text_task.prompt}],
    )
    assert text_task.passes(reply.choices[0].message.content or "")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


def test_a_streamed_chat_completion_says_the_same_and_ends_with_its_usage(
    openai_client: openai.OpenAI, text_task: Task
) -> None:
    """Joined chunks are the whole answer, and the usage comes alone in the last chunk."""
    messages = [{"role": "user", "content": text_task.prompt}]
    whole = openai_client.chat.completions.create(model=MODEL, messages=messages)
    chunks = list(
        openai_client.chat.completions.create(
            model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 4
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_without_the_option_has_no_usage(openai_client: openai.OpenAI) -> None:
    """Usage is sent only when asked for."""
    chunks = openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hello"}], stream=True
    )
    assert [chunk.usage for chunk in chunks if chunk.usage] == []


def test_every_response_has_an_id_of_its_own(openai_client: openai.OpenAI) -> None:
    """Two answers to one prompt have different ids."""
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    assert openai_client.chat.completions.create(**ask).id != openai_client.chat.completions.create(**ask).id


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_comes_when_its_tools_were_offered(
    openai_client: openai.OpenAI, call_task: Task, stream: bool
) -> None:
    """Name and arguments pass the task's check, whole and put together from the stream."""
    ask = {"model": MODEL, "messages": [{"role": "user", "content": call_task.prompt}], "tools": call_task.tools}
    if stream:
        with openai_client.chat.completions.stream(**ask) as events:
            choice = events.get_final_completion().choices[0]
    else:
        choice = openai_client.chat.completions.create(**ask).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    function = choice.message.tool_calls[0].function
    assert call_task.passes("", ToolCall(function.name, json.loads(function.arguments)))


def test_a_conversation_that_holds_a_tools_result_ends_with_a_text(
    openai_client: openai.OpenAI, call_task: Task
) -> None:
    """An agent loop over the provider comes to an end."""
    call = {"id": "c1", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": call_task.prompt},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    reply = openai_client.chat.completions.create(model=MODEL, messages=messages, tools=call_task.tools)
    assert reply.choices[0].message.tool_calls is None
    assert reply.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_completions_answer_a_plain_prompt(openai_client: openai.OpenAI, text_task: Task, stream: bool) -> None:
    """The older surface gives the same answer, whole and streamed."""
    reply = openai_client.completions.create(model=MODEL, prompt=text_task.prompt, stream=stream)
    text = "".join(part.choices[0].text for part in reply) if stream else reply.choices[0].text
    assert text_task.passes(text)


def test_parts_of_a_message_are_read_as_one_prompt(openai_client: openai.OpenAI, text_task: Task) -> None:
    """A prompt sent as a list of text parts finds its answer."""
    parts = [{"type": "text", "text": text_task.prompt}]
    reply = openai_client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    assert text_task.passes(reply.choices[0].message.content or "")


def test_an_unknown_model_is_not_found(openai_client: openai.OpenAI) -> None:
    """The error is OpenAI's: 404 with the code model_not_found, naming the model."""
    with pytest.raises(openai.NotFoundError, match="'gpt-none' does not exist") as caught:
        openai_client.chat.completions.create(model="gpt-none", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "'model' must be"),
        ({"model": MODEL, "messages": []}, "'messages' must be"),
        ({"model": MODEL, "messages": [{"role": "system", "content": "x"}]}, "role 'user'"),
    ],
)
def test_a_bad_body_is_refused_with_what_was_expected(
    openai_client: openai.OpenAI, provider: ReplayProcess, body: dict[str, object], said: str
) -> None:
    """The answer is 400 in OpenAI's form, and the journal has it."""
    with pytest.raises(openai.BadRequestError, match=said):
        openai_client.post("/chat/completions", body=body, cast_to=object)
    assert [row.status for row in provider.journal()] == [400]
