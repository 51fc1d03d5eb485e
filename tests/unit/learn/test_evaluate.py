"""The measures: curve, hull, AIQ, saving, baselines, intervals."""

from pathlib import Path

import numpy as np
import pytest

from routeiq.core.errors import DataError
from routeiq.learn.dataset import read
from routeiq.learn.evaluate import (
    LAMBDAS,
    Judged,
    Reference,
    aiq,
    baselines,
    choose,
    fixed,
    hull,
    measure,
    paired,
    saving,
    zero_router,
)
from tests.unit.learn.scene import world


def judged_world() -> tuple[Judged, Reference]:
    """Test prompts of the toy world and what its training prompts say."""
    matrix = world(800)
    reference = Reference.of(matrix.split("train"))
    return Judged.of(matrix.split("test"), reference), reference


def test_the_sweep_is_0_and_120_values_from_1e_4_to_1e3() -> None:
    """The lambdas are those of the definition."""
    assert len(LAMBDAS) == 121
    assert LAMBDAS[0] == 0
    np.testing.assert_allclose(LAMBDAS[[1, -1]], [1e-4, 1e3])


def test_the_hull_drops_what_a_mixture_beats() -> None:
    """Points below the line between two others, and dearer ones that are no better, are not on the hull."""
    cost, score = hull(np.array([1.0, 2.0, 3.0, 4.0, 2.5]), np.array([0.1, 0.2, 0.9, 0.8, 0.5]))
    assert cost.tolist() == [1.0, 3.0]
    assert score.tolist() == [0.1, 0.9]


def test_the_hull_of_points_at_one_cost_is_the_best_of_them() -> None:
    """Equal costs do not divide by zero."""
    cost, score = hull(np.array([1.0, 1.0, 1.0]), np.array([0.3, 0.7, 0.5]))
    assert (cost.tolist(), score.tolist()) == ([1.0], [0.7])


def test_aiq_is_the_mean_height_and_level_outside() -> None:
    """Between two vertices the hull is straight, beyond the last it stays level."""
    assert aiq(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, 1.0) == pytest.approx(0.5)
    assert aiq(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, 2.0) == pytest.approx(0.75, abs=0.002)


def test_saving_is_the_cost_left_over_at_a_score() -> None:
    """Half way up a straight hull costs half; a score that is never reached saves nothing that could be named."""
    cost, score = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    assert saving(cost, score, 0.5, 1.0) == pytest.approx(0.5)
    assert np.isnan(saving(cost, score, 1.1, 1.0))


def test_equal_predictions_go_to_the_cheapest_model() -> None:
    """Noise must not drive a router to the dearest model."""
    reference = Reference(score=np.array([0.5, 0.5, 0.5]), cost_usd=np.array([3.0, 1.0, 2.0]))
    assert choose(np.full((4, 3), 0.5), reference)[0].tolist() == [1, 1, 1, 1]


def test_a_model_that_nothing_is_predicted_of_is_never_chosen() -> None:
    """NaN is no opinion, and not the highest score."""
    reference = Reference(score=np.array([0.5, 0.5]), cost_usd=np.array([1.0, 2.0]))
    assert (choose(np.array([[np.nan, 0.1]]), reference) == 1).all()


def test_a_model_without_scores_is_not_the_best_fixed_one() -> None:
    """A model that no training prompt was tried on is known not to be known."""
    matrix = world(50)
    matrix.score[:, 1] = np.nan
    assert Reference.of(matrix).best != 1


def test_a_model_without_known_cost_counts_as_the_dearest() -> None:
    """A missing price must not look cheap."""
    matrix = world(100)
    matrix.cost_usd[:, 0] = np.nan
    reference = Reference.of(matrix)
    assert reference.cost_usd[0] == reference.cost_usd.max()


