"""Fitting `svm`: calibration, and what happens without scikit-learn."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.errors import ConfigError
from routeiq.learn.fitting import Lesson
from routeiq.learn.svm import _calibrate, fit
from routeiq.routing.trained import sigmoid
from tests.unit.learn.scene import vectors, world

EVERYTHING = np.ones(400, dtype=bool)


def lesson(prompts: int = 400) -> Lesson:
    """The toy world as a lesson."""
    matrix = world(prompts)
    return Lesson.of(matrix, vectors(matrix), "words@1", 0)


def test_calibrated_margins_have_the_mean_of_the_scores() -> None:
    """Platt's curve is right on average for each model, whatever the scale of the margins."""
    found = lesson()
    topic = np.array([1.0 if category == "maths" else -1.0 for category in found.matrix.categories])
    for scale in (0.05, 0.3, 1.0):
        margins = scale * topic[:, None] * np.array([1.0, 1.0, -1.0])
        a, b = _calibrate(margins, found, EVERYTHING)
        np.testing.assert_allclose(sigmoid(margins * a + b).mean(axis=0), found.prior, atol=0.02)


def test_margins_that_separate_perfectly_have_a_finite_curve() -> None:
    """The prior of the slope keeps it finite."""
    found = lesson()
    a, b = _calibrate(np.where(found.score > 0.5, 1.0, -1.0), found, EVERYTHING)
    assert np.isfinite([*a, *b]).all()
    assert (a > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_scores_are_not_believed(seed: int) -> None:
    """The calibration is judged on prompts it was not fitted to, so that it cannot vouch for noise."""
    matrix = world(200)
    score = matrix.score[np.random.default_rng(seed).permutation(200)]
    artifact = fit(replace(matrix, score=score), vectors(matrix), "words@1")
    assert artifact.manifest.training["believed"] == 0.0


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training this family needs an extra; the error names it."""
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    matrix = world(60)
    with pytest.raises(ConfigError, match=r"routeiq-router\[train\]"):
        fit(matrix, vectors(matrix), "words@1")
