"""The two APIs that compound models are served on: what a body asks, what an answer says, how either is rewritten.

Owns the reading and writing of chat completions and of Anthropic messages as mappings. Streams are `streams`'.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from routeiq.core.outcome import Usage
from routeiq.core.request import Surface
from routeiq.routing.compound.steps import Question

_CARRIED = ("user", "metadata", "tags", "litellm_session_id", "litellm_trace_id", "service_tier")
"""Keys of a body that say on whose account a call is made; they go with every call."""


class Form(Protocol):
    """One API."""

    @property
    def surface(self) -> Surface:
        """Which one."""
        ...

    def question(self, body: Mapping[str, Any]) -> Question:
        """Return what is asked."""
        ...

    def put(self, body: Mapping[str, Any], model: str, prompt: str) -> dict[str, Any]:
        """Return the body of a call that puts a prompt of ours to a model, on the account of `body`."""
        ...

    def asks_for_usage(self, body: Mapping[str, Any]) -> bool:
        """Return whether a stream is to say what was used."""
        ...

    def stream_options(self) -> dict[str, Any]:
        """Return what a body must hold so that its stream says what was used."""
        ...

    def text(self, answer: Mapping[str, Any]) -> str:
        """Return the text of an answer; calls of tools are written out."""
        ...

    def usage(self, answer: Mapping[str, Any]) -> Usage:
        """Return the tokens that an answer states."""
        ...

    def rewritten(self, answer: Mapping[str, Any], name: str, text: str | None, usage: Usage) -> dict[str, Any]:
        """Return an answer under another model's name and with other usage; `text`, if any, is all it says."""
        ...


def original(body: Mapping[str, Any], model: str, stream: bool, notes: str | None, fresh: bool) -> dict[str, Any]:
    """Return the client's own request for another model; `fresh` answers must not come from a cache."""
    asked = {**body, "model": model, "stream": stream}
    asked.pop("stream_options", None)
    if notes is not None:
        asked["messages"] = _noted(list(body.get("messages") or []), notes)
    if fresh:
        asked["cache"] = {"no-cache": True}
    return asked


def _noted(messages: list[Any], notes: str) -> list[Any]:
    last = messages[-1] if messages else None
    if not isinstance(last, Mapping) or last.get("role") != "user":
        return [*messages, {"role": "user", "content": notes}]
    content = last.get("content")
    said = content if isinstance(content, list) else [{"type": "text", "text": str(content or "")}]
    if isinstance(content, str):
        return [*messages[:-1], {**last, "content": f"{content}\n\n{notes}"}]
    return [*messages[:-1], {**last, "content": [*said, {"type": "text", "text": notes}]}]


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _only_text(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(p, Mapping) and p.get("type") == "text" for p in content)


def _question(body: Mapping[str, Any], system: Any) -> Question:
    messages = [m for m in body.get("messages") or [] if isinstance(m, Mapping)]
    rules = [m.get("content") for m in messages if m.get("role") in ("system", "developer")]
    turns = [m for m in messages if m.get("role") not in ("system", "developer")]
    single = len(turns) == 1 and turns[0].get("role") == "user"
    plain = single and _only_text(turns[0].get("content")) and not body.get("tools") and not body.get("functions")
    said = (
        [_words(turns[0].get("content"))] if single else [f"{m.get('role')}: {_words(m.get('content'))}" for m in turns]
    )
    told = (_words(rule) for rule in [system, *rules])
    return Question("\n\n".join(part for part in [*told, *said] if part), plain)


