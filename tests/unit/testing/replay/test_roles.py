"""The parts that simulated models play in compound models."""

import pytest

from routeiq.routing.compound import words
from routeiq.testing.replay.answers import normalise
from routeiq.testing.replay.roles import known_parts, play, verifies
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks.models import MODELS_BY_NAME
from routeiq.testing.tasks.task_list import all_tasks

TASKS = [task for task in all_tasks() if task.tools is None]
KNOWN = {normalise(task.prompt): task for task in TASKS}
SOURCE = SimulatedSource(0)
PAIR = f"{TASKS[0].prompt}\n\n{TASKS[-1].prompt}"


@pytest.mark.parametrize("model", ["sim-tiny", "sim-large"])
def test_a_verifier_is_right_as_often_as_it_is_said_to_be(model: str) -> None:
    """Over all tasks, right and wrong answers alike, the share of right verdicts is the stated probability."""
    hits, expected = [], []
    for task in TASKS:
        for answer in (task.answer, task.wrong[0]):
            said = SOURCE.answer(model, words.verification(task.prompt, str(answer), 0), ()).text
            hits.append(words.verdict(said) is task.passes(str(answer)))
            expected.append(verifies(task, model))
    assert sum(hits) / len(hits) == pytest.approx(sum(expected) / len(expected), abs=0.04)


def test_better_models_verify_better() -> None:
    """Telling right from wrong goes with solving, is better than guessing, and is never certain."""
    for task in TASKS[::25]:
        ordered = sorted(MODELS_BY_NAME, key=lambda name: MODELS_BY_NAME[name].chance(task.family, task.difficulty))
        found = [verifies(task, name) for name in ordered]
        assert found == sorted(found)
        assert all(0.5 < chance < 1.0 for chance in found)


def test_a_decomposer_finds_tasks_word_for_word() -> None:
    """A question of two tasks has two parts, anything else is one."""
    said = SOURCE.answer("sim-tiny", words.decomposition(PAIR, 4), ()).text
    assert [normalise(part) for part in words.parts(said)] == [normalise(t.prompt) for t in (TASKS[0], TASKS[-1])]
    assert words.parts(SOURCE.answer("sim-tiny", words.decomposition("Why?", 4), ()).text) == ("Why?",)
    assert known_parts("Why?", KNOWN) == []


def test_an_aggregator_says_what_it_was_told() -> None:
    """It repeats the replies in the order of the question, and answers itself what nobody replied to."""
    notes = words.notes_of([(TASKS[-1].prompt, "last"), (TASKS[0].prompt, words.NO_REPLY)])
    said = SOURCE.answer("sim-mini", f"{PAIR}\n\n{notes}", ()).text
    assert said == f"{SOURCE.answer('sim-mini', TASKS[0].prompt, ()).text}\nlast"


def test_nobody_plays_a_part_that_is_not_asked_for() -> None:
    """A client's prompt is answered as ever."""
    assert play("sim-tiny", "Why?", KNOWN, lambda prompt, model: "", 0) is None
    assert "simulated model" in SOURCE.answer("sim-tiny", "Why?", ()).text
