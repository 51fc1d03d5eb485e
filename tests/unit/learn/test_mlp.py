"""Fitting `mlp`: derivatives, early stopping and averages."""

from dataclasses import replace

import numpy as np

from routeiq.learn import mlp
from routeiq.learn.fitting import Lesson
from routeiq.learn.mlp import fit
from tests.unit.learn.scene import vectors, world


def test_the_derivatives_are_those_of_the_cross_entropy() -> None:
    """Compared with differences of the loss, for each layer and with missing cells."""
    chance = np.random.default_rng(0)
    inputs, score = chance.standard_normal((9, 5)), chance.random((9, 2))
    known, kept = chance.random((9, 2)) < 0.8, np.ones((9, 4))
    weights = [chance.standard_normal(shape) for shape in ((5, 4), (4,), (4, 2), (2,))]

    def loss(weights: list[np.ndarray]) -> float:
        logit = np.maximum(inputs @ weights[0] + weights[1], 0.0) @ weights[2] + weights[3]
        return float(np.where(known, np.logaddexp(0.0, logit) - score * logit, 0.0).sum() / len(inputs))

    found = mlp._slopes(weights, inputs, score, known, kept)
    for layer, slopes in enumerate(found):
        at = tuple(0 for _ in slopes.shape)
        moved = [weight.copy() for weight in weights]
        moved[layer][at] += 1e-5
        moved_back = [weight.copy() for weight in weights]
        moved_back[layer][at] -= 1e-5
        np.testing.assert_allclose(slopes[at], (loss(moved) - loss(moved_back)) / 2e-5, rtol=1e-3, atol=1e-6)


def test_a_network_of_no_epochs_is_the_training_means() -> None:
    """Where nothing can be learned, stopping at once leaves the means."""
    matrix = world(100)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    network = next(mlp._averages(lesson, np.ones(100, dtype=bool), (0,)))
    np.testing.assert_allclose(network(mlp._inputs(lesson)), np.tile(lesson.prior, (100, 1)), atol=1e-5)
    shuffled = replace(matrix, score=matrix.score[np.random.default_rng(7).permutation(100)])
    training = fit(shuffled, vectors(matrix), "words@1").manifest.training
    assert training["epochs"] == 0 or training["believed"] == 0.0


def test_the_average_of_networks_is_one_network() -> None:
    """Its logits are the mean of theirs."""
    matrix = world(100)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    rows, inputs = np.ones(100, dtype=bool), mlp._inputs(lesson)
    seeds = np.random.default_rng(0).integers(2**31, size=mlp.NETWORKS)
    each = [next(mlp._train(lesson, rows, int(seed), (5,)))(inputs) for seed in seeds]
    joined = next(mlp._averages(lesson, rows, (5,)))(inputs)
    expected = np.mean([np.log(p / (1 - p)) for p in each], axis=0)
    np.testing.assert_allclose(np.log(joined / (1 - joined)), expected, atol=1e-3)
    assert np.abs(each[0] - each[1]).max() > 1e-3
