"""OpenAI's `/v1/responses`: the response object and its event stream.

Owns the format only. Nothing is stored: `previous_response_id` is accepted and ignored.
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


def _read(body: Mapping[str, Any]) -> Call:
    given = body.get("input")
    tools = tool_names(body)
    if isinstance(given, str):
        prompt = given
    else:
        items = list_of(body, "input")
        last_user = max((i for i, item in enumerate(items) if item.get("role") == "user"), default=None)
        if last_user is None:
            raise BadRequest("'input' holds no item with the role 'user'")
        prompt = text_of(items[last_user].get("content"))
        if any(item.get("type") == "function_call_output" for item in items[last_user:]):
            tools = ()
    return Call(model_of(body), prompt, tools, body.get("stream") is True)


def _item(reply: Reply, status: str, text: str | None, arguments: str | None) -> dict[str, Any]:
    """The one output item: a message, or a function call. `None` means the content is still to come."""
    call = reply.answer.tool_call
    if call is not None:
        return {
            "id": f"fc_{reply.serial}",
            "type": "function_call",
            "status": status,
            "name": call.name,
            "call_id": f"call_{reply.serial}",
            "arguments": arguments or "",
        }
    content = [] if text is None else [_part(text)]
    return {
        "id": f"msg_{reply.serial}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(reply: Reply, status: str) -> dict[str, Any]:
    done = status == "completed"
    answer = reply.answer
    usage = {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }
    return {
        "id": f"resp_{reply.serial}",
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": reply.model,
        "output": [_item(reply, "completed", answer.text, arguments_json(answer))] if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if done else None,
    }


def _body(reply: Reply) -> bytes:
    return orjson.dumps(_response(reply, "completed"))


class _Numbered:
    """Writes events with the rising `sequence_number` that clients order by."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, kind: str, **fields: Any) -> bytes:
        number, self._next = self._next, self._next + 1
        return event({"type": kind, "sequence_number": number, **fields}, kind)


def _frames(reply: Reply, call: Call) -> Frames:
    del call
    write = _Numbered()
    answer = reply.answer
    is_text = answer.tool_call is None
    pieces = pieces_of(answer.text if is_text else arguments_json(answer))
    where = {"item_id": _item(reply, "", None, None)["id"], "output_index": 0}
    head = write("response.created", response=_response(reply, "in_progress"))
    head += write("response.in_progress", response=_response(reply, "in_progress"))
    head += write("response.output_item.added", output_index=0, item=_item(reply, "in_progress", None, None))
    if is_text:
        where["content_index"] = 0
        head += write("response.content_part.added", **where, part=_part(""))
        deltas = [write("response.output_text.delta", **where, delta=p, logprobs=[]) for p in pieces]
        tail = write("response.output_text.done", **where, text=answer.text, logprobs=[])
        tail += write("response.content_part.done", **where, part=_part(answer.text))
    else:
        deltas = [write("response.function_call_arguments.delta", **where, delta=p) for p in pieces]
        name = answer.tool_call.name if answer.tool_call else ""
        tail = write("response.function_call_arguments.done", **where, name=name, arguments=arguments_json(answer))
    finished = _item(reply, "completed", answer.text, arguments_json(answer))
    tail += write("response.output_item.done", output_index=0, item=finished)
    tail += write("response.completed", response=_response(reply, "completed"))
    return Frames(head, deltas, tail)


RESPONSES = Surface("responses", _read, _body, _frames, openai_error)
