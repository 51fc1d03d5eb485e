"""Fitting `logistic`: the solver against scikit-learn's, and soft scores."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.learn import logistic
from routeiq.learn.fitting import Lesson
from routeiq.learn.logistic import fit
from routeiq.learn.ridge import Spectrum
from tests.unit.learn.scene import vectors, world


def test_the_solver_finds_what_scikit_learn_finds() -> None:
    """At the weakest strength of the path, for scores of 0 and 1."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    matrix = world(300)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    *_, (weights, intercept) = logistic._path(
        Spectrum.of(lesson.inputs), lesson.score, lesson.known, logistic.STRENGTHS
    )
    for j in range(3):
        other = linear_model.LogisticRegression(C=1 / logistic.STRENGTHS[-1], tol=1e-8, max_iter=500)
        other.fit(lesson.inputs, matrix.score[:, j])
        np.testing.assert_allclose(weights[j], other.coef_[0], atol=2e-3)
        assert intercept[j] == pytest.approx(float(other.intercept_[0]), abs=2e-3)


def test_a_score_between_zero_and_one_counts_as_what_it_is() -> None:
    """Scores of a half everywhere are expected to be a half, not rounded to a label."""
    matrix = world(200)
    halves = replace(matrix, score=np.full(matrix.score.shape, 0.5))
    arrays = fit(halves, vectors(halves), "words@1").arrays
    np.testing.assert_allclose(arrays["offset"], 0.0, atol=1e-6)
    np.testing.assert_allclose(arrays["weights"], 0.0, atol=1e-6)


def test_an_unknown_score_has_no_influence() -> None:
    """Whatever stands in a missing cell, the solution is that of the known ones."""
    matrix = world(200)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    known = np.random.default_rng(0).random(lesson.known.shape) < 0.7
    one, other = (
        next(logistic._path(Spectrum.of(lesson.inputs), np.where(known, lesson.score, fill), known, (10.0,)))
        for fill in (0.4, 0.6)
    )
    np.testing.assert_allclose(one[0], other[0], atol=0.05)
