"""A LiteLLM configuration as it stands in its files: the merged mapping, and where each key was written.

Reads YAML and follows `include:` the way LiteLLM does (lists are joined, other keys of an included file win). Leaves
`os.environ/NAME` references alone. Knows nothing of what the keys mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from routeiq.core.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]

SUFFIXES = (".yaml", ".yml")
"""Endings, in any case, of the files that LiteLLM takes for its configuration."""

LARGEST = 1_000_000
"""How many values a file may hold when what its anchors stand for is written out: a model has about twenty."""


@dataclass(frozen=True, slots=True)
class Document:
    """`data` is the merged mapping; `marks` gives file and 1-based line of every key and list item.

    `files` are all that was read for it, the configuration first.
    """

    path: Path
    data: Mapping[str, Any]
    marks: Mapping[KeyPath, tuple[Path, int]]
    files: tuple[Path, ...] = ()

    def where(self, path: KeyPath) -> str:
        """Return `file:line: key.path` for an error message; the line is that of the nearest key that was written."""
        shown = dotted(path)
        for length in range(len(path), 0, -1):
            if path[:length] in self.marks:
                file, line = self.marks[path[:length]]
                return f"{file}:{line}: {shown}"
        return f"{self.path}: {shown}" if shown else str(self.path)


def dotted(path: KeyPath) -> str:
    """Return a key path as people write it: `aliases.auto.candidates[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def check_name(path: Path) -> None:
    """Raise ConfigError for a file that LiteLLM would pass over without a word, to serve nothing, open to everybody."""
    if path.suffix.lower() not in SUFFIXES:
        named = f"{path.name!r}" if path.suffix else f"{path.name!r}, without an ending"
        raise ConfigError(
            f"{path}: LiteLLM reads its configuration only from a file whose name ends in .yaml or .yml, and else "
            f"starts without models and without a master key; expected such a name, found {named}: rename the file"
        )
    if not path.is_file():
        raise ConfigError(f"{path}: LiteLLM reads its configuration only from a regular file, and this is none")


def read_document(path: Path, strict: str) -> Document:
    """Read a configuration and everything it includes; raises ConfigError naming file and line.

    Under the top-level key `strict` a key that is written twice is an error; elsewhere the last one wins, as YAML
    readers commonly have it.
    """
    root = path.absolute()
    data, marks = _read(root, strict)
    pending = _includes(root, data)
    loaded = [root]
    while pending:
        entry, declared_in = pending.pop(0)
        file = _locate(entry, declared_in, root)
        if file in loaded:
            continue
        loaded.append(file)
        included, included_marks = _read(file, strict)
        pending += _includes(file, included)
        for key, value in included.items():
            if key == "include":
                continue
            offset = _merge(data, key, value)
            _merge_marks(marks, included_marks, key, offset)
    data.pop("include", None)
    return Document(root, data, marks, tuple(loaded))


def _merge(data: dict[str, Any], key: str, value: Any) -> int | None:
    """Put one key of an included file into the mapping; returns by how much its list items moved, None if replaced."""
    present = data.get(key)
    if isinstance(present, list) and isinstance(value, list):
        data[key] = [*present, *value]
        return len(present)
    data[key] = value
    return None


def _merge_marks(
    marks: dict[KeyPath, tuple[Path, int]],
    included: Mapping[KeyPath, tuple[Path, int]],
    key: str,
    offset: int | None,
) -> None:
    if offset is None:
        for path in [path for path in marks if path[0] == key]:
            del marks[path]
    for path, mark in included.items():
        if path[0] != key:
            continue
        if offset is not None and len(path) > 1 and isinstance(path[1], int):
            path = (key, path[1] + offset, *path[2:])
        marks.setdefault(path, mark)


def _read(path: Path, strict: str) -> tuple[dict[str, Any], dict[KeyPath, tuple[Path, int]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name your LiteLLM configuration with --config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        # Not libyaml's loader: a file that is nested deep enough would end the process.
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None and _values(node, {}) > LARGEST:
            raise ConfigError(f"{path}: its anchors, written out, are over {LARGEST:,} values; write out what is meant")
        marker = _Marker(path, strict)
        if node is not None:
            marker.visit(node, ())  # before `<<` is resolved, which changes the nodes
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(_unreadable(path, error)) from None
    except RecursionError:
        raise ConfigError(f"{path}: not readable as YAML: lists or mappings stand too deep in one another") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of sections (model_list, ...), found a {type(data).__name__}")
    return data, marker.marks


def _values(node: yaml.Node, counted: dict[int, float]) -> float:
    """Return how many values a YAML tree has when everything that is referred to is written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = math.inf  # until it is known: a node within itself has no end
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        counted[id(node)] = 1 + sum(_values(part, counted) for part in parts)
    return counted[id(node)]


class _Marker:
    """Walks a YAML tree and notes the line of every key; a node that is referred to again is walked once."""

    def __init__(self, file: Path, strict: str) -> None:
        self.marks: dict[KeyPath, tuple[Path, int]] = {}
        self._file = file
        self._strict = strict
        self._seen: set[int] = set()

    def visit(self, node: yaml.Node, path: KeyPath) -> None:
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                at = (*path, str(key.value))
                self._note(at, key.start_mark.line + 1)
                self.visit(value, at)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._note((*path, i), value.start_mark.line + 1)
                self.visit(value, (*path, i))

    def _note(self, at: KeyPath, line: int) -> None:
        if at in self.marks and at[0] == self._strict:
            first = self.marks[at][1]
            raise ConfigError(f"{self._file}:{line}: {dotted(at)} is written twice, first in line {first}; remove one")
        self.marks[at] = (self._file, line)


def _unreadable(path: Path, error: yaml.YAMLError) -> str:
    """Say where YAML stopped to make sense, without quoting the line: it may hold a key."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not YAML"
    context = getattr(error, "context", None)
    place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
    return f"{place}: not readable as YAML: {problem}" + (f" ({context})" if context else "")


def _includes(path: Path, data: Mapping[str, Any]) -> list[tuple[str, Path]]:
    entries = data.get("include", [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(f"{path}: include: expected a list of file names, found {type(entries).__name__}")
    return [(entry, path) for entry in entries]


def _locate(entry: str, declared_in: Path, root: Path) -> Path:
    """Return the file an `include` entry names: beside the file that says so, else beside the main file."""
    for folder in (declared_in.parent, root.parent):
        file = (folder / entry).absolute()
        if file.exists():
            return file
    raise ConfigError(
        f"{declared_in}: include: {entry!r} was not found beside it; expected {declared_in.parent / entry}"
    )
