"""What every format is read into: one answer of one model to one prompt, a price, or a row that was left out.

Owns these nouns, and how a loose value (text of a CSV, number of a JSON) becomes a number. A reader yields them in the
order of its files; it raises DataError only where a file as a whole cannot be read.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

MISSING = "the score is missing"


@dataclass(frozen=True, slots=True)
class Place:
    """Where it stood: file and row, counted from 1 (lines of JSON Lines, data rows of a table); 0: the file."""

    file: str
    row: int = 0

    def __str__(self) -> str:
        return f"{self.file} row {self.row}" if self.row else self.file


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row, or a part of one, that is not in the result, and why."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Price:
    """List price of a model in US dollars per million tokens; None where unknown."""

    place: Place
    model: str
    usd_per_m_input: float | None
    usd_per_m_output: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model scored on one prompt, 0..1, and what that took; None where it was not recorded.

    `key` is the prompt's own id in the source; prompts without one are the same when category and text are. `call` is
    the id by which a score from elsewhere finds this answer; until then `score` may be None.
    """

    place: Place
    prompt: str
    model: str
    score: float | None
    category: str = ""
    key: str = ""
    call: tuple[str, ...] = ()
    tools: str | None = None
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    latency_s: float | None = None


Item: TypeAlias = Answer | Price | Skipped
Reader: TypeAlias = Callable[[Sequence[Path]], Iterator[Item]]


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else, also for NaN, which is how tables say that nothing is there."""
    if isinstance(value, bool):
        return float(value)
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def amount(value: Any) -> float | None:
    """Return a finite number of at least 0, else None."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first of some columns that holds text, empty if none does."""
    return next((value for name in names if isinstance(value := row.get(name), str) and value), "")


def scored(answers: Iterator[Item], scores: Mapping[str, float]) -> Iterator[Item]:
    """Give answers the scores that were found elsewhere, by any of their call ids; a score found there wins."""
    for item in answers:
        if (
            isinstance(item, Answer)
            and (found := next((scores[c] for c in item.call if c in scores), None)) is not None
        ):
            yield replace(item, score=found)
        else:
            yield item
