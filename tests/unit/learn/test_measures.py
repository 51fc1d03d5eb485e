"""Arena score, two-model measures, calibration, categories: against numbers worked out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.learn.comparison import compare
from routeiq.learn.dataset import read
from routeiq.learn.decisions import by_strategy
from routeiq.learn.evaluate import Judged, Reference
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.measures import arena_score, by_category, calibration, category_table, labels, two_models
from tests.unit.learn.scene import world

REFERENCE = Reference(score=np.array([0.2, 0.8]), cost_usd=np.array([1.0, 3.0]))
JUDGED = Judged(score=np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), cost_usd=np.tile([1.0, 3.0], (4, 1)))


def test_the_arena_score_by_hand() -> None:
    """At the cheapest cost it is 1.1 A / (.1 A + 1), at the dearest 0, and costs beyond count as the bounds."""
    assert arena_score(0.8, 0.0044 / 1000) == pytest.approx(0.88 / 1.08)
    assert arena_score(0.8, 0.2) == pytest.approx(0.0)
    assert arena_score(0.8, 0.0) == arena_score(0.8, 1e-9)
    assert arena_score(0.781, 0.27 / 1000) == pytest.approx(0.763, abs=0.006)


def test_two_models_by_hand() -> None:
    """Gains of .25 and .25 and 0 and -.25 in this order, over a gap of .25: PGR 1, 2, 2, 1 at a quarter each."""
    judged = JUDGED
    predicted = np.array([[0.0, 0.9], [0.0, 0.1], [0.0, 0.5], [0.0, 0.0]])
    found = two_models(np.zeros((1, 4), dtype=np.intp), predicted, judged, REFERENCE)
    assert found is not None
    assert (found.weak, found.strong) == (0, 1)
    assert found.curve == ((0.0, 0.0), (0.25, 1.0), (0.5, 2.0), (0.75, 2.0), (1.0, 1.0))
    assert found.apgr == pytest.approx((0.5 + 1.5 + 2.0 + 1.5) / 4)
    assert found.cpt50 == pytest.approx(0.125)
    assert found.cpt80 == pytest.approx(0.2)


def test_equal_predictions_go_to_the_strong_model_together() -> None:
    """A constant prediction is the straight line: APGR one half, and half of the calls for half of the gain."""
    found = two_models(np.zeros((1, 4), dtype=np.intp), np.full((4, 2), 0.5), JUDGED, REFERENCE)
    assert found is not None
    assert (found.apgr, found.cpt50, found.cpt80) == pytest.approx((0.5, 0.5, 0.8))


def test_without_predictions_the_choices_are_the_points() -> None:
    """A file that only names models gives its own points between no call and every call."""
    choices = np.array([[1, 0, 1, 0]], dtype=np.intp)
    found = two_models(choices, None, JUDGED, REFERENCE)
    assert found is not None
    assert found.curve == ((0.0, 0.0), (0.5, 2.0), (1.0, 1.0))
    assert found.cpt50 == pytest.approx(0.125)


def test_two_model_measures_need_two_models_and_a_gap() -> None:
    """Three models have none; where the strong model is not better they are not defined."""
    three = Judged(np.ones((2, 3)), np.ones((2, 3)))
    assert two_models(np.zeros((1, 2), dtype=np.intp), None, three, Reference(np.ones(3), np.ones(3))) is None
    level = two_models(np.zeros((1, 4), dtype=np.intp), None, replace_scores(np.ones((4, 2))), REFERENCE)
    assert level is not None
    assert np.isnan([level.apgr, level.cpt50, level.cpt80]).all()


def replace_scores(score: np.ndarray) -> Judged:
    """Return the judged prompts with other scores."""
    return replace(JUDGED, score=score)


def test_calibration_by_hand() -> None:
    """Two bins: .1 off for three prompts, .5 off for one, makes .2."""
    found = calibration(np.array([0.9, 0.92, 0.94, 0.5, np.nan]), np.array([1.0, 1.0, 1.06, 0.0, 1.0]))
    assert found is not None
    assert found.error == pytest.approx(0.2)
    assert [(one.low, one.prompts) for one in found.bins] == [(0.5, 1), (0.9, 3)]
    assert calibration(np.full(3, np.nan), np.ones(3)) is None


def test_a_row_per_category() -> None:
    """Differences are to the best fixed model on the same prompts; the most chosen model is named."""
    matrix = world(80)
    reference, test = Reference.of(matrix.split("train")), matrix.split("test")
    judged = Judged.of(test, reference)
    choice = np.array([0 if name == "maths" else 2 for name in test.categories])
    rows = by_category(choice, judged, test, reference)
    assert [row.name for row in rows] == ["maths", "verse"]
    for row, column in zip(rows, (0, 2), strict=True):
        inside = np.array([name == row.name for name in test.categories])
        assert row.score == pytest.approx(judged.score[inside, column].mean())
        assert row.difference == pytest.approx(row.score - judged.score[inside, reference.best].mean())
        assert (row.most, row.share) == (test.models[column], 1.0)


def test_what_a_category_tells_is_its_training_mean() -> None:
    """A category without training prompts tells no more than all training prompts."""
    matrix = world(80)
    train, reference = matrix.split("train"), Reference.of(matrix.split("train"))
    maths = np.array([name == "maths" for name in train.categories])
    table = category_table(train, replace(matrix.rows([0, 1]), categories=("maths", "new")), reference)
    np.testing.assert_allclose(table, [train.score[maths].mean(axis=0), reference.score])


def test_categories_of_several_suites_are_kept_apart() -> None:
    """The same word in two suites is two kinds of task."""
    both = replace(world(20).rows([0, 1]), suites=("a", "b"), categories=("x", "x"))
    assert labels(both) == ["a/x", "b/x"]


def evaluated(matrix: OutcomeMatrix) -> dict[str, float]:
    """Return the scores of what a fixed strategy is compared with on the test split."""
    reference = Reference.of(matrix.split("train"))
    decided = by_strategy("fixed", matrix.split("test"), reference, np.zeros(1))
    return {name: one.score for name, one in compare(decided, matrix, "test", reference, resamples=2).rows.items()}


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("suite", "published"), [("mmlupro", (0.464, 0.418, 0.704, 0.918)), ("routellm", (0.764, 0.693, 0.835, 0.877))]
)
def test_the_published_baselines_come_out(recorded_data: Path, suite: str, published: tuple[float, ...]) -> None:
    """On recorded outcomes random, cheapest, best fixed and oracle are the published ones."""
    found = evaluated(read(recorded_data, [suite]))
    names = ("random", "cheapest", "best_fixed", "oracle")
    assert [found[name] for name in names] == pytest.approx(published, abs=0.0006)
    assert found["router"] == found["best_fixed"]
    assert found["best_fixed"] - 0.01 < found["dataset_oracle"] < found["oracle"]
