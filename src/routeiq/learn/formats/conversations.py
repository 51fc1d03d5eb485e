"""What LiteLLM's logs have in common: the prompt in a logged request, a score in its metadata, calls that do not count.

The prompt is what the gateway computes features from, so that training and serving see the same text: the last user
turn of a conversation that has any text, or the whole input of a completion.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from routeiq.learn.formats.answers import number
from routeiq.learn.formats.tables import nested

SCORE = "score"
"""Key of the metadata that a score is looked for under."""

NO_PROMPT = "holds no prompt; set general_settings.store_prompts_in_spend_logs before the traffic that you want to use"
NO_SCORE = (
    "holds no score; put one into the request's metadata under `score`, or give a file of `id,score` with --scores"
)
_ROUTED = ("completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses",
           "anthropic_messages", "aanthropic_messages", "generate_content", "agenerate_content", "")  # fmt: skip


def asked(*requests: Any) -> tuple[str, str | None]:
    """Return prompt and tools (as JSON) of the first of several logged forms of a request that holds a prompt."""
    tools = next((found for request in requests if (found := _tools(request))), None)
    for request in requests:
        turns = _turns(request)
        if found := _last_user_text(turns):
            return found, tools
    return "", tools


def stated_score(metadata: Any) -> float | None:
    """Return the score that a client left in a request's metadata, at its top or where LiteLLM keeps it."""
    for place in _places(nested(metadata)):
        found = number(place.get(SCORE))
        if found is not None:
            return found
    return None


def unusable(call_type: Any, status: Any) -> str | None:
    """Say why a call has nothing to learn from, None when it has."""
    kind = str(call_type or "").rsplit(".", 1)[-1]
    if kind not in _ROUTED:
        return f"call type {kind!r} is not one that is routed by prompt"
    if str(status or "success") not in ("success", "ok"):
        return f"the call ended as {str(status)!r}: the model did not answer"
    return None


def _places(metadata: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(metadata, Mapping):
        yield metadata
        for key in ("spend_logs_metadata", "requester_metadata"):
            if isinstance(inner := nested(metadata.get(key)), Mapping):
                yield inner


def _turns(request: Any) -> Any:
    found = nested(request)
    if isinstance(found, Mapping):
        # An endpoint's record wraps the request in `body`.
        body = nested(found.get("body"))
        found = body if isinstance(body, Mapping) else found
        found = next((nested(found[key]) for key in ("messages", "input", "prompt") if found.get(key)), None)
    return found


def _tools(request: Any) -> str | None:
    found = nested(request)
    body = nested(found.get("body")) if isinstance(found, Mapping) else None
    found = body if isinstance(body, Mapping) else found
    tools = nested(found.get("tools")) if isinstance(found, Mapping) else None
    return json.dumps(tools, ensure_ascii=False, sort_keys=True) if tools else None


def _last_user_text(turns: Any) -> str:
    if isinstance(turns, str):
        return turns
    if not isinstance(turns, Sequence):
        return ""
    if all(isinstance(turn, str) for turn in turns):
        return "\n".join(turns)
    for turn in reversed(turns):
        if isinstance(turn, Mapping) and turn.get("role", "user") == "user" and (found := _words(turn.get("content"))):
            return found
    return ""


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "\n".join(part for part in parts if isinstance(part, str))
