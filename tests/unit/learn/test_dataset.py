"""Reading recorded outcomes: what becomes of good files, and what is said about bad ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routeiq.core.errors import DataError
from routeiq.learn.dataset import read
from tests.unit.learn.scene import model_rows, outcome_rows, prompt_rows, world, write, write_world

Rows = list[dict[str, Any]]
Change = Callable[[Rows, Rows, Rows], object]


def changed(folder: Path, change: Change) -> Path:
    """Write a small world after a change to its lines."""
    matrix = world(20)
    prompts, outcomes, models = prompt_rows(matrix), outcome_rows(matrix), model_rows()
    change(prompts, outcomes, models)
    return write(folder, prompts, outcomes, models)


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Scores, costs, tokens, latencies, prices, texts and splits come back in canonical order."""
    matrix = world(40)
    found = read(write_world(tmp_path, matrix), ["toy"])
    assert found.models == matrix.models
    assert (found.ids, found.texts, found.splits) == (matrix.ids, matrix.texts, matrix.splits)
    for name in ("score", "cost_usd", "output_tokens", "latency_s", "input_price", "output_price"):
        np.testing.assert_allclose(getattr(found, name), getattr(matrix, name))


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    """Files with the same rows in another order give the same matrix."""
    forward = read(changed(tmp_path / "a", lambda p, o, m: None), ["toy"])
    backward = read(changed(tmp_path / "b", lambda p, o, m: (p.reverse(), o.reverse(), m.reverse())), ["toy"])
    assert backward.fingerprint() == forward.fingerprint()
    assert (backward.ids, backward.models) == (forward.ids, forward.models)


def test_a_missing_outcome_is_an_empty_cell(tmp_path: Path) -> None:
    """A model without an outcome for a prompt is no error."""
    found = read(changed(tmp_path, lambda p, o, m: o.pop(0)), ["toy"])
    assert np.isnan(found.score).sum() == 1
    assert len(found.complete()) == len(found) - 1


def test_a_missing_cost_is_computed_from_tokens_and_prices(tmp_path: Path) -> None:
    """Where no cost was recorded, it is tokens times list price."""
    folder = changed(tmp_path, lambda p, o, m: [row.update(cost_usd=None) for row in o])
    np.testing.assert_allclose(read(folder, ["toy"]).cost_usd, world(20).cost_usd)


def test_models_outside_the_pool_are_left_out_unless_named(tmp_path: Path) -> None:
    """`in_pool` chooses the default columns, `--models` overrides it."""
    folder = changed(tmp_path, lambda p, o, m: m[2].update(in_pool="False"))
    assert read(folder, ["toy"]).models == ("cheap", "dear")
    assert read(folder, ["toy"], ["poet", "cheap"]).models == ("cheap", "poet")


def test_suites_that_name_a_model_differently_are_joined(tmp_path: Path) -> None:
    """`NAME=OTHER` reads the outcomes of OTHER where a suite has no NAME."""
    first, second = world(20), world(20, seed=1, suite="more")
    prompts = prompt_rows(first) + prompt_rows(second)
    outcomes = outcome_rows(first) + outcome_rows(second)
    models = model_rows() + model_rows("more")
    for row in [*outcomes, *models]:
        if row["suite"] == "more" and row["model"] == "dear":
            row["model"] = "dear-002"
    folder = write(tmp_path, prompts, outcomes, models)
    assert read(folder, ["toy", "more"]).models == ("cheap", "poet")
    joined = read(folder, ["toy", "more"], ["cheap", "dear=dear-002"])
    assert joined.models == ("cheap", "dear")
    assert len(joined) == 40
    assert not np.isnan(joined.score).any()


