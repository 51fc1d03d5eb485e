"""Fitting `hybrid`: gaps to the best fixed model."""

import numpy as np

from routeiq.learn.fitting import Lesson
from routeiq.learn.hybrid import _gaps, _regress, fit
from routeiq.learn.ridge import Spectrum
from tests.unit.learn.scene import vectors, world


def test_the_best_fixed_model_has_no_gap_to_itself() -> None:
    """Its weights are zeros, and the manifest names it."""
    matrix = world(400)
    artifact = fit(matrix, vectors(matrix), "words@1")
    assert artifact.manifest.training["against"] == "dear"
    assert (artifact.arrays["gap_weights"][1] == 0).all()
    assert np.abs(artifact.arrays["gap_weights"][[0, 2]]).max() > 0


def test_how_hard_a_prompt_is_cancels_out() -> None:
    """Scores that rise and fall for all models alike leave the gaps as they are."""
    matrix = world(200)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    harder = lesson.residual - np.random.default_rng(0).random((200, 1))
    gap, _ = _gaps(lesson, 1)
    np.testing.assert_allclose(harder - harder[:, [1]], gap, atol=1e-12)


def test_a_gap_counts_only_where_both_scores_are_known() -> None:
    """A model that was asked half of the prompts is regressed on that half."""
    matrix = world(400)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    gap, paired = _gaps(lesson, 1)
    asked = np.arange(400) % 4 < 2
    paired[:, 2] = asked
    spoiled = gap.copy()
    spoiled[~asked, 2] = 99.0
    one, other = (_regress(Spectrum.of(lesson.inputs), g, paired) for g in (gap, spoiled))
    np.testing.assert_allclose(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1])
