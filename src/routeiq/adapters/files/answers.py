"""A calibration's answers in a file, one JSON line each, so that an interrupted one goes on where it was left.

Owns durability: an answer that was paid for is on disk before the next thing happens. A line that a crash cut off
is dropped when the file is opened again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routeiq.core.errors import DataError


@dataclass(slots=True)
class AnswerFile:
    """Answers to the prompts of one calibration; `about` says which one, and a file of another one is refused."""

    path: Path
    about: Mapping[str, Any]
    lines: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, about: Mapping[str, Any]) -> "AnswerFile":
        """Return the file, new or with what it holds; raises DataError."""
        found = cls(path, dict(about))
        if path.exists():
            found._read()
            return found
        path.parent.mkdir(parents=True, exist_ok=True)
        found._append(found.about)
        return found

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            first, *rest = [json.loads(line) for line in whole.splitlines()] or [None]
        except ValueError as error:
            raise DataError(f"{self.path} holds a line that is not JSON ({error}); move the file away") from None
        if first != self.about:
            raise DataError(
                f"{self.path} holds answers of another calibration ({_told(first)}; this one is {_told(self.about)}); "
                "name another file with --answers"
            )
        if len(whole) < len(content):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        self.lines = rest

    def add(self, line: Mapping[str, Any]) -> None:
        """Write an answer; it is on disk when this returns."""
        self._append(line)
        self.lines.append(dict(line))

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=True) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def _told(about: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in about.items()) if isinstance(about, dict) else "no heading"