BAD: dict[str, tuple[Change, list[str]]] = {
    "missing column": (lambda p, o, m: [row.pop("score") for row in o], ["outcomes.parquet", "score"]),
    "score is NaN": (lambda p, o, m: o[4].update(score=float("nan")), ["outcomes.parquet row 5", "missing"]),
    "score is null": (lambda p, o, m: o[4].update(score=None), ["outcomes.parquet row 5", "missing"]),
    "score above 1": (lambda p, o, m: o[6].update(score=1.5), ["outcomes.parquet row 7", "0..1", "1.5"]),
    "score below 0": (lambda p, o, m: o[6].update(score=-0.1), ["outcomes.parquet row 7", "0..1"]),
    "score is text": (lambda p, o, m: [r.update(score="good") for r in o], ["outcomes.parquet", "score", "numeric"]),
    "negative cost": (lambda p, o, m: o[1].update(cost_usd=-1.0), ["outcomes.parquet row 2", "cost_usd"]),
    "outcome twice": (lambda p, o, m: o.append(dict(o[3])), ["outcomes.parquet row 61", "twice"]),
    "unlisted model": (lambda p, o, m: o[3].update(model="chep"), ["outcomes.parquet row 4", "chep", "'cheap'"]),
    "unknown prompt": (lambda p, o, m: o[3].update(prompt_id="zz"), ["outcomes.parquet row 4", "prompts.parquet"]),
    "prompt twice": (lambda p, o, m: p.append(dict(p[0])), ["prompts.parquet row 21", "twice"]),
    "prompt is null": (lambda p, o, m: p[2].update(prompt=None), ["prompts.parquet row 3", "not text"]),
    "unknown split": (lambda p, o, m: p[2].update(split="dev"), ["prompts.parquet row 3", "train, valid, test"]),
    "model twice": (lambda p, o, m: m.append(dict(m[0])), ["models.csv row 4", "twice"]),
    "price is text": (lambda p, o, m: m[0].update(usd_per_m_input="free"), ["models.csv row 1", "free"]),
    "one model": (lambda p, o, m: [r.update(in_pool="False") for r in m[1:]], ["models.csv", "at least two"]),
    "one prompt": (
        lambda p, o, m: (p.__delitem__(slice(1, None)), o.__delitem__(slice(3, None))),
        ["prompts.parquet", "1 prompt"],
    ),
    "model without outcomes": (
        lambda p, o, m: o.__setitem__(slice(None), [r for r in o if r["model"] != "poet"]),
        ["outcomes.parquet", "poet", "--models"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_with_file_row_and_remedy(tmp_path: Path, case: str) -> None:
    """What cannot be trained on is an error that says where it stands, and never skipped."""
    change, said = BAD[case]
    with pytest.raises(DataError) as caught:
        read(changed(tmp_path, change), ["toy"])
    for part in said:
        assert part in caught.value.message


def test_a_row_of_another_suite_is_not_looked_at(tmp_path: Path) -> None:
    """Only the rows that are used have to be good."""

    def spoil(prompts: Rows, outcomes: Rows, models: Rows) -> None:
        prompts.append({**prompts[0], "suite": "other", "split": "?"})
        outcomes.append({**outcomes[0], "suite": "other", "score": 7.0})

    assert len(read(changed(tmp_path, spoil), ["toy"])) == 20


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file, an unknown suite and an unknown model are named, with what is known."""
    with pytest.raises(DataError, match=r"models\.csv does not exist"):
        read(tmp_path, ["toy"])
    folder = changed(tmp_path / "data", lambda p, o, m: None)
    with pytest.raises(DataError, match="did you mean 'toy'"):
        read(folder, ["toys"])
    with pytest.raises(DataError, match="did you mean 'poet'"):
        read(folder, ["toy"], ["cheap", "poets"])
    with pytest.raises(DataError, match="no suite"):
        read(folder, [])
    with pytest.raises(DataError, match="named twice"):
        read(folder, ["toy"], ["cheap", "cheap"])


def test_a_file_that_is_not_parquet_is_said_to_be_so(tmp_path: Path) -> None:
    """Truncated or foreign files are an error of the data, not a stack trace."""
    folder = changed(tmp_path, lambda p, o, m: None)
    content = (folder / "outcomes.parquet").read_bytes()
    (folder / "outcomes.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"outcomes\.parquet cannot be read"):
        read(folder, ["toy"])


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("suite", "models", "judged"),
    [("mmlupro", 12, 1532), ("zeroeval", 19, 313), ("bfcl", 19, 207), ("routellm", 2, 1954), ("mix4", 4, 1845)],
)
def test_the_recorded_suites_have_the_stated_sizes(recorded_data: Path, suite: str, models: int, judged: int) -> None:
    """Pool and complete test prompts of each suite are those the published baselines were measured on."""
    matrix = read(recorded_data, [suite])
    assert len(matrix.models) == models
    assert len(matrix.split("test").complete()) == judged
