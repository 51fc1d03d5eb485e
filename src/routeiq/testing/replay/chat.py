"""OpenAI's `/v1/chat/completions` and `/v1/completions`: bodies and chunks.

Owns the two formats only. `max_tokens`, `stop` and `n` are accepted and ignored: the recorded answer is what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from routeiq.testing.replay.surface import (
    BadRequest,
    Call,
    Frames,
    Reply,
    Surface,
    arguments_json,
    event,
    list_of,
    model_of,
    openai_error,
    pieces_of,
    text_of,
    tool_names,
)

_DONE = b"data: [DONE]\n\n"
_FINGERPRINT = "fp_replay"


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _usage(reply: Reply) -> dict[str, Any]:
    answer = reply.answer
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _read_chat(body: Mapping[str, Any]) -> Call:
    messages = list_of(body, "messages")
    last_user = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=None)
    if last_user is None:
        raise BadRequest("'messages' holds no message with the role 'user'")
    has_result = any(m.get("role") in ("tool", "function") for m in messages[last_user:])
    return Call(
        model=model_of(body),
        prompt=text_of(messages[last_user].get("content")),
        tools=() if has_result else tool_names(body),
        stream=body.get("stream") is True,
        include_usage=_wants_usage(body),
    )


def _tool_call(reply: Reply, arguments: str) -> dict[str, Any]:
    call = reply.answer.tool_call
    name = call.name if call else ""
    return {"id": f"call_{reply.serial}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _chat_body(reply: Reply) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.answer.text, "refusal": None, "annotations": []}
    finish = "stop"
    if reply.answer.tool_call is not None:
        message["content"] = None
        message["tool_calls"] = [_tool_call(reply, arguments_json(reply.answer))]
        finish = "tool_calls"
    return orjson.dumps(
        {
            "id": f"chatcmpl-{reply.serial}",
            "object": "chat.completion",
            "created": reply.created,
            "model": reply.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": _usage(reply),
            "system_fingerprint": _FINGERPRINT,
        }
    )


def _chunk(reply: Reply, call: Call, delta: Mapping[str, Any] | None, finish: str | None) -> bytes:
    chunk: dict[str, Any] = {
        "id": f"chatcmpl-{reply.serial}",
        "object": "chat.completion.chunk",
        "created": reply.created,
        "model": reply.model,
        "system_fingerprint": _FINGERPRINT,
        "choices": [],
    }
    if delta is not None:
        chunk["choices"] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    if call.include_usage:
        chunk["usage"] = _usage(reply) if delta is None else None
    return event(chunk)


def _chat_frames(reply: Reply, call: Call) -> Frames:
    answer = reply.answer
    first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if answer.tool_call is None:
        deltas: list[dict[str, Any]] = [{"content": piece} for piece in pieces_of(answer.text)]
        finish = "stop"
    else:
        first = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_tool_call(reply, "")}]}
        parts = pieces_of(arguments_json(answer))
        deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
        finish = "tool_calls"
    tail = _chunk(reply, call, {}, finish)
    if call.include_usage:
        tail += _chunk(reply, call, None, None)
    return Frames(
        head=_chunk(reply, call, first, None),
        pieces=[_chunk(reply, call, delta, None) for delta in deltas],
        tail=tail + _DONE,
    )


def _read_completion(body: Mapping[str, Any]) -> Call:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("'prompt' must be a string or a list of one string")
    return Call(model_of(body), prompt, (), body.get("stream") is True, _wants_usage(body))


def _completion(reply: Reply, choices: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    return {
        "id": f"cmpl-{reply.serial}",
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "choices": choices,
        **extra,
    }


def _text_choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def _completion_body(reply: Reply) -> bytes:
    return orjson.dumps(_completion(reply, [_text_choice(reply.answer.text, "stop")], usage=_usage(reply)))


def _completion_frames(reply: Reply, call: Call) -> Frames:
    no_usage: dict[str, Any] = {"usage": None} if call.include_usage else {}
    pieces = [event(_completion(reply, [_text_choice(p, None)], **no_usage)) for p in pieces_of(reply.answer.text)]
    tail = event(_completion(reply, [_text_choice("", "stop")], **no_usage))
    if call.include_usage:
        tail += event(_completion(reply, [], usage=_usage(reply)))
    return Frames(head=b"", pieces=pieces, tail=tail + _DONE)


CHAT = Surface("chat.completions", _read_chat, _chat_body, _chat_frames, openai_error)
COMPLETIONS = Surface("completions", _read_completion, _completion_body, _completion_frames, openai_error)
