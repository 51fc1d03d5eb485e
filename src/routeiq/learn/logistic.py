"""Fits strategy `logistic`: for each model a logistic regression of its score on the embedding.

Owns the solver and the choice of the strength. Prediction is `routing.scorers.logistic`. Scores between 0 and 1 are
fitted as they are, by cross-entropy (fractional logit, Papke and Wooldridge 1996); no prompt has a label. All models
are solved at once with a bound on the curvature in the place of the Hessian (Boehning and Lindsay 1988) and Nesterov's
acceleration, so that one decomposition of the inputs serves all models and strengths.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats
from routeiq.routing.trained import sigmoid

STRATEGY = "logistic"
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""From the strongest, where almost nothing but the mean is left."""

STEPS = 20
"""Steps at each strength; each starts where the stronger one ended."""


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `logistic`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    chosen, believed = cross_validated(lesson, len(STRENGTHS), partial(_held_out, lesson), progress)
    spectrum = Spectrum.of(lesson.inputs)
    *_, (weights, intercept) = _path(spectrum, lesson.score, lesson.known, STRENGTHS[: chosen + 1])
    raw, offset = lesson.raw(weights, intercept)
    arrays = {
        "weights": raw,
        "offset": offset,
        "believed": np.array([believed]),
        **token_arrays(lesson, spectrum),
    }
    progress(1.0)
    training = {"strength": STRENGTHS[chosen], "believed": round(believed, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _held_out(lesson: Lesson, learned: Bools) -> Iterator[Floats]:
    """Yield what regressions of each strength, learned from some prompts, predict for the others."""
    spectrum = Spectrum.of(lesson.inputs[learned])
    for weights, intercept in _path(spectrum, lesson.score[learned], lesson.known[learned], STRENGTHS):
        yield sigmoid(lesson.inputs[~learned] @ weights.T + intercept) - lesson.prior


def _path(
    spectrum: Spectrum, score: Floats, known: Bools, strengths: tuple[float, ...]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield weights (m, D) and intercept (m,) for each strength; `score` (n, m) counts where `known`."""
    mean = score.mean(axis=0).clip(0.002, 0.998)
    weights, intercept = np.zeros((spectrum.values.size, mean.size)), np.log(mean / (1.0 - mean))
    for strength in strengths:
        weights, intercept = _solve(spectrum, score, known, strength, weights, intercept)
        yield weights.T, intercept


def _solve(
    spectrum: Spectrum, score: Floats, known: Bools, strength: float, weights: Floats, intercept: Floats
) -> tuple[Floats, Floats]:
    """Return weights (D, m) and intercept (m,) after some accelerated steps from those given."""
    inputs, directions = spectrum.inputs, spectrum.directions
    inverse = (directions / (0.25 * spectrum.values + strength)) @ directions.T
    ahead, ahead_intercept, momentum = weights, intercept, 1.0
    for _ in range(STEPS):
        miss = np.where(known, sigmoid(inputs @ ahead + ahead_intercept) - score, 0.0)
        moved = ahead - inverse @ (inputs.T @ miss + strength * ahead)
        moved_intercept = ahead_intercept - 4.0 * miss.mean(axis=0)
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        push = (momentum - 1.0) / following
        ahead = moved + push * (moved - weights)
        ahead_intercept = moved_intercept + push * (moved_intercept - intercept)
        weights, intercept, momentum = moved, moved_intercept, following
    return weights, intercept