def _carried(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, body[key]) for key in _CARRIED if key in body)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class ChatForm:
    """OpenAI's chat completions."""

    surface: Surface = Surface.CHAT

    def question(self, body: Mapping[str, Any]) -> Question:
        """Return what is asked: instructions and the last turn, or the whole conversation with its speakers."""
        return _question(body, None)

    def put(self, body: Mapping[str, Any], model: str, prompt: str) -> dict[str, Any]:
        """Return a call of one user turn."""
        return {**dict(_carried(body)), "model": model, "messages": [{"role": "user", "content": prompt}]}

    def asks_for_usage(self, body: Mapping[str, Any]) -> bool:
        """Return what `stream_options.include_usage` says."""
        return _mapping(body.get("stream_options")).get("include_usage") is True

    def stream_options(self) -> dict[str, Any]:
        """Return `include_usage`."""
        return {"stream_options": {"include_usage": True}}

    def text(self, answer: Mapping[str, Any]) -> str:
        """Return the first choice's content, or its calls of tools."""
        choices = answer.get("choices")
        message = _mapping(_mapping(choices[0]).get("message")) if isinstance(choices, list) and choices else {}
        said = _words(message.get("content"))
        calls = [_mapping(_mapping(c).get("function")) for c in message.get("tool_calls") or []]
        return "\n".join([*([said] if said else []), *(f"{c.get('name')}({c.get('arguments')})" for c in calls)])

    def usage(self, answer: Mapping[str, Any]) -> Usage:
        """Return prompt and completion tokens."""
        used = _mapping(answer.get("usage"))
        return Usage(_count(used.get("prompt_tokens")), _count(used.get("completion_tokens")))

    def rewritten(self, answer: Mapping[str, Any], name: str, text: str | None, usage: Usage) -> dict[str, Any]:
        """Return the completion; details of usage stay those of the call that answered."""
        used = {**_mapping(answer.get("usage")), **chat_usage(usage)}
        changed = {**answer, "model": name, "usage": used}
        if text is not None:
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            changed["choices"] = [choice]
        return changed


def chat_usage(usage: Usage) -> dict[str, int]:
    """Return usage under the names of chat completions."""
    tokens = usage.input_tokens + usage.output_tokens
    return {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens, "total_tokens": tokens}


@dataclass(frozen=True, slots=True)
class MessagesForm:
    """Anthropic's messages."""

    surface: Surface = Surface.MESSAGES

    def question(self, body: Mapping[str, Any]) -> Question:
        """Return what is asked: the system prompt and the last turn, or the whole conversation with its speakers."""
        return _question(body, body.get("system"))

    def put(self, body: Mapping[str, Any], model: str, prompt: str) -> dict[str, Any]:
        """Return a call of one user turn; the client's `max_tokens` holds, as this API wants one."""
        said = [{"role": "user", "content": prompt}]
        return {**dict(_carried(body)), "model": model, "messages": said, "max_tokens": body.get("max_tokens", 1024)}

    def asks_for_usage(self, body: Mapping[str, Any]) -> bool:
        """Return True: every stream of this API says what was used."""
        return True

    def stream_options(self) -> dict[str, Any]:
        """Return nothing: every stream says it."""
        return {}

    def text(self, answer: Mapping[str, Any]) -> str:
        """Return the text blocks, and the calls of tools."""
        blocks = [_mapping(block) for block in answer.get("content") or []]
        said = [str(block["text"]) for block in blocks if isinstance(block.get("text"), str)]
        return "\n".join(
            [*said, *(f"{b.get('name')}({b.get('input')})" for b in blocks if b.get("type") == "tool_use")]
        )

    def usage(self, answer: Mapping[str, Any]) -> Usage:
        """Return input and output tokens."""
        used = _mapping(answer.get("usage"))
        return Usage(_count(used.get("input_tokens")), _count(used.get("output_tokens")))

    def rewritten(self, answer: Mapping[str, Any], name: str, text: str | None, usage: Usage) -> dict[str, Any]:
        """Return the message; details of usage stay those of the call that answered."""
        tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        changed = {**answer, "model": name, "usage": {**_mapping(answer.get("usage")), **tokens}}
        if text is not None:
            changed["content"] = [{"type": "text", "text": text}]
            changed["stop_reason"] = "end_turn"
        return changed
