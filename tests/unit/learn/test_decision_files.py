"""Decisions on disk: what we write is what is read, and what is wrong with other people's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routeiq.core.errors import DataError
from routeiq.learn.decision_files import read, write
from routeiq.learn.decisions import by_strategy
from routeiq.learn.evaluate import Reference
from tests.unit.learn.scene import world

MATRIX = world(64)
TEST = MATRIX.split("test")
REFERENCE = Reference.of(MATRIX.split("train"))


def rows(**changed: Mapping[int, Any]) -> dict[str, list[Any]]:
    """Return valid columns of an outside file, with some cells changed."""
    columns: dict[str, list[Any]] = {
        "lambda": [0.0] * len(TEST) + [1.0] * len(TEST),
        "prompt_id": [*TEST.ids, *TEST.ids],
        "model": ["dear"] * len(TEST) + ["cheap"] * len(TEST),
    }
    for name, cells in changed.items():
        for at, value in cells.items():
            columns.setdefault(name, [1.0] * 2 * len(TEST))[at] = value
    return columns


def put(path: Path, columns: Mapping[str, list[Any]]) -> Path:
    """Write columns as Parquet, or as CSV by the ending."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table(dict(columns))
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Choices, propensities, predictions and lambdas come back as they were."""
    decided = by_strategy("random", TEST, REFERENCE, np.array([0.0, 0.3]), 3)
    scored = replace(decided, score=np.random.default_rng(0).random((len(TEST), 3)))
    write(tmp_path / "d.parquet", scored)
    found = read(tmp_path / "d.parquet", TEST)
    for name in ("choices", "propensity", "lambdas", "score", "cost_usd"):
        np.testing.assert_array_equal(getattr(found, name), getattr(scored, name))
    assert [path.name for path in tmp_path.iterdir()] == ["d.parquet"]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_three_columns_are_enough(tmp_path: Path, ending: str) -> None:
    """A file from outside needs lambda, prompt_id and model, in any order of rows."""
    shuffled = np.random.default_rng(0).permutation(2 * len(TEST))
    columns = {name: [values[i] for i in shuffled] for name, values in rows().items()}
    found = read(put(tmp_path / f"theirs.{ending}", columns), TEST)
    assert found.router == "theirs"
    assert found.choices.tolist() == [[1] * len(TEST), [0] * len(TEST)]
    assert (found.propensity == 1).all()
    assert found.score is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": {2: "dera"}}, r"row 3 \(model 'dera'\): the model is not in the pool; did you mean 'dear'"),
        ({"prompt_id": {4: "p9999"}}, r"row 5 \(prompt_id 'p9999'\): no such prompt.*--suite"),
        ({"prompt_id": {1: TEST.ids[0]}}, r"row 2 .*two decisions at this lambda; keep one"),
        ({"lambda": {0: float("nan")}}, r"row 1 .*lambda is not a finite number"),
        ({"propensity": {3: 0.0}}, r"row 4 .*not in \(0, 1\]"),
        ({"lambda": {0: 0.5}}, r"decision\(s\) are missing, the first for prompt"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    """The error names the row, what is wrong with it and what to do."""
    with pytest.raises(DataError, match=message):
        read(put(tmp_path / "d.parquet", rows(**changed)), TEST)


def test_rows_about_other_splits_are_passed_over(tmp_path: Path) -> None:
    """A file may hold decisions for all prompts; the split's own are taken."""
    train = MATRIX.split("train")
    columns = rows()
    columns["lambda"].append(0.0)
    columns["prompt_id"].append(train.ids[0])
    columns["model"].append("poet")
    found = read(put(tmp_path / "d.parquet", columns), TEST, [("toy", train.ids[0])])
    assert found.choices.shape == (2, len(TEST))


@pytest.mark.parametrize("gone", ["lambda", "prompt_id", "model"])
def test_a_missing_column_is_named(tmp_path: Path, gone: str) -> None:
    """The error says which column is needed and which are there."""
    columns = {name: values for name, values in rows().items() if name != gone}
    with pytest.raises(DataError, match=f"has no column {gone}; needed are"):
        read(put(tmp_path / "d.parquet", columns), TEST)


def test_files_that_are_no_decisions_are_refused(tmp_path: Path) -> None:
    """An absent file, one that is no Parquet and one without rows each get a message."""
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.parquet", TEST)
    (tmp_path / "text.parquet").write_text("lambda,prompt_id")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "text.parquet", TEST)
    empty = put(tmp_path / "empty.csv", {name: values[:0] for name, values in rows().items()})
    with pytest.raises(DataError, match="no rows"):
        read(empty, TEST)
