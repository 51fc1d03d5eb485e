"""Anthropic's messages, through its official client."""

from __future__ import annotations

import anthropic
import pytest

from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks import Task, ToolCall

MODEL = "sim-large"


def _tools(task: Task) -> list[dict[str, object]]:
    functions = [tool["function"] for tool in task.tools or ()]
    return [{"name": f["name"], "description": f["description"], "input_schema": f["parameters"]} for f in functions]


def _ask(task: Task, **more: object) -> dict[str, object]:
    return {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": task.prompt}], **more}


def test_a_message_carries_the_answer_and_its_usage(anthropic_client: anthropic.Anthropic, text_task: Task) -> None:
    """One text block, the stop reason end_turn, tokens in and out."""
    message = anthropic_client.messages.create(**_ask(text_task))
    assert text_task.passes(message.content[0].text)
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_a_streamed_message_is_the_same_message(anthropic_client: anthropic.Anthropic, text_task: Task) -> None:
    """The client puts the events together to the message of the call without stream."""
    whole = anthropic_client.messages.create(**_ask(text_task))
    with anthropic_client.messages.stream(**_ask(text_task)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == final.content[0].text == whole.content[0].text
    assert len(pieces) > 2
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_use_is_a_block(anthropic_client: anthropic.Anthropic, call_task: Task, stream: bool) -> None:
    """Name and input pass the task's check, whole and put together from the stream."""
    ask = _ask(call_task, tools=_tools(call_task))
    if stream:
        with anthropic_client.messages.stream(**ask) as events:
            message = events.get_final_message()
    else:
        message = anthropic_client.messages.create(**ask)
    assert message.stop_reason == "tool_use"
    assert call_task.passes("", ToolCall(message.content[0].name, message.content[0].input))


def test_a_message_after_a_tools_result_is_a_text(anthropic_client: anthropic.Anthropic, call_task: Task) -> None:
    """The question is the user message before the result, and the answer no further call."""
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "42"}
    messages = [
        {"role": "user", "content": call_task.prompt},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "x", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    message = anthropic_client.messages.create(**_ask(call_task, tools=_tools(call_task)) | {"messages": messages})
    assert message.content[0].type == "text"
    assert call_task.answer.name in message.content[0].text


def test_errors_have_anthropics_form(anthropic_client: anthropic.Anthropic, provider: ReplayProcess) -> None:
    """Unknown model, rate limit and bad key raise the client's own exceptions with Anthropic's types."""
    ask = {"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(anthropic.NotFoundError) as missing:
        anthropic_client.messages.create(model="claude-none", **ask)
    assert missing.value.body["error"]["type"] == "not_found_error"
    provider.fault(MODEL, "error_429", times=1)
    with pytest.raises(anthropic.RateLimitError) as limited:
        anthropic_client.messages.create(model=MODEL, **ask)
    assert limited.value.body["error"]["type"] == "rate_limit_error"
    provider.fault(MODEL, "error_401", times=1)
    with pytest.raises(anthropic.AuthenticationError):
        anthropic_client.messages.create(model=MODEL, **ask)


def test_tokens_are_counted_without_an_answer(anthropic_client: anthropic.Anthropic, provider: ReplayProcess) -> None:
    """The count grows with the prompt, and the journal does not list the count as a call."""
    counts = [
        anthropic_client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": text}]).input_tokens
        for text in ("short", "a good deal longer than that")
    ]
    assert counts[0] < counts[1]
    assert provider.journal() == []
