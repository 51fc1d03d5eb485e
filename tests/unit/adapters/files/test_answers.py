"""Answers of a calibration on disk."""

from pathlib import Path

import pytest

from routeiq.adapters.files.answers import AnswerFile
from routeiq.core.errors import DataError

ABOUT = {"model": "new", "data": "abc", "prompts": 60, "seed": 0, "judge": ""}


def test_what_was_answered_is_there_again(tmp_path: Path) -> None:
    """After a crash in the middle of a line all whole lines are kept, and more can be added."""
    path = tmp_path / "deep" / "answers.jsonl"
    first = AnswerFile.open(path, ABOUT)
    first.add({"prompt_id": "a", "score": 1.0})
    first.add({"prompt_id": "b", "score": None})
    with path.open("ab") as file:
        file.write(b'{"prompt_id": "c", "sco')
    again = AnswerFile.open(path, ABOUT)
    assert [line["prompt_id"] for line in again.lines] == ["a", "b"]
    again.add({"prompt_id": "c", "score": 0.0})
    assert [line["prompt_id"] for line in AnswerFile.open(path, ABOUT).lines] == ["a", "b", "c"]
    assert path.stat().st_mode & 0o077 == 0


def test_answers_of_another_calibration_are_not_mixed_in(tmp_path: Path) -> None:
    """Another model, other data or another seed: refused, and the file stays as it is."""
    path = tmp_path / "answers.jsonl"
    AnswerFile.open(path, ABOUT)
    before = path.read_bytes()
    with pytest.raises(DataError, match="another calibration"):
        AnswerFile.open(path, {**ABOUT, "model": "other"})
    assert path.read_bytes() == before
    path.write_text("not JSON\n")
    with pytest.raises(DataError, match="not JSON"):
        AnswerFile.open(path, ABOUT)
