"""Right and wrong answers, by reference and by judge."""

from pathlib import Path
from typing import Any

import pytest

from routeiq.core.errors import DataError
from routeiq.learn.grading import Reference, grade, judgement, question_to_judge, references
from tests.unit.learn.scene import model_rows, outcome_rows, prompt_rows, world, write


@pytest.mark.parametrize(
    ("checker", "reference", "right", "wrong"),
    [
        ("exact", "Paris", ["paris.", "The answer is **Paris**.", "Let me think.\nParis"], ["", "Paris or Rome"]),
        ("choice", "C", ["C", "The answer is (C).", "A is wrong, B too, so C"], ["B", "", "answer is B, not C", "Cat"]),
        ("number", "1,234.5", ["It is 1234.5", "12 + 1 = 1,234.50"], ["1234", "none", ""]),
    ],
)  # fmt: skip
def test_answers_are_compared_with_the_reference(checker: str, reference: str, right: Any, wrong: Any) -> None:
    """However the answer is dressed; an empty answer is wrong."""
    assert [grade(Reference(reference, checker), text) for text in right] == [1.0] * len(right)
    assert [grade(Reference(reference, checker), text) for text in wrong] == [0.0] * len(wrong)


def test_a_judge_says_one_number() -> None:
    """Anything else is no judgement; the reference is in the question where there is one."""
    assert [judgement(text) for text in ("0.75", "Grade: 1", "0")] == [0.75, 1.0, 0.0]
    assert [judgement(text) for text in ("good", "", "7", "0.5 or 0.6", "-1")] == [None] * 5
    assert "<reference>\nParis" in question_to_judge("Capital?", "Rome", Reference("Paris"))
    assert "<reference>" not in question_to_judge("Capital?", "Rome", None)


def test_references_stand_in_the_folder(tmp_path: Path) -> None:
    """By suite and prompt; a checker that does not exist is an error with its row."""
    matrix = world(6)
    rows = [{**row, "reference": f"a{i}" if i else None, "checker": None} for i, row in enumerate(prompt_rows(matrix))]
    folder = write(tmp_path / "a", rows, outcome_rows(matrix), model_rows())
    found = references(folder, ("toy",))
    assert found["toy", "p0001"] == Reference("a1", "exact")
    assert len(found) == 5
    assert references(folder, ("other",)) == {}
    assert references(write(tmp_path / "b", prompt_rows(matrix), outcome_rows(matrix), model_rows()), ("toy",)) == {}
    rows[2]["checker"] = "excat"
    with pytest.raises(DataError, match=r"row 3: checker 'excat'.*'exact'"):
        references(write(tmp_path / "c", rows, outcome_rows(matrix), model_rows()), ("toy",))
