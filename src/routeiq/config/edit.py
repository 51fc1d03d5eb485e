"""Adding keys to a YAML text without touching what is there: comments, order, quotes and indentation stay.

A text is only ever added to, at places that the YAML parser itself reports, and the result is read back: unless it
holds exactly the old content and the addition, nothing is returned. Knows nothing of what the keys mean.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from routeiq.core.errors import ConfigError

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z][\w./-]*")
_RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def render(value: Mapping[str, Any] | Sequence[Any], indent: int = 0) -> str:
    """Return a mapping or list as YAML lines, short collections of scalars on one line; ends with a newline."""
    pad = " " * indent
    if isinstance(value, Mapping):
        return "".join(f"{pad}{_scalar(key)}:{_below(item, indent)}" for key, item in value.items())
    items = [
        render(item, indent + 2) if isinstance(item, Mapping) and item else f"{pad}  {_flow(item)}\n" for item in value
    ]
    return "".join(f"{pad}- {item[indent + 2 :]}" for item in items)


def _below(value: Any, indent: int) -> str:
    """Return what follows a key's colon."""
    if not isinstance(value, Mapping | list) or not value:
        return f" {_flow(value)}\n"
    inner = value.values() if isinstance(value, Mapping) else value
    text = _flow(value)
    if len(text) <= _WIDTH and not any(isinstance(item, Mapping | list) for item in inner):
        return f" {text}\n"
    return "\n" + render(value, indent + 2)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Return a scalar as YAML; a string is quoted unless it is plainly a word."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.isascii() and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)


def add(text: str, path: tuple[str, ...], value: Any, comment: str = "") -> str:
    """Return the text with a value at a key path, or as it is when something stands there already.

    A list is joined to a list that stands there. `comment` is put above a key that is new at the top level. Raises
    ConfigError, with the lines to add by hand, when the text is written in a way that cannot be added to safely.
    """
    before = yaml.safe_load(text) or {}
    wanted = _with(before, path, value)
    if wanted == before:
        return text
    added = _Insertion(text, path, value, comment).text()
    try:
        as_wanted = wanted is not None and yaml.safe_load(added) == wanted
    except yaml.YAMLError:
        as_wanted = False
    if not as_wanted:
        raise ConfigError(
            f"{'.'.join(path)} cannot be added to this file without changing what is there; add it by hand:\n"
            + render(_nested(path, value))
        )
    return added


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _with(data: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return the data with the value added, shared parts copied; None where something else is in the way."""
    if not path:
        if isinstance(data, list) and isinstance(value, list):
            return [*data, *value]
        return value if data is None else data
    if data is not None and not isinstance(data, dict):
        return None
    key, rest = path[0], path[1:]
    return {**(data or {}), key: _with((data or {}).get(key), rest, value)}


class _Insertion:
    """Finds the deepest part of a path that the text has, and writes the rest of it there."""

    def __init__(self, text: str, path: tuple[str, ...], value: Any, comment: str) -> None:
        self._text = text
        self._path = path
        self._value = value
        self._comment = comment
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def text(self) -> str:
        """Return the text with the value inserted."""
        node = yaml.compose(self._text, yaml.SafeLoader)
        if node is None:
            return self._at_end(_nested(self._path, self._value))
        for depth, key in enumerate(self._path):
            if not isinstance(node, yaml.MappingNode):
                return self._text
            found = next((pair for pair in node.value if pair[0].value == key), None)
            rest = _nested(self._path[depth:], self._value)
            if found is None:
                return self._at_end(rest) if depth == 0 and not node.flow_style else self._into_mapping(node, rest)
            if found[1].tag == "tag:yaml.org,2002:null":
                return self._into_nothing(found[0], found[1], rest[key])
            node = found[1]
        return self._into_sequence(node) if isinstance(node, yaml.SequenceNode) else self._text

    def _at_end(self, rest: dict[str, Any]) -> str:
        kept = self._text if not self._text or self._text.endswith("\n") else self._text + self._newline
        comment = f"# {self._comment}{self._newline}" if self._comment else ""
        gap = self._newline if kept.strip() else ""
        return f"{kept}{gap}{comment}{self._lines(render(rest))}"

    def _into_mapping(self, node: yaml.MappingNode, rest: dict[str, Any]) -> str:
        if node.flow_style:
            return self._after_bracket(node, _flow(rest)[1:-1])
        return self._after_line(_last_character(self._text, node), render(rest, node.value[0][0].start_mark.column))

    def _into_sequence(self, node: yaml.SequenceNode) -> str:
        if node.flow_style and node.value:
            at = node.value[-1].end_mark.index
            return f"{self._text[:at]}, {_flow(self._value)[1:-1]}{self._text[at:]}"
        if node.flow_style:
            return self._after_bracket(node, _flow(self._value)[1:-1])
        return self._after_line(_last_character(self._text, node), render(self._value, node.start_mark.column))

    def _into_nothing(self, key: yaml.Node, empty: yaml.Node, value: Any) -> str:
        """Write below a key that has no value, or the word null, taking the word out."""
        start, end = empty.start_mark.index, empty.end_mark.index
        self._text = self._text[:start] + self._text[end:]
        return self._after_line(key.end_mark.index, render(value, key.start_mark.column + 2))

    def _after_bracket(self, node: yaml.CollectionNode, text: str) -> str:
        at = node.start_mark.index + 1
        return f"{self._text[:at]}{text}{', ' if node.value else ''}{self._text[at:]}"

    def _after_line(self, index: int, lines: str) -> str:
        """Insert whole lines after the line that holds the character at `index`."""
        end = self._text.find("\n", index)
        if end < 0:
            return f"{self._text}{self._newline}{self._lines(lines)}"
        return f"{self._text[: end + 1]}{self._lines(lines)}{self._text[end + 1 :]}"

    def _lines(self, text: str) -> str:
        return text.replace("\n", self._newline)


def _last_character(text: str, node: yaml.Node) -> int:
    """Return the index of the last character of a node's content, before blank lines and comments that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(_last_character(text, key), _last_character(text, value))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_character(text, node.value[-1])
    end = node.end_mark.index
    while end > node.start_mark.index and text[end - 1].isspace():
        end -= 1
    return max(end - 1, node.start_mark.index - 1)
