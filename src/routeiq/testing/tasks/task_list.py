"""The list: 60 tasks of each family, twenty of each difficulty.

Owns the ids and that no two tasks ask the same. The prompts are the families'.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from routeiq.testing.tasks.draft import Family, opener
from routeiq.testing.tasks.logic import logic
from routeiq.testing.tasks.programs import code_output, string_work
from routeiq.testing.tasks.quantities import arithmetic, dates, units
from routeiq.testing.tasks.task import DIFFICULTIES, FAMILIES, Task
from routeiq.testing.tasks.texts import classification, extraction
from routeiq.testing.tasks.tool_calls import tool_calls
from routeiq.testing.tasks.translation import translation

PER_DIFFICULTY = 20
_TRIES = 2_000

_WRITERS: Mapping[str, Family] = {
    "arithmetic": arithmetic,
    "code_output": code_output,
    "extraction": extraction,
    "dates": dates,
    "units": units,
    "classification": classification,
    "logic": logic,
    "tool_calls": tool_calls,
    "string_work": string_work,
    "translation": translation,
}


def all_tasks(seed: int = 0) -> list[Task]:
    """All tasks, family by family. The same seed gives the same list; a task's id holds its family and difficulty."""
    return [task for family in FAMILIES for difficulty in DIFFICULTIES for task in _some(family, difficulty, seed)]


def _some(family: str, difficulty: int, seed: int) -> list[Task]:
    rng = Random(f"{seed}/{family}/{difficulty}")  # noqa: S311 - a reproducible list, not a secret
    found: dict[str, Task] = {}
    for _ in range(_TRIES):
        draft, words = _WRITERS[family](rng, difficulty), opener(rng)
        # Compared without their first words, so that no question comes twice with another greeting.
        if draft.prompt not in found and draft.wrong:
            found[draft.prompt] = Task(
                id=f"{family}-{difficulty}-{len(found):02d}",
                family=family,
                difficulty=difficulty,
                prompt=words + draft.prompt,
                answer=draft.answer,
                wrong=draft.wrong,
                check=draft.check,
                tools=draft.tools,
            )
        if len(found) == PER_DIFFICULTY:
            return list(found.values())
    raise RuntimeError(f"family {family!r} wrote fewer than {PER_DIFFICULTY} different prompts at {difficulty}")
