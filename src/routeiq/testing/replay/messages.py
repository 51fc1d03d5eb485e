"""Anthropic's `/v1/messages`: the message object, its event stream, its errors.

Owns the format only. `max_tokens` is accepted and ignored: the recorded answer is what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routeiq.testing.replay.surface import (
    BadRequest,
    Call,
    Frames,
    ProviderError,
    Reply,
    Surface,
    arguments_json,
    event,
    list_of,
    model_of,
    pieces_of,
    text_of,
    tool_names,
)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    504: "timeout_error",
}


def _has_result(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(p, dict) and p.get("type") == "tool_result" for p in content)


def _read(body: Mapping[str, Any]) -> Call:
    messages = list_of(body, "messages")
    users = [m for m in messages if m.get("role") == "user"]
    if not users:
        raise BadRequest("'messages' holds no message with the role 'user'")
    # A tool's result travels as a user message here; the question is the user message before it.
    asked = next((m for m in reversed(users) if not _has_result(m.get("content"))), users[-1])
    tools = () if _has_result(users[-1].get("content")) else tool_names(body)
    return Call(model_of(body), text_of(asked.get("content")), tools, body.get("stream") is True)


def _usage(reply: Reply, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _message(reply: Reply, content: list[dict[str, Any]], stop: str | None, output_tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.serial}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": _usage(reply, output_tokens),
    }


def _stop_reason(reply: Reply) -> str:
    return "end_turn" if reply.answer.tool_call is None else "tool_use"


def _block(reply: Reply, filled: bool) -> dict[str, Any]:
    call = reply.answer.tool_call
    if call is None:
        return {"type": "text", "text": reply.answer.text if filled else ""}
    arguments = dict(call.arguments) if filled else {}
    return {"type": "tool_use", "id": f"toolu_{reply.serial}", "name": call.name, "input": arguments}


def _body(reply: Reply) -> bytes:
    content = [_block(reply, filled=True)]
    return orjson.dumps(_message(reply, content, _stop_reason(reply), reply.answer.output_tokens))


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _frames(reply: Reply, call: Call) -> Frames:
    del call
    answer = reply.answer
    # Anthropic's own streams open with one output token counted and correct it at the end.
    head = _event("message_start", message=_message(reply, [], None, 1))
    head += _event("content_block_start", index=0, content_block=_block(reply, filled=False))
    head += _event("ping")
    if answer.tool_call is None:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces_of(answer.text)]
    else:
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in pieces_of(arguments_json(answer))]
    tail = _event("content_block_stop", index=0)
    tail += _event(
        "message_delta",
        delta={"stop_reason": _stop_reason(reply), "stop_sequence": None},
        usage={"output_tokens": answer.output_tokens},
    )
    pieces = [_event("content_block_delta", index=0, delta=delta) for delta in deltas]
    return Frames(head, pieces, tail + _event("message_stop"))


def _error(error: ProviderError, serial: str) -> bytes:
    kind = _ERROR_TYPES.get(error.status, "api_error")
    body = {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": f"req_{serial}"}
    return orjson.dumps(body)


MESSAGES = Surface("messages", _read, _body, _frames, _error)
