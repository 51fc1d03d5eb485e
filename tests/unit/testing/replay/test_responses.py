"""The responses surface, through the official OpenAI client."""

from __future__ import annotations

import json

import openai
import pytest

from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks import Task, ToolCall

MODEL = "sim-large"


def _flat(task: Task) -> list[dict[str, object]]:
    return [{"type": "function", **tool["function"]} for tool in task.tools or ()]


def test_a_response_carries_the_answer_and_its_usage(openai_client: openai.OpenAI, text_task: Task) -> None:
    """A string as input, a text as output, and usage that adds up."""
    reply = openai_client.responses.create(model=MODEL, input=text_task.prompt)
    assert text_task.passes(reply.output_text)
    assert reply.status == "completed"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens


def test_a_streamed_response_has_its_events_in_order(openai_client: openai.OpenAI, text_task: Task) -> None:
    """Created first, completed last, deltas that join to the text, rising sequence numbers."""
    items = [{"role": "user", "content": [{"type": "input_text", "text": text_task.prompt}]}]
    events = list(openai_client.responses.create(model=MODEL, input=items, stream=True))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert text_task.passes(text)


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_call_is_an_output_item(openai_client: openai.OpenAI, call_task: Task, stream: bool) -> None:
    """Name and arguments pass the task's check, whole and at the end of the stream."""
    if stream:
        with openai_client.responses.stream(model=MODEL, input=call_task.prompt, tools=_flat(call_task)) as events:
            output = events.get_final_response().output
    else:
        output = openai_client.responses.create(model=MODEL, input=call_task.prompt, tools=_flat(call_task)).output
    assert output[0].type == "function_call"
    assert call_task.passes("", ToolCall(output[0].name, json.loads(output[0].arguments)))


def test_a_response_after_a_functions_result_is_a_text(openai_client: openai.OpenAI, call_task: Task) -> None:
    """An agent loop over the provider comes to an end."""
    items = [
        {"role": "user", "content": call_task.prompt},
        {"type": "function_call", "call_id": "c1", "name": "x", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
    ]
    reply = openai_client.responses.create(model=MODEL, input=items, tools=_flat(call_task))
    assert reply.output_text


def test_input_is_counted_without_an_answer(openai_client: openai.OpenAI, provider: ReplayProcess) -> None:
    """The count grows with the input, and the journal does not list the count as a call."""
    counts = [
        openai_client.responses.input_tokens.count(model=MODEL, input=text) for text in ("short", "far longer, so")
    ]
    assert counts[0].object == "response.input_tokens"
    assert counts[0].input_tokens < counts[1].input_tokens
    assert provider.journal() == []
