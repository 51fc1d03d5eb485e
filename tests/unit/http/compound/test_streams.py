"""Streams of compound models: answers told as streams, and streams passed on."""

import json
from typing import Any

import pytest

from routeiq.core.outcome import Usage
from routeiq.core.request import Surface
from routeiq.http.compound.streams import Relay, told

CHUNKS: list[dict[str, Any]] = [
    {"model": "big", "choices": [{"index": 0, "delta": {"content": "Hé"}}]},
    {"model": "big", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"model": "big", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
]
MESSAGE: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"model": "big", "usage": {"input_tokens": 5, "output_tokens": 0}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
]


def wire(events: list[dict[str, Any]], end: str = "\n\n") -> bytes:
    """Events as they come from a server."""
    return "".join(f"data: {json.dumps(event, ensure_ascii=False)}{end}" for event in events).encode()


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, without its end mark."""
    lines = [line.removeprefix("data: ") for line in data.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_a_stream_is_passed_on_however_it_is_cut(size: int, end: str) -> None:
    """The name and the sum of usage stand in it, and pieces of any size give the same events."""
    data = wire(CHUNKS, end) + b"data: [DONE]" + end.encode()
    relay = Relay(Surface.CHAT, "careful", Usage(10, 3), with_usage=True)
    sent = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.end()
    found = events(sent)
    assert {event["model"] for event in found} == {"careful"}
    assert found[0]["choices"][0]["delta"]["content"] == "Hé"
    assert found[-1]["usage"] == {"prompt_tokens": 15, "completion_tokens": 5, "total_tokens": 20}
    assert relay.usage == Usage(5, 2)
    assert sent.endswith(b"data: [DONE]\n\n")
    assert not relay.broken


def test_usage_that_nobody_asked_for_is_kept_back() -> None:
    """Usage is read for the account, and the client's stream is as it would have been."""
    relay = Relay(Surface.CHAT, "careful", Usage(), with_usage=False)
    found = events(relay.feed(wire(CHUNKS)) + relay.end())
    assert [bool(event["choices"]) for event in found] == [True, True]
    assert relay.usage == Usage(5, 2)


def test_a_message_stream_states_the_sum() -> None:
    """Anthropic's events carry input tokens at the start and output tokens at the end."""
    relay = Relay(Surface.MESSAGES, "careful", Usage(10, 3), with_usage=True)
    found = events(relay.feed(wire(MESSAGE)))
    assert found[0]["message"]["model"] == "careful"
    assert found[0]["message"]["usage"]["input_tokens"] == 15
    assert found[-1]["usage"]["output_tokens"] == 5
    assert relay.usage == Usage(5, 2)


def test_a_stream_that_breaks_is_known() -> None:
    """An error event goes on to the client and marks the stream; a comment and half an event go on as they are."""
    relay = Relay(Surface.CHAT, "careful", Usage(), with_usage=False)
    sent = relay.feed(b': wait\n\ndata: {"error": {"message": "gone"}}\n\ndata: {"cho') + relay.end()
    assert relay.broken
    assert sent.startswith(b": wait\n\n")
    assert b'data: {"cho' in sent


def test_an_answer_with_tools_is_told_as_a_stream() -> None:
    """Text comes in pieces, and a call of a tool whole, on both surfaces."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": {"content": "x" * 450, "tool_calls": [call]}}
    answer = {"id": "a", "model": "careful", "choices": [choice], "usage": {"total_tokens": 3}}
    deltas = [event["choices"][0]["delta"] for event in events(told(Surface.CHAT, answer, with_usage=False))]
    assert "".join(delta.get("content") or "" for delta in deltas) == "x" * 450
    assert [delta["tool_calls"][0]["function"]["name"] for delta in deltas if "tool_calls" in delta] == ["f"]
    blocks = [{"type": "text", "text": "hello"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]
    message = {
        "id": "m",
        "model": "careful",
        "content": blocks,
        "stop_reason": "tool_use",
        "usage": {"output_tokens": 4},
    }
    kinds = [event["type"] for event in events(told(Surface.MESSAGES, message, with_usage=True))]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
