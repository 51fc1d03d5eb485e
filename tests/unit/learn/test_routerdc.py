"""Learning by contrast: soft targets, and a space in which prompts are near the models that answer them well."""

import numpy as np

from routeiq.learn.routerdc import fit
from routeiq.learn.targets import gain_of, shares, soft_targets
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world


def test_equal_scores_have_equal_shares() -> None:
    """No order of columns decides among models that tie for best; unscored ones have no share."""
    known = np.array([[True, True, True], [True, False, True]])
    found = soft_targets(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), known)
    assert found[0, 0] == found[0, 1] > found[0, 2] > 0
    np.testing.assert_allclose(found[1], [0.5, 0.0, 0.5])


def test_prompts_without_any_score_have_no_target() -> None:
    """They neither draw nor push."""
    np.testing.assert_array_equal(shares(np.zeros((1, 3)), np.zeros((1, 3), dtype=bool)), np.zeros((1, 3)))


def test_the_worth_of_an_opinion_is_measured_in_score_points() -> None:
    """What goes the other way is worth nothing, and so is no opinion."""
    residual = np.array([[0.4, -0.4], [-0.2, 0.2]])
    known = np.ones((2, 2), dtype=bool)
    assert gain_of(residual / 4, residual, known) == 4.0
    assert gain_of(-residual, residual, known) == 0.0
    assert gain_of(residual * 0, residual, known) == 0.0


def test_prompts_are_nearer_to_the_models_that_answer_them_well() -> None:
    """In the learned space the poet is on the side of verse, and the calculators on the other."""
    matrix = world(800)
    arrays = fit(matrix, vectors(matrix), WordEmbedder().id).arrays
    verse, maths = (
        arrays["projection"] @ WordEmbedder().embed(" ".join(WORDS[topic][:5])) + arrays["projection_offset"]
        for topic in ("verse", "maths")
    )
    poet, cheap = arrays["models"][MODELS.index("poet")], arrays["models"][MODELS.index("cheap")]
    assert poet @ verse > 0 > poet @ maths
    assert cheap @ maths > 0 > cheap @ verse
    np.testing.assert_allclose(np.linalg.norm(arrays["models"], axis=1), 1.0)
