"""Numbers of the tools on offer with a prompt: how many, how intricate, and whether any of them fits what is asked.

Owns the reading of tool schemas in the forms of OpenAI, its responses API and Anthropic. Clients send what they like,
so nothing here raises on a malformed schema: what cannot be read counts as absent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from math import log1p
from typing import Any, Final

import numpy as np

from routeiq.routing.hardness.numbers import Numbers, numbers_in, plain

COUNT: Final = 36
"""How many numbers the tools of a prompt have; all are 0 without tools."""

READ: Final = 32
"""Tools of one request that are read; the others only count."""

_DEPTH = 6
_SPLIT = re.compile(r"[^a-z0-9]+")
_JOIN = re.compile(r"\band\b|\balso\b|\bthen\b|\bboth\b|\brespectively\b|\beach\b|,|;")
_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")
_STOP = frozenset(
    _SPLIT.split(
        "the a an of to in for and or is are with on by from at as that this be it can i my me you what how which "
        "given using use get find calculate compute return returns value values number list name string function "
        "specific provided based between user want would like please"
    )
)

Embed = Callable[[str], Any]
"""Text to a unit vector."""


def tool_numbers(text: str, tools: Sequence[Mapping[str, Any]], embed: Embed) -> Numbers:
    """Return the numbers of a plain text's tools, shape (COUNT,). `embed` is asked for the text and for tool texts."""
    if not tools:
        return np.zeros(COUNT, dtype=np.float32)
    read = [_Tool(tool) for tool in tools[:READ]]
    asked, words = embed(text), _words(text)
    fits = np.array([tool.fit(asked, words, embed) for tool in read])
    order = np.argsort(-(fits[:, 3] + 0.5 * fits[:, 4] + 0.3 * fits[:, 5]), kind="stable")
    best, near = read[order[0]], fits[order[0]]
    shapes = np.array([tool.shape for tool in read], dtype=np.float64)
    similar = np.sort(fits[:, 3])[::-1]
    amounts, wanted = len(numbers_in(text)), best.shape[5]
    told = [
        1.0, log1p(len(tools)), float(len(tools) > 1), *near[:4],
        similar[0] - similar[1] if len(read) > 1 else 0.0, *near[4:9], log1p(near[9]), float(fits[:, 4].max()),
        float(fits[:, 5].max()), *(log1p(part) for part in shapes.sum(axis=0)[[0, 2, 3, 4]]), shapes[:, 0].mean() / 4.0,
        *(log1p(part) for part in best.shape), log1p(sum(tool.characters for tool in read)), log1p(amounts),
        amounts / wanted / 4.0 if wanted else 0.0, float(amounts < wanted), float(amounts > wanted > 0),
        float(amounts > best.shape[0]), log1p(len(_JOIN.findall(text))), float(" and " in text),
        log1p(len(_QUOTED.findall(text))),
    ]  # fmt: skip
    return np.array(told, dtype=np.float32)


class _Tool:
    """One tool, read: its texts, and the shape of its parameters."""

    __slots__ = ("characters", "described", "named", "shape", "texts", "words")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        inner = schema.get("function")
        told = inner if isinstance(inner, Mapping) else schema
        schemas = [told[key] for key in ("parameters", "input_schema") if isinstance(told.get(key), Mapping)]
        parameters = schemas[0] if schemas else {}
        named = re.sub(r"[_.]", " ", str(told.get("name", "")))
        described = str(told.get("description", ""))
        properties = [
            f"{str(key).replace('_', ' ')} {value.get('description', '') if isinstance(value, Mapping) else ''}"
            for key, value in _properties(parameters).items()
        ]
        self.characters = len(named) + len(described) + sum(map(len, properties))
        self.texts = tuple(plain(t) for t in (named, described, " ".join(properties)[:800], f"{named} {described}"))
        self.words = tuple(_words(t) for t in self.texts[:3])
        self.shape = _shape(parameters)

    def fit(self, asked: Any, words: frozenset[str], embed: Embed) -> list[float]:
        """Return four similarities to the prompt's vector and six overlaps with its words."""
        name, description, properties = self.words
        everything = name | description | properties
        return [
            *(float(asked @ embed(text)) for text in self.texts),
            *(len(part & words) / max(1, len(part)) for part in (name, description, properties)),
            len(everything & words) / max(1, len(words)),
            float(bool(name & words)),
            float(len((name | description) & words)),
        ]


def _words(text: str) -> frozenset[str]:
    """Return the beginnings of the words that say something, of a plain text."""
    return frozenset(w[:5] for w in _SPLIT.split(text) if len(w) > 2 and w not in _STOP and not w.isdigit())


def _properties(schema: Any) -> Mapping[str, Any]:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _shape(schema: Any, depth: int = 0) -> tuple[int, int, int, int, int, int]:
    """Return the numbers of parameters, enumerations, arrays, objects, booleans, and required numbers; nested ones too.

    In that order, except that required parameters stand second: (parameters, required, enumerations, arrays, objects,
    required numbers).
    """
    properties = _properties(schema)
    required = schema.get("required") if isinstance(schema, Mapping) else None
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list | tuple) else set()
    total = [len(properties), len(needed), 0, 0, 0, 0]
    for name, value in properties.items():
        if not isinstance(value, Mapping):
            continue
        kind = str(value.get("type"))
        total[2] += "enum" in value
        total[3] += kind in ("array", "list", "tuple")
        total[4] += kind in ("object", "dict")
        total[5] += name in needed and kind in ("integer", "float", "number")
        if depth < _DEPTH:
            inner = _shape(value, depth + 1)
            for at in (0, 2, 3, 4):
                total[at] += inner[at]
    return (total[0], total[1], total[2], total[3], total[4], total[5])
