"""`routeiq decide`."""

from pathlib import Path

import pyarrow.parquet
import pytest

from tests.unit.cli.conftest import Command


def test_decide_writes_every_lambda_and_prompt(command: Command, outcomes: Path, trained: Path, tmp_path: Path) -> None:
    """The file has a row per lambda and prompt, and what was expected of each candidate, in the README's columns."""
    output = tmp_path / "d.parquet"
    shown = command(
        "decide", "--artifact", trained / "knn.npz", "--data", outcomes, "--suite", "toy", "--split", "test",
        "--lambda", "0.5,0", "--output", output,
    )  # fmt: skip
    assert shown.status == 0, shown.err
    table = pyarrow.parquet.read_table(output)
    assert table.column_names == ["lambda", "suite", "prompt_id", "model", "propensity"] + [
        f"{what}:{model}" for what in ("score", "cost") for model in ("cheap", "dear", "poet")
    ]
    prompts = len(set(table["prompt_id"].to_pylist()))
    assert table.num_rows == 2 * prompts
    assert sorted(set(table["lambda"].to_pylist())) == [0.0, 0.5]
    assert f"{prompts} prompts  2 lambda(s)" in shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "toi", "--strategy", "random"], "did you mean 'toy'?"),
        (["--suite", "toy", "--strategy", "random", "--models", "cheap,deer"], "did you mean 'dear'?"),
        (["--suite", "toy", "--strategy", "randm"], "did you mean 'random'?"),
        (["--suite", "toy", "--strategy", "random", "--split", "tset"], "it has test, train, valid"),
        (["--suite", "toy", "--strategy", "random", "--lambda", "0,-1"], "--lambda '-1'"),
        (["--suite", "toy"], "either --artifact FILE or --strategy NAME"),
    ],
)
def test_decide_says_what_is_wrong(
    command: Command, outcomes: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    """A mistake ends with status 2 and a message that says what to write instead."""
    shown = command("decide", "--data", outcomes, "--output", tmp_path / "d.parquet", *options)
    assert shown.status == 2
    assert message in shown.err
    assert not (tmp_path / "d.parquet").exists()
