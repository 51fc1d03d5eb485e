"""Streams of compound models: a finished answer told as one, and the answer of a call passed on with other usage.

Owns the server-sent events of chat completions and of Anthropic messages.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from routeiq.core.outcome import Usage
from routeiq.core.request import Surface
from routeiq.http.compound.forms import chat_usage

PIECE = 200
"""Characters of text per event when a finished answer is told as a stream."""


def told(surface: Surface, answer: Mapping[str, Any], with_usage: bool) -> bytes:
    """Return a finished answer in the form of a stream."""
    return b"".join(_message(answer) if surface is Surface.MESSAGES else _completion(answer, with_usage))


def _event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def _completion(answer: Mapping[str, Any], with_usage: bool) -> Iterator[bytes]:
    head = {"id": answer.get("id"), "created": answer.get("created"), "model": answer.get("model")}
    head["object"] = "chat.completion.chunk"

    def chunk(index: int, delta: Mapping[str, Any], finish: Any = None) -> bytes:
        return _event({**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    for choice in answer.get("choices") or []:
        index, message = choice.get("index", 0), choice.get("message") or {}
        yield chunk(index, {"role": "assistant", "content": ""})
        for piece in _pieces(message.get("content") or ""):
            yield chunk(index, {"content": piece})
        calls = [{**call, "index": at} for at, call in enumerate(message.get("tool_calls") or [])]
        if calls:
            yield chunk(index, {"tool_calls": calls})
        yield chunk(index, {}, choice.get("finish_reason") or "stop")
    if with_usage:
        yield _event({**head, "choices": [], "usage": answer.get("usage")})
    yield b"data: [DONE]\n\n"


def _message(answer: Mapping[str, Any]) -> Iterator[bytes]:
    used = answer.get("usage") or {}
    opened = {
        **answer,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**used, "output_tokens": 0},
    }
    yield _event({"type": "message_start", "message": opened}, "message_start")
    for index, block in enumerate(answer.get("content") or []):
        yield from _block(index, block)
    delta = {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")}
    tokens = {"output_tokens": used.get("output_tokens", 0)}
    yield _event({"type": "message_delta", "delta": delta, "usage": tokens}, "message_delta")
    yield _event({"type": "message_stop"}, "message_stop")


def _block(index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
    kind = block.get("type")
    empty = {"text": {**block, "text": ""}, "tool_use": {**block, "input": {}}}.get(str(kind), dict(block))
    yield _event({"type": "content_block_start", "index": index, "content_block": empty}, "content_block_start")
    deltas: list[Mapping[str, Any]] = []
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block.get("text") or "")]
    elif kind == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block.get("input") or {})}]
    for delta in deltas:
        yield _event({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
    yield _event({"type": "content_block_stop", "index": index}, "content_block_stop")


@dataclass(slots=True)
class Relay:
    """Passes a stream on under the compound model's name, `before` added to its usage.

    `usage` is what the stream itself has stated; `broken` whether it carried an error. Events go out whole and in
    order; what is not JSON goes out as it came.
    """

    surface: Surface
    name: str
    before: Usage
    with_usage: bool
    usage: Usage = Usage()
    broken: bool = False
    _rest: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on of what came so far."""
        *events, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        return b"".join(map(self._passed_on, events))

    def end(self) -> bytes:
        """Return what was left when the stream ended."""
        rest, self._rest = self._rest, b""
        return self._passed_on(rest) if rest.strip() else b""

    def _passed_on(self, event: bytes) -> bytes:
        head, mark, data = event.partition(b"data:")
        try:
            found = json.loads(data) if mark else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return event + b"\n\n"
        if "error" in found:
            self.broken = True
        changed = self._of_message(found) if self.surface is Surface.MESSAGES else self._of_chat(found)
        return b"" if changed is None else head + b"data: " + json.dumps(changed).encode() + b"\n\n"

    def _of_chat(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        if "model" in chunk:
            chunk["model"] = self.name
        used = chunk.get("usage")
        if not isinstance(used, dict):
            return chunk
        self.usage = Usage(used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0)
        if self.with_usage:
            return {**chunk, "usage": {**used, **chat_usage(self._total())}}
        del chunk["usage"]
        return chunk if chunk.get("choices") else None

    def _of_message(self, event: dict[str, Any]) -> dict[str, Any]:
        message = event.get("message")
        if event.get("type") == "message_start" and isinstance(message, dict):
            used = message.get("usage") or {}
            self.usage = replace(self.usage, input_tokens=used.get("input_tokens") or 0)
            used = {**used, "input_tokens": self._total().input_tokens}
            return {**event, "message": {**message, "model": self.name, "usage": used}}
        used = event.get("usage")
        if event.get("type") == "message_delta" and isinstance(used, dict):
            stated = used.get("input_tokens") or self.usage.input_tokens
            self.usage = Usage(stated, used.get("output_tokens") or 0)
            total = self._total()
            told = {"input_tokens": total.input_tokens} if "input_tokens" in used else {}
            return {**event, "usage": {**used, **told, "output_tokens": total.output_tokens}}
        return event

    def _total(self) -> Usage:
        return Usage(
            self.before.input_tokens + self.usage.input_tokens, self.before.output_tokens + self.usage.output_tokens
        )
