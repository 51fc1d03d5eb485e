"""Ratings from comparisons: how they are made, and how one more comparison moves them."""

import numpy as np
import pytest

from routeiq.learn.elo import comparisons, edge, fit, rate, update
from tests.unit.learn.scene import MODELS, WordEmbedder, vectors, world


def test_a_higher_score_wins_and_ties_count_half() -> None:
    """A model without a score on a prompt has not played there."""
    wins = comparisons(np.array([[1.0, 0.0, 0.0], [0.5, np.nan, 0.25]]))
    np.testing.assert_array_equal(wins[0], [[0, 1, 1], [0, 0, 0.5], [0, 0.5, 0]])
    np.testing.assert_array_equal(wins[1], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_ratings_reproduce_the_share_of_wins() -> None:
    """Of two models, one that wins three games in four is rated at odds of three to one."""
    found = rate(np.array([[0.0, 3000.0], [1000.0, 0.0]]), np.zeros(2), 0.1)
    assert found[0] - found[1] == pytest.approx(np.log(3.0), abs=1e-3)


def test_without_games_the_prior_is_the_rating() -> None:
    """What was not played says nothing."""
    prior = np.array([0.4, -0.1, -0.3])
    np.testing.assert_allclose(rate(np.zeros((3, 3)), prior, 10.0), prior, atol=1e-9)


def test_one_model_that_always_wins_keeps_a_finite_rating() -> None:
    """The prior bounds what perfect records can claim."""
    found = rate(np.array([[0.0, 500.0], [0.0, 0.0]]), np.zeros(2), 4.0)
    assert np.isfinite(found).all()
    assert found[0] > found[1] + 3.0


def test_an_update_moves_the_winner_up_and_keeps_the_sum() -> None:
    """Equals exchange half of k, an upset more, a foregone result little; the ratings given are left as they are."""
    ratings = np.array([1000.0, 1000.0, 1400.0])
    np.testing.assert_allclose(update(ratings, 0, 1, 32.0), [1016.0, 984.0, 1400.0])
    upset, foregone = update(ratings, 0, 2, 32.0), update(ratings, 2, 0, 32.0)
    assert upset[0] - 1000.0 == pytest.approx(32.0 * 10 / 11)
    assert foregone[2] - 1400.0 == pytest.approx(32.0 / 11)
    assert upset.sum() == pytest.approx(ratings.sum())
    np.testing.assert_array_equal(ratings, [1000.0, 1000.0, 1400.0])


def test_a_tie_draws_ratings_together() -> None:
    """Between equals it changes nothing."""
    np.testing.assert_allclose(update(np.array([1000.0, 1000.0]), 0, 1, 32.0, tie=True), [1000.0, 1000.0])
    moved = update(np.array([1200.0, 1000.0]), 0, 1, 32.0, tie=True)
    assert 1000.0 < moved[1] < moved[0] < 1200.0


def test_many_updates_lead_to_the_fitted_ratings() -> None:
    """Played one by one, comparisons end near what fitting them all at once says."""
    matrix = world(1200)
    wins = comparisons(matrix.score)
    fitted = rate(wins.sum(axis=0), np.zeros(3), 4.0) * 400.0 / np.log(10.0)
    ratings = np.zeros(3)
    for prompt in wins:
        for a, b in ((0, 1), (0, 2), (1, 2)):
            if prompt[a, b] == 0.5:
                ratings = update(ratings, a, b, 4.0, tie=True)
            else:
                ratings = update(ratings, *((a, b) if prompt[a, b] else (b, a)), 4.0)
    np.testing.assert_allclose(ratings, fitted - fitted.mean(), atol=25.0)


def test_the_best_model_overall_and_in_each_cluster_is_rated_highest() -> None:
    """Global ratings follow mean scores; in the poets' cluster the poet leads."""
    matrix = world(800)
    artifact = fit(matrix, vectors(matrix), WordEmbedder().id)
    assert MODELS[int(artifact.arrays["rating"].argmax())] == "dear"
    leaders = {MODELS[j] for j in artifact.arrays["cluster_ratings"].argmax(axis=1)}
    assert "poet" in leaders
    assert edge(artifact.arrays["rating"] * 0.0).max() == 0.0
