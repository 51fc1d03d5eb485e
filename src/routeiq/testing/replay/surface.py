"""What the wire formats have in common: the call they read, the reply they write, and their errors.

Owns no format: each of `chat`, `completions`, `responses` and `messages` turns a JSON body into a `Call` and a `Reply`
into bytes, and `app` drives them all alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from routeiq.testing.replay.answers import Answer

MAX_PIECES = 16
_WORD = re.compile(r"\s*\S+\s*")


class BadRequest(ValueError):
    """The body is not what this surface accepts; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the provider needs of a request.

    `prompt` is the text of the last user message. `tools` names the tools on offer; it is empty when the conversation
    already holds a tool's result, so that an agent loop ends with a text.
    """

    model: str
    prompt: str
    tools: tuple[str, ...]
    stream: bool
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the identity it travels under."""

    serial: str
    created: int
    model: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed reply: what opens it, the pieces that pace it, what ends it. `head` goes out with the first piece."""

    head: bytes
    pieces: Sequence[bytes]
    tail: bytes


@dataclass(frozen=True, slots=True)
class ProviderError:
    """An error a real provider would answer: HTTP status, its type and code (OpenAI's words), and the text."""

    status: int
    kind: str
    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Surface:
    """One wire format: `name` as the journal writes it, and the four functions that make it."""

    name: str
    read: Callable[[Mapping[str, Any]], Call]
    body: Callable[[Reply], bytes]
    frames: Callable[[Reply, Call], Frames]
    error: Callable[[ProviderError, str], bytes]


def openai_error(error: ProviderError, serial: str) -> bytes:
    """OpenAI's error body; it carries no request id."""
    del serial
    return orjson.dumps({"error": {"message": error.message, "type": error.kind, "param": None, "code": error.code}})


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """One server-sent event, with an `event:` line when it has a name."""
    prefix = b"" if name is None else b"event: " + name.encode() + b"\n"
    return prefix + b"data: " + orjson.dumps(data) + b"\n\n"


def pieces_of(text: str) -> list[str]:
    """The text in at most `MAX_PIECES` parts that break between words; joined they are the text again."""
    words = _WORD.findall(text)
    if not words:
        return [text]
    step = -(-len(words) // MAX_PIECES)
    return ["".join(words[i : i + step]) for i in range(0, len(words), step)]


def arguments_json(answer: Answer) -> str:
    """The arguments of the answer's tool call as JSON text."""
    call = answer.tool_call
    return "{}" if call is None else orjson.dumps(dict(call.arguments)).decode()


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list joined by line ends."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (p if isinstance(p, str) else p.get("text") for p in content if isinstance(p, str | dict))
        return "\n".join(p for p in parts if isinstance(p, str))
    return ""


def model_of(body: Mapping[str, Any]) -> str:
    """The requested model, or `BadRequest`."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest(f"'model' must be a non-empty string, got {type(model).__name__}")
    return model


def list_of(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """A required, non-empty list of objects, or `BadRequest`."""
    value = body.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"'{key}' must be a non-empty list of objects, got {type(value).__name__}")
    return value


def tool_names(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the tools offered, in any of the three shapes in use; none when `tool_choice` is "none"."""
    choice = body.get("tool_choice")
    if choice == "none" or (isinstance(choice, dict) and choice.get("type") == "none"):
        return ()
    names = []
    for tool in body.get("tools") or ():
        if isinstance(tool, dict):
            function = tool.get("function")
            name = function.get("name") if isinstance(function, dict) else tool.get("name")
            if isinstance(name, str):
                names.append(name)
    return tuple(names)
