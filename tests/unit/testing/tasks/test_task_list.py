"""The list of tasks and its split."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from routeiq.testing.tasks import DIFFICULTIES, FAMILIES, Task, ToolCall, all_tasks, split
from routeiq.testing.tasks.programs import printed

TASKS = all_tasks()


def passes(task: Task, reply: str | ToolCall) -> bool:
    """Whether the reply is right, in whichever form it comes."""
    return task.passes(reply) if isinstance(reply, str) else task.passes("", reply)


def test_there_are_sixty_tasks_of_each_family_twenty_of_each_difficulty() -> None:
    """600 in all, with ids and prompts of their own."""
    assert Counter((t.family, t.difficulty) for t in TASKS) == dict.fromkeys(
        [(family, difficulty) for family in FAMILIES for difficulty in DIFFICULTIES], 20
    )
    assert len({t.id for t in TASKS}) == len({t.prompt for t in TASKS}) == 600


def test_the_same_seed_writes_the_same_list() -> None:
    """A list is reproducible, and another seed writes another one."""
    assert all_tasks(0) == TASKS
    assert {t.prompt for t in all_tasks(1)} != {t.prompt for t in TASKS}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_answer_passes_its_own_check_and_no_mistake_does(seed: int) -> None:
    """The answer is right and every listed mistake is wrong, for each task of three lists."""
    for task in all_tasks(seed):
        assert passes(task, task.answer), task
        assert task.wrong, task
        for mistake in task.wrong:
            assert not passes(task, mistake), (task, mistake)
            assert mistake, task


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_of_one_task_rarely_passes_another(family: str) -> None:
    """Checks discriminate: most answers of a family are wrong for the family's other tasks."""
    mine = [t for t in TASKS if t.family == family]
    hits = sum(passes(task, other.answer) for task in mine for other in mine if other is not task)
    # Two labels, five labels and small digits repeat; anything near one half would mean a check that accepts all.
    assert hits / (60 * 59) < 0.25


def test_only_tool_calls_carry_tools_and_theirs_include_the_one_to_call() -> None:
    """Easy tasks offer one tool, harder ones several."""
    for task in TASKS:
        if task.family != "tool_calls":
            assert task.tools is None
            continue
        assert task.tools is not None
        assert isinstance(task.answer, ToolCall)
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in task.tools}
        assert set(schemas[task.answer.name]["required"]) == set(task.answer.arguments)
        assert len(schemas) == {1: 1, 2: 3, 3: 6}[task.difficulty]


def test_prompts_of_a_family_are_not_one_template() -> None:
    """Within a family the opening words vary."""
    for family in FAMILIES:
        openings = Counter(" ".join(t.prompt.split()[:3]) for t in TASKS if t.family == family)
        assert len(openings) >= 10, openings


def test_every_part_of_the_split_holds_every_family() -> None:
    """About 60, 15 and 25 percent, decided by the prompt alone."""
    parts = Counter(split(t) for t in TASKS)
    assert parts["train"] > parts["test"] > parts["valid"] > 60
    for part in ("train", "valid", "test"):
        assert {t.family for t in TASKS if split(t) == part} == set(FAMILIES)
    assert all(split(replace(t, id="other", answer="")) == split(t) for t in TASKS[:50])


def test_a_program_is_really_run() -> None:
    """What it prints is the truth, and it finds no more builtins than the templates use."""
    assert printed("print(sum(range(4)), 7 // 2)") == "6 3"
    with pytest.raises(NameError):
        printed("open('x')")
