"""Facts and prices of models from a file of their own, in LLMRouter's form of candidates (`llm_candidates.json`).

    {"qwen2.5-7b": {"size": "7B", "input_price": 0.2, "output_price": 0.2, "model": "qwen/qwen2.5-7b-instruct"}}

Owns the form, and that what the operator says in the configuration comes first, this file next, LiteLLM's price list
last. Prices are in US dollars per million tokens. Where a model is called is LiteLLM's: `api_endpoint` and `service`
are not read.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from routeiq.core.errors import ConfigError

PER_MILLION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "input_price": "input_cost_per_token",
        "output_price": "output_cost_per_token",
        "cached_input_price": "cache_read_input_token_cost",
    }
)
NUMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "context_window": "max_input_tokens",
        "context_length": "max_input_tokens",
        "max_input_tokens": "max_input_tokens",
        "quality": "quality",
        "latency_s": "latency_s",
        "weight": "weight",
    }
)
FLAGS: Final = ("supports_function_calling", "supports_vision", "supports_response_schema")
OTHERS: Final = ("size", "benchmarks", "region", "model")
_KEYS: Final = (*PER_MILLION, *NUMBERS, *FLAGS, *OTHERS)
_SIZE: Final = re.compile(r"(?:(\d+)\s*[xX]\s*)?(\d+(?:\.\d+)?)\s*([mMbBtT]?)")
_BILLIONS: Final = MappingProxyType({"m": 1e-3, "b": 1.0, "": 1.0, "t": 1e3})

Facts = Mapping[str, Mapping[str, Any]]
"""By model, in the words of LiteLLM's `model_info`; `model` is the name that the provider knows."""


def read_facts(path: Path) -> Facts:
    """Return what a file says of models; raises ConfigError that names file, model and key."""
    try:
        return _read(path)
    except ConfigError as error:
        error.file = path
        raise


def _read(path: Path) -> Facts:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: llm_candidates cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: llm_candidates is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected an object of models by name, found a {type(found).__name__}")
    return {name: _facts(f"{path}: {name}", said) for name, said in found.items()}


def described(model_list: Sequence[Mapping[str, Any]], facts: Facts) -> tuple[Mapping[str, Any], ...]:
    """Return the model list with the facts where the operator has said nothing of his own."""
    return tuple(_described(entry, facts) for entry in model_list)


def unused(model_list: Sequence[Mapping[str, Any]], facts: Facts) -> tuple[str, ...]:
    """Return the models of a file that no entry of the model list is."""
    used = {name for entry in model_list if (name := _named(entry, facts)) is not None}
    return tuple(name for name in facts if name not in used)


def _described(entry: Mapping[str, Any], facts: Facts) -> Mapping[str, Any]:
    name = _named(entry, facts)
    if name is None:
        return entry
    params, info = entry.get("litellm_params") or {}, entry.get("model_info") or {}
    said = {key for part in (params, info) for key, value in part.items() if value is not None}
    added = {key: value for key, value in facts[name].items() if key not in said and key != "model"}
    return {**entry, "model_info": {**info, **added}}


def _named(entry: Mapping[str, Any], facts: Facts) -> str | None:
    """Return the model of a file that an entry is: by its name, else by what the provider calls it."""
    if (name := entry["model_name"]) in facts:
        return str(name)
    called = str((entry.get("litellm_params") or {}).get("model") or "")
    names = {called, called.partition("/")[2]} - {""}
    return next((name for name, said in facts.items() if name in names or said.get("model") in names), None)


def _facts(where: str, said: Any) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise ConfigError(f"{where}: expected an object of facts, found a {type(said).__name__}")
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key not in _KEYS:
            _check_spelling(where, key)
        elif value is not None:
            found.update(_fact(f"{where}.{key}", key, value))
    return found


def _check_spelling(where: str, key: str) -> None:
    """Refuse a misspelt key; what else other programs say of a model passes by unread."""
    close = get_close_matches(key, _KEYS, n=1, cutoff=0.85)
    if close:
        raise ConfigError(f"{where}: unknown key {key!r}; did you mean {close[0]!r}?")


def _fact(where: str, key: str, value: Any) -> Mapping[str, Any]:
    if key in PER_MILLION:
        return {PER_MILLION[key]: _number(where, value) / 1e6}
    if key in NUMBERS:
        number = _number(where, value)
        return {NUMBERS[key]: int(number) if NUMBERS[key] == "max_input_tokens" else number}
    if key == "size":
        return {"size": _size(where, value)}
    if key in FLAGS:
        return {key: _of(where, value, bool, "true or false")}
    if key == "benchmarks":
        return {key: _of(where, value, dict, "an object of scores by benchmark")}
    return {key: _of(where, value, str, "text")}


def _of(where: str, value: Any, kind: type, expected: str) -> Any:
    if not isinstance(value, kind):
        raise ConfigError(f"{where}: expected {expected}, found {value!r:.60}")
    return value


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value >= 0):
        raise ConfigError(f"{where}: expected a number that is not negative, found {value!r:.60}")
    return float(value)


def _size(where: str, value: Any) -> float:
    """Return billions of parameters: `7B`, `0.5b`, `8x22B`, `500M`, or a number of billions."""
    if isinstance(value, int | float):
        return _number(where, value)
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(f"{where}: expected a size such as '7B' or '8x22B', found {value!r:.60}")
    return int(found[1] or 1) * float(found[2]) * _BILLIONS[found[3].lower()]
