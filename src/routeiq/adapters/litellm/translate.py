"""LiteLLM's dictionaries to our nouns: requests, callers, candidates, outcomes.

Pure and tolerant: clients send what they like, so nothing here raises on a malformed request, and nothing here decides.
Reads of LiteLLM's running state (router, keys, price map) are `host`'s; the price map is handed in.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import isfinite
from typing import Any

from routeiq.core.candidate import Candidate
from routeiq.core.headers import hint
from routeiq.core.outcome import Outcome, Status, Usage
from routeiq.core.request import Caller, Capability, RouteRequest, Surface

BUCKETS = ("litellm_metadata", "metadata")
"""Where LiteLLM keeps what it knows of a request: in the first on surfaces whose clients have their own `metadata`."""

CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 1_000
"""What an image is taken to cost in prompt tokens, whatever its size; its base64 text is not counted."""
NESTING = 64
"""How deep message content is followed; no API nests deeper, and a hostile body must not exhaust the stack."""

SURFACES: Mapping[str, Surface] = {
    "acompletion": Surface.CHAT,
    "atext_completion": Surface.COMPLETION,
    "aresponses": Surface.RESPONSES,
    "anthropic_messages": Surface.MESSAGES,
    "aembedding": Surface.EMBEDDING,
}
"""LiteLLM's call types that are routed."""

PRICED_BY_CALL = frozenset({Surface.CHAT, Surface.COMPLETION})
"""Surfaces on which LiteLLM enters a deployment's own prices into its price map with every call."""

_SESSION_TEXT = 4_096
_SESSION_HEADERS = ("x-litellm-session-id", "x-session-id", "x-conversation-id", "x-model-affinity")
_IMAGES = frozenset({"image", "image_url", "input_image"})
_RESULT_ROLES = ("tool", "function")
_RESULTS = frozenset({"tool_result", "function_call_output", "computer_call_output", "mcp_approval_response"})
_OUTPUT_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MASTER = "litellm_proxy_master_key"
_CLIENT_CLOSED = 499