def test_knowing_every_score_is_the_oracle_and_nothing_beats_it() -> None:
    """A router that predicts the true scores has the oracle's score; every baseline is below."""
    judged, reference = judged_world()
    found = baselines(judged, reference)
    perfect = measure(judged.score, judged, reference)
    assert perfect.score == pytest.approx(found["oracle"].score)
    assert all(found["oracle"].score >= other.score for other in found.values())
    assert found["oracle"].aiq >= found["zero_router"].aiq
    assert found["random"].score == pytest.approx(judged.score.mean())


def test_a_single_point_has_no_aiq() -> None:
    """One model is not a curve, and must not be compared with one."""
    judged, reference = judged_world()
    found = baselines(judged, reference)
    assert all(np.isnan(found[name].aiq) for name in ("best_fixed", "cheapest", "random"))
    assert found["best_fixed"].saving100 == pytest.approx(0.0)


def test_train_means_give_points_of_the_zero_router() -> None:
    """A constant prediction can only name fixed models, so its AIQ is at most the zero router's."""
    judged, reference = judged_world()
    constant = measure(np.tile(reference.score, (len(judged), 1)), judged, reference)
    zero = zero_router(judged, reference)
    assert constant.score == pytest.approx(fixed(reference.best, judged, reference).score)
    assert constant.aiq <= zero.aiq + 1e-12


def test_the_best_fixed_model_is_chosen_on_train() -> None:
    """What does best on test does not matter."""
    reference = Reference(score=np.array([0.6, 0.5]), cost_usd=np.array([1.0, 1.0]))
    judged = Judged(score=np.array([[0.0, 1.0], [0.0, 1.0]]), cost_usd=np.ones((2, 2)))
    assert baselines(judged, reference)["best_fixed"].score == 0.0


def test_no_prompt_that_all_models_answered_is_an_error() -> None:
    """Routers can be compared only on prompts with every score."""
    matrix = world(20)
    matrix.score[:, 0] = np.nan
    with pytest.raises(DataError, match="--models"):
        Judged.of(matrix, Reference.of(matrix))


def test_the_interval_covers_a_true_difference_and_not_zero() -> None:
    """The paired interval is around the difference, the same for the same seed, and nil for equal routers."""
    judged, reference = judged_world()
    best = judged.score.argmax(axis=1)[None, :]
    plain = np.full((1, len(judged)), reference.best)
    found = paired(best, plain, judged, reference, resamples=200)
    assert 0 < found.low < found.difference < found.high
    assert found == paired(best, plain, judged, reference, resamples=200)
    same = paired(plain, plain, judged, reference, resamples=50)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)


PUBLISHED = {
    "mmlupro": (0.464, 0.418, 0.704, 0.7179, 0.918, 0.665, 0.188),
    "zeroeval": (0.769, 0.665, 0.901, 2.2449, 0.962, 0.895, 0.239),
    "bfcl": (0.839, 0.879, 0.932, 1.951, 0.986, 0.929, None),
    "routellm": (0.764, 0.693, 0.835, 1.1801, 0.877, 0.764, 0.116),
    "mix4": (0.628, 0.654, 0.724, 0.7434, 0.855, 0.689, 0.193),
}
"""random, cheapest, best fixed, its $ per thousand, oracle, AIQ and saving at 98 % of the zero router."""


@pytest.mark.recorded
@pytest.mark.parametrize("suite", PUBLISHED)
def test_the_published_baselines_come_out(recorded_data: Path, suite: str) -> None:
    """On the recorded test splits the baselines are the published ones to the last printed digit."""
    matrix = read(recorded_data, [suite])
    reference = Reference.of(matrix.split("train"))
    found = baselines(Judged.of(matrix.split("test"), reference), reference)
    best = found["best_fixed"]
    values = [found["random"].score, found["cheapest"].score, best.score, best.cost_usd * 1000, found["oracle"].score,
              found["zero_router"].aiq, found["zero_router"].saving98]  # fmt: skip
    for value, published in zip(values, PUBLISHED[suite], strict=True):
        if published is not None:
            assert value == pytest.approx(published, abs=0.0006)
