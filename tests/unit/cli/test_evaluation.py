"""`routeiq eval`."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.unit.cli.conftest import Command


def test_an_artifact_and_its_decisions_have_the_same_figures(
    command: Command, outcomes: Path, trained: Path, tmp_path: Path
) -> None:
    """Evaluating the artifact, and evaluating what it decided, print and write the same measures."""
    where = ["--data", outcomes, "--suite", "toy"]
    artifact = ["--artifact", trained / "knn.npz"]
    decided = tmp_path / "knn.parquet"
    assert command("decide", *artifact, *where, "--lambda", "sweep", "--output", decided).status == 0
    first = command("eval", *artifact, *where, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    second = command("eval", "--decisions", decided, *where, "--json", tmp_path / "b.json")
    assert (first.status, second.status) == (0, 0), first.err + second.err
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    for key in ("measures", "gains", "curve", "calibration", "categories"):
        assert one[key] == other[key]
    assert one["leakage"]["near"] is not None
    assert "best fixed" in first.out
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_every_extra_can_be_asked_for(command: Command, outcomes: Path, trained: Path, tmp_path: Path) -> None:
    """Leave-one-task-out, stability and learning curve appear in JSON, page and terminal."""
    shown = command(
        "eval", "--artifact", trained / "knn.npz", "--data", outcomes, "--suite", "toy", "--leave-out", "--robustness",
        "--learning-curve", "--json", tmp_path / "e.json", "--html", tmp_path / "e.html",
    )  # fmt: skip
    assert shown.status == 0, shown.err
    said = json.loads((tmp_path / "e.json").read_text())
    assert {one["category"] for one in said["leave_out"]} == {"maths", "verse"}
    assert "typos" in {one["change"] for one in said["stability"]}
    assert said["learning_curve"]
    assert "trained without the category" in shown.out
    assert "Tasks it was not trained on" in (tmp_path / "e.html").read_text()


def test_an_outside_file_of_three_columns_is_measured(command: Command, outcomes: Path, tmp_path: Path) -> None:
    """A file that sends everything to one model has that model's score."""
    prompts = pyarrow.parquet.read_table(outcomes / "prompts.parquet").to_pylist()
    ids = [row["prompt_id"] for row in prompts]
    theirs = pyarrow.table({"lambda": [0.0] * len(ids), "prompt_id": ids, "model": ["poet"] * len(ids)})
    pyarrow.parquet.write_table(theirs, tmp_path / "theirs.parquet")
    shown = command(
        "eval", "--decisions", tmp_path / "theirs.parquet", "--data", outcomes, "--suite", "toy",
        "--json", tmp_path / "e.json",
    )  # fmt: skip
    assert shown.status == 0, shown.err
    said = json.loads((tmp_path / "e.json").read_text())
    poet = next(one for one in said["models"] if one["name"] == "poet")
    assert said["measures"]["router"]["score"] == pytest.approx(poet["score"])
    assert poet["share"] == 1.0


def test_eval_measures_a_strategy_by_name(command: Command, outcomes: Path) -> None:
    """A static strategy is measured like any router."""
    shown = command("eval", "--strategy", "fixed", "--data", outcomes, "--suite", "toy")
    assert shown.status == 0, shown.err
    assert "+0.000, no difference shown" in shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give one of --artifact FILE, --decisions FILE and --strategy NAME"),
        (["--strategy", "random", "--robustness"], "need --artifact FILE"),
        (["--decisions", "none.parquet"], "none.parquet does not exist"),
        (["--strategy", "random", "--models", "cheap"], "routing needs at least two"),
    ],
)
def test_eval_says_what_is_wrong(command: Command, outcomes: Path, options: list[str], message: str) -> None:
    """A mistake ends with status 2 and says what to write instead."""
    shown = command("eval", "--data", outcomes, "--suite", "toy", *options)
    assert shown.status == 2
    assert message in shown.err


def test_figures_are_not_written_over_the_manifest(command: Command, outcomes: Path, trained: Path) -> None:
    """The artifact's manifest has the place beside it, so the figures must go elsewhere."""
    where = ["--data", outcomes, "--suite", "toy", "--artifact", trained / "knn.npz"]
    before = (trained / "knn.json").read_bytes()
    shown = command("eval", *where, "--json", trained / "knn.json")
    assert shown.status == 2
    assert "is the manifest of the artifact" in shown.err
    assert (trained / "knn.json").read_bytes() == before