def bucket(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the dictionary, the same in all hooks and events, in which LiteLLM keeps what it knows of a request.

    LiteLLM takes `user_api_key_*` out of what clients send, so that such a name tells its own bucket from a client's.
    """
    first = None
    for holder in (data, data.get("litellm_params")):
        if isinstance(holder, Mapping):
            for name in BUCKETS:
                value = holder.get(name)
                if isinstance(value, dict):
                    if "user_api_key_hash" in value:
                        return value
                    first = first if first is not None else value
    return first


def caller(auth: Any, known: Mapping[str, Any]) -> Caller:
    """Return who is calling, from LiteLLM's `UserAPIKeyAuth` (or None) and the request's bucket."""
    key = known.get("user_api_key_hash") or getattr(auth, "api_key", None)
    role = getattr(auth, "user_role", None)
    tags = known.get("tags")
    return Caller(
        key_hash=_hashed(key),
        team=_text_or_none(known.get("user_api_key_team_id") or getattr(auth, "team_id", None)),
        user=_text_or_none(known.get("user_api_key_user_id") or getattr(auth, "user_id", None)),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list | tuple) else (),
        admin=getattr(role, "value", role) == "proxy_admin",
    )


def _hashed(key: Any) -> str | None:
    """Return LiteLLM's hash of a key. Its custom authentication may leave a key unhashed; ours never does."""
    if not isinstance(key, str) or not key:
        return None
    return key if key == _MASTER or _DIGEST.fullmatch(key) else sha256(key.encode()).hexdigest()


def request(
    data: Mapping[str, Any],
    alias: str,
    surface: Surface,
    request_id: str,
    auth: Any = None,
    sender: Caller | None = None,
) -> RouteRequest:
    """Return what is asked of the router. `data` is the request as LiteLLM's hooks see it, `sender` who sent it."""
    known = bucket(data) or {}
    sender = sender or caller(auth, known)
    headers = _headers(data, known)
    turns, system = _turns(data, surface), data.get("system") or data.get("instructions")
    characters, images = _measure([turns, system, data.get("tools"), data.get("functions")])
    named = (data.get("litellm_session_id"), known.get("session_id"), *map(headers.get, _SESSION_HEADERS))
    return RouteRequest(
        id=request_id,
        alias=alias,
        surface=surface,
        text=_asked(turns, surface),
        prompt_tokens=-(-characters // CHARACTERS_PER_TOKEN) + images * IMAGE_TOKENS,
        output_tokens=next((n for name in _OUTPUT_LIMITS if (n := _positive(data.get(name))) is not None), None),
        needs=_needs(data, surface, images),
        caller=sender,
        session=_session(named, sender, turns, system),
        hint=hint(headers),
        stream=data.get("stream") is True,
        tools=_tools(data),
        end_user=_end_user(data, known, auth),
        follows_up=_follows_up(turns),
        begins=not any(isinstance(text, str) and text for text in named) and not _answered(turns),
    )


def _end_user(data: Mapping[str, Any], known: Mapping[str, Any], auth: Any) -> str | None:
    """Return the person that the calling application names: LiteLLM's customer, else the body's `user`."""
    said = (known.get("user_api_key_end_user_id"), getattr(auth, "end_user_id", None), data.get("user"))
    return next((text for text in said if isinstance(text, str) and text), None)


def _follows_up(turns: Any) -> bool:
    """Return whether the last turn is the result of something that the model asked for, in any API's form."""
    last = turns[-1] if isinstance(turns, list) and turns else None
    if not isinstance(last, Mapping):
        return False
    content = last.get("content")
    parts = content if isinstance(content, list) else []
    kinds = {part.get("type") for part in (last, *parts) if isinstance(part, Mapping) and _is_text(part.get("type"))}
    return last.get("role") in _RESULT_ROLES or not kinds.isdisjoint(_RESULTS)


def _answered(turns: Any) -> bool:
    """Return whether a model's answer is among the turns."""
    turns = turns if isinstance(turns, list) else []
    return any(isinstance(turn, Mapping) and turn.get("role") in ("assistant", "model") for turn in turns)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def preview(body: Mapping[str, Any], headers: Mapping[str, str], sender: Caller) -> RouteRequest:
    """Return what a body sent to /routeiq/route asks for; its form tells which surface it is meant for."""
    surface = Surface.CHAT
    if "messages" not in body:
        surface = Surface.RESPONSES if "input" in body else Surface.COMPLETION
    data = {**body, "proxy_server_request": {"headers": dict(headers)}}
    return replace(request(data, str(body.get("model", "")), surface, request_id="preview"), caller=sender)


def _tools(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the schemas of the functions on offer, in any API's form; what is no mapping is left out."""
    offered = [data.get(name) for name in ("tools", "functions")]
    return tuple(tool for part in offered if isinstance(part, list) for tool in part if isinstance(tool, Mapping))


def _headers(data: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    headers: Mapping[Any, Any] = _mapping(_mapping(data.get("proxy_server_request")).get("headers"))
    headers = headers or _mapping(known.get("headers"))
    return {k.lower(): v for k, v in headers.items() if isinstance(k, str) and isinstance(v, str)}


def _turns(data: Mapping[str, Any], surface: Surface) -> Any:
    if surface is Surface.COMPLETION:
        return data.get("prompt")
    if surface in (Surface.RESPONSES, Surface.EMBEDDING):
        return data.get("input")
    return data.get("messages")


def _asked(turns: Any, surface: Surface) -> str:
    """Return the text that features are computed from: the last user turn that has any, or the whole plain input."""
    if isinstance(turns, str):
        return turns
    if not isinstance(turns, list):
        return ""
    if surface in (Surface.COMPLETION, Surface.EMBEDDING):
        return "\n".join(part for part in turns if isinstance(part, str))
    for turn in reversed(turns):
        if isinstance(turn, Mapping) and turn.get("role", "user") == "user" and (text := _words(turn.get("content"))):
            return text
    return ""


def _words(content: Any) -> str:
    """Return the text of a message's content: a string, or the text parts of a list joined by line breaks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "\n".join(text for text in texts if isinstance(text, str))


def _measure(value: Any) -> tuple[int, int]:
    """Return characters and images in anything nested. A list of token ids counts like the text it stands for."""
    characters = images = 0
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, Mapping) and depth < NESTING:
            kind = item.get("type")  # in a tool's schema this may be a property of that name
            if isinstance(kind, str) and kind in _IMAGES:
                images += 1
                continue
            waiting.extend((part, depth + 1) for part in item.values())
        elif isinstance(item, list) and depth < NESTING:
            if item and isinstance(item[0], int):
                characters += len(item) * CHARACTERS_PER_TOKEN
            else:
                waiting.extend((part, depth + 1) for part in item)
    return characters, images


def _needs(data: Mapping[str, Any], surface: Surface, images: int) -> frozenset[Capability]:
    if surface is Surface.EMBEDDING:
        return frozenset({Capability.EMBEDDING})
    needs = set()
    if data.get("tools") or data.get("functions"):
        needs.add(Capability.TOOLS)
    if images:
        needs.add(Capability.VISION)
    text = data.get("text")
    form = data.get("response_format") or (text.get("format") if isinstance(text, Mapping) else None)
    if isinstance(form, Mapping) and str(form.get("type", "")).startswith("json"):
        needs.add(Capability.JSON_MODE)
    return frozenset(needs)


def _session(said: Iterable[Any], sender: Caller, turns: Any, system: Any) -> str | None:
    """Return the conversation's id: what the client says, else a digest of key, system prompt and first user turn."""
    named = next((text for text in said if isinstance(text, str) and text), None)
    if named is not None or not isinstance(turns, list):
        return named
    messages = [turn for turn in turns if isinstance(turn, Mapping)]
    first = next((text for m in messages if m.get("role") == "user" and (text := _words(m.get("content")))), None)
    if first is None:
        return None
    rules = next((m.get("content") for m in messages if m.get("role") in ("system", "developer")), system)
    parts = (sender.key_hash or "", _words(rules)[:_SESSION_TEXT], first[:_SESSION_TEXT])
    return sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def candidates(model_list: Iterable[Any], prices: Mapping[str, Mapping[str, Any]] | None = None) -> list[Candidate]:
    """Return one candidate per model name, in the order of the list.

    `model_list` is LiteLLM's, from a file or from its router; `prices` is its price map (None: LiteLLM is imported for
    it, which takes seconds). What the operator states in `litellm_params` or `model_info` comes before the map. Entries
    of one name are merged to what all of them can do: the smallest window, the common capabilities, the mean price.
    """
    if prices is None:
        import litellm

        prices = litellm.model_cost
    grouped: dict[str, list[Candidate]] = {}
    for entry in model_list:
        if isinstance(entry, Mapping) and isinstance(name := entry.get("model_name"), str):
            grouped.setdefault(name, []).append(_candidate(name, entry, prices))
    return [_merged(found) for found in grouped.values()]


def _candidate(name: str, entry: Mapping[str, Any], prices: Mapping[str, Mapping[str, Any]]) -> Candidate:
    params, info = _mapping(entry.get("litellm_params")), _mapping(entry.get("model_info"))
    listed = _listed(params, info, prices)
    stated = {**listed, **{k: v for part in (params, info) for k, v in part.items() if v is not None}}
    return Candidate(
        name=name,
        usd_per_input_token=_number(stated.get("input_cost_per_token")),
        usd_per_output_token=_number(stated.get("output_cost_per_token")),
        context_window=_positive(stated.get("max_input_tokens")),
        capabilities=_capabilities(stated, curated=bool(listed)),
        region=_text_or_none(next((stated.get(k) for k in _REGIONS if stated.get(k)), None)),
        size=_number(info.get("size")),
        weight=1.0 if (weight := _number(info.get("weight"))) is None else weight,
        quality=_number(info.get("quality")),
        latency_s=_number(info.get("latency_s")),
        usd_per_cached_token=_number(stated.get("cache_read_input_token_cost")),
        benchmarks=_shares(info.get("benchmarks")),
    )


def _shares(found: Any) -> dict[str, float] | None:
    """Return the numbers from 0 to 1 of a mapping by name, None when there is none."""
    numbers = {str(name): _number(value) for name, value in _mapping(found).items()}
    return {name: value for name, value in numbers.items() if value is not None and 0.0 <= value <= 1.0} or None


_REGIONS = ("region", "region_name", "aws_region_name", "vertex_location")
_FLAGS = {
    Capability.TOOLS: "supports_function_calling",
    Capability.VISION: "supports_vision",
    Capability.JSON_MODE: "supports_response_schema",
}


def _listed(
    params: Mapping[str, Any], info: Mapping[str, Any], prices: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    names = [name for name in (info.get("base_model"), params.get("base_model"), params.get("model")) if name]
    names += [name.split("/", 1)[1] for name in names if isinstance(name, str) and "/" in name]
    return next((_mapping(prices[name]) for name in names if isinstance(name, str) and name in prices), {})


def _capabilities(stated: Mapping[str, Any], curated: bool) -> frozenset[Capability] | None:
    """Return what a model can do, None when nobody says. The price map names tools and vision, not JSON mode."""
    mode = stated.get("mode")
    if mode == "embedding":
        return frozenset({Capability.EMBEDDING})
    if not curated and mode is None and not any(flag in stated for flag in _FLAGS.values()):
        return None
    able = {c for c, flag in _FLAGS.items() if stated.get(flag, not curated or c is Capability.JSON_MODE) is True}
    return frozenset(able if mode is not None else able | {Capability.EMBEDDING})


def _merged(found: Sequence[Candidate]) -> Candidate:
    if len(found) == 1:
        return found[0]
    able = [c.capabilities for c in found if c.capabilities is not None]
    return replace(
        found[0],
        usd_per_input_token=_mean(c.usd_per_input_token for c in found),
        usd_per_output_token=_mean(c.usd_per_output_token for c in found),
        usd_per_cached_token=_mean(c.usd_per_cached_token for c in found),
        context_window=min((c.context_window for c in found if c.context_window is not None), default=None),
        capabilities=frozenset.intersection(*able) if able else None,
        region=found[0].region if len({c.region for c in found}) == 1 else None,
        size=next((c.size for c in found if c.size is not None), None),
        quality=next((c.quality for c in found if c.quality is not None), None),
        latency_s=next((c.latency_s for c in found if c.latency_s is not None), None),
        benchmarks=next((c.benchmarks for c in found if c.benchmarks is not None), None),
    )


def success(event: Mapping[str, Any], start: Any, end: Any, outcome: Outcome) -> Outcome:
    """Return `outcome` completed by what LiteLLM logged of a call that was answered.

    `event` is the `kwargs` of its success event, `start` and `end` the datetimes of the attempt that was served.
    LiteLLM reports a stream that the client left as a success over what was sent, and marks it.
    """
    payload = _mapping(event.get("standard_logging_object"))
    streamed = event.get("stream") is True or payload.get("stream") is True
    left = _mapping(event.get("metadata")).get("client_disconnected") is True
    cost = event.get("response_cost")
    return replace(
        outcome,
        status=Status.CANCELLED if left else Status.SUCCESS,
        usage=Usage(_positive(payload.get("prompt_tokens")) or 0, _positive(payload.get("completion_tokens")) or 0),
        cost_usd=_number(payload.get("response_cost") if cost is None else cost),
        latency_s=_between(start, end),
        ttft_s=_between(start, event.get("completion_start_time")) if streamed else None,
        streamed=streamed,
        cached=event.get("cache_hit") is True,
    )


def priced(outcome: Outcome, candidate: Candidate | None) -> Outcome:
    """Return the outcome with a cost from the price list where LiteLLM has none.

    LiteLLM logs 0 for a model that it has no price of, and for responses and messages of one that was priced by the
    operator. What remains unknown is None, so that nothing is taken to be free.
    """
    if outcome.cost_usd or outcome.cached:
        return outcome
    prices = (None, None) if candidate is None else (candidate.usd_per_input_token, candidate.usd_per_output_token)
    if prices[0] is None or prices[1] is None or outcome.usage == Usage():
        return replace(outcome, cost_usd=None)
    cost = prices[0] * outcome.usage.input_tokens + prices[1] * outcome.usage.output_tokens
    return replace(outcome, cost_usd=cost)


def failure(error: BaseException) -> tuple[Status, str]:
    """Return how a request that LiteLLM gave up on ended, and its error's class name (its text may hold prompts)."""
    left = type(error).__name__ == "CancelledError" or getattr(error, "status_code", None) == _CLIENT_CLOSED
    return (Status.CANCELLED if left else Status.FAILURE), type(error).__name__


_CALLERS = frozenset({400, 413, 415, 422, _CLIENT_CLOSED})


def blames(error: BaseException) -> bool:
    """Return whether an error says something of who was called, and not only of what the client sent or did."""
    return type(error).__name__ != "CancelledError" and getattr(error, "status_code", None) not in _CALLERS


def ordered(deployment: Mapping[str, Any], order: int, restated: bool = True) -> dict[str, Any]:
    """Return a copy of a deployment with its place in the order to try, and its prices where they cost nothing to read.

    LiteLLM enters prices that stand in `litellm_params` into its price map again with every call, and then rebuilds the
    index of the whole map. Its router entered them once under the deployment's id, and looks there when `model_info`
    says that there are any. Only where they are `restated`: elsewhere a newer LiteLLM would save no broken stream.
    """
    params, info = deployment["litellm_params"], deployment.get("model_info")
    if not restated or _PRICES.isdisjoint(params) or not isinstance(info, Mapping):
        return {**deployment, "litellm_params": {**params, "order": order}}
    stated = {name: params[name] for name in _PRICES & params.keys() if params[name] is not None}
    rest = {name: value for name, value in params.items() if name not in stated}
    return {**deployment, "litellm_params": {**rest, "order": order}, "model_info": {**stated, **info}}


_PRICES = frozenset({"input_cost_per_token", "output_cost_per_token"})


def served_by(data: Mapping[str, Any]) -> str | None:
    """Return the model group of the deployment that LiteLLM chose last for a request, from its hooks or its events."""
    return _text_or_none((bucket(data) or {}).get("deployment_model_name"))


def _between(start: Any, end: Any) -> float | None:
    try:
        return max(0.0, float((end - start).total_seconds()))
    except (TypeError, AttributeError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    """Return a number, also from text: YAML 1.1 reads `1e-6` as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _positive(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 < number < 1e12 else None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
