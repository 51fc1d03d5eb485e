"""The judges: strict about the answer, fair about how it is dressed.

Owns the comparison of a reply with a `Check`. A reply may wrap its answer in a code fence, in Markdown emphasis or in
"The answer is ..."; it may not hedge: where a number is asked for, the last number of the reply counts, and where a
text is asked for, the whole reply (or its last line) has to be that text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from routeiq.testing.tasks.task import Check, ToolCall

_TOLERANCE = 1e-6
_NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)```", re.DOTALL)
_PREAMBLE = re.compile(
    r"^(?:(?:so|thus|therefore|hence)[,:]?\s+)?(?:the\s+)?(?:final\s+)?(?:correct\s+)?"
    r"(?:answer|result|output|translation|label|category)(?:\s+is|\s*:)\s*:?\s*",
    re.IGNORECASE,
)
_DRESS = " \t\r\n*_`\"'\u201c\u201d\u2018\u2019"
_ENDS = ".!?\u3002 "


def number_check(value: float) -> Check:
    """Right is this number, to a millionth of it."""
    return Check("number", json.dumps(value))


def json_check(value: Any) -> Check:
    """Right is this JSON value; the order of keys means nothing, the order of lists does."""
    return Check("json", json.dumps(value, ensure_ascii=False, sort_keys=True))


def text_check(*accepted: str, exact_case: bool = False) -> Check:
    """Right is any of these texts; letter case, outer quotes and final stops mean nothing unless `exact_case`."""
    return Check("text", json.dumps(list(accepted), ensure_ascii=False), exact_case)


def tool_call_check(call: ToolCall) -> Check:
    """Right is one call of this tool with these arguments, no more and no fewer."""
    value = {"name": call.name, "arguments": dict(call.arguments)}
    return Check("tool_call", json.dumps(value, ensure_ascii=False, sort_keys=True))


def passes(check: Check, text: str, tool_call: ToolCall | None) -> bool:
    """Whether the reply is right."""
    expected = json.loads(check.expected)
    if check.kind == "tool_call":
        return tool_call is not None and _same_call(tool_call, expected)
    if tool_call is not None:
        return False
    if check.kind == "number":
        found = _last_number(text)
        return found is not None and _same_number(found, expected)
    if check.kind == "json":
        found_json = _json_in(text)
        return found_json is not _NOTHING and _same_json(found_json, expected)
    wanted = {_plain(option, check.exact_case) for option in expected}
    return any(_plain(reading, check.exact_case) in wanted for reading in _readings(text))


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("\u2212", "-")) if found else None


def _same_number(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= _TOLERANCE * max(1.0, abs(wanted))


_NOTHING = object()


def _json_in(text: str) -> Any:
    """The JSON value the reply consists of, or the first object or list inside it; `_NOTHING` if there is none."""
    fenced = _FENCE.search(text)
    body = (fenced[1] if fenced else text).strip()
    starts = [0, *(i for i, character in enumerate(body) if character in "{[")]
    for start in starts:
        try:
            return json.JSONDecoder().raw_decode(body, start)[0]
        except json.JSONDecodeError:
            continue
    return _NOTHING


def _same_json(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool) or wanted is None:
        return found is wanted
    if isinstance(wanted, int | float):
        return isinstance(found, int | float) and _same_number(found, wanted)
    if isinstance(wanted, str):
        return isinstance(found, str) and found.strip().casefold() == wanted.strip().casefold()
    if isinstance(wanted, list):
        same_length = isinstance(found, list) and len(found) == len(wanted)
        return same_length and all(_same_json(f, w) for f, w in zip(found, wanted, strict=True))
    same_keys = isinstance(found, Mapping) and set(found) == set(wanted)
    return same_keys and all(_same_json(found[key], wanted[key]) for key in wanted)


def _same_call(call: ToolCall, wanted: Mapping[str, Any]) -> bool:
    return call.name == wanted["name"] and _same_json(dict(call.arguments), wanted["arguments"])


def _readings(text: str) -> list[str]:
    """What the reply may be taken to say: all of it, the inside of its fence, its last line."""
    fenced = _FENCE.search(text)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    readings = [text, *([fenced[1]] if fenced else []), *(lines[-1:])]
    return readings + [_PREAMBLE.sub("", reading.strip(_DRESS)) for reading in readings]


def _plain(text: str, exact_case: bool) -> str:
    """The text as it compares: white space collapsed, dress taken off."""
    collapsed = " ".join(text.split()).strip(_DRESS)
    return collapsed if exact_case else collapsed.rstrip(_ENDS).strip(_DRESS).casefold()
