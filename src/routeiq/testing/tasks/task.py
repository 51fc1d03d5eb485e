"""The task: a prompt, the tools it is asked with, and how its answer is checked.

Owns the nouns and the split. The checking rules are in `checks`, the prompts in one module per two families.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from routeiq.testing.tasks.draws import uniform

Split = Literal["train", "valid", "test"]

FAMILIES = (
    "arithmetic",
    "code_output",
    "extraction",
    "dates",
    "units",
    "classification",
    "logic",
    "tool_calls",
    "string_work",
    "translation",
)
DIFFICULTIES = (1, 2, 3)

_TRAIN, _VALID = 0.6, 0.15


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool: its name and its arguments as JSON values."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """How an answer is judged; `checks.passes` does it.

    `expected` is JSON text, so that the whole check can be written to a file: a number, a JSON value, a list of
    accepted texts, or `{"name", "arguments"}`. `exact_case` holds for texts only.
    """

    kind: Literal["number", "json", "text", "tool_call"]
    expected: str
    exact_case: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt with one right answer.

    `answer` and the `wrong` ones are what a model might reply, a text or a tool call; every one of `wrong` is a mistake
    somebody could make, and none of them passes the check. `difficulty` is 1, 2 or 3. `tools` are OpenAI tool schemas.
    """

    id: str
    family: str
    difficulty: int
    prompt: str
    answer: str | ToolCall
    wrong: tuple[str | ToolCall, ...]
    check: Check
    tools: tuple[Mapping[str, Any], ...] | None = None

    def passes(self, text: str, tool_call: ToolCall | None = None) -> bool:
        """Whether a reply is right. A tool call counts only where one is asked for."""
        from routeiq.testing.tasks.checks import passes

        return passes(self.check, text, tool_call)


def split(task: Task) -> Split:
    """The part a task belongs to, by a hash of its prompt: about 60 % train, 15 % valid, 25 % test."""
    place = uniform("split", task.prompt)
    if place < _TRAIN:
        return "train"
    return "valid" if place < _TRAIN + _VALID else "test"
