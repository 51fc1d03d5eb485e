"""Fits strategy `kmeans`: clusters of similar prompts, and what each model scored in each cluster.

Owns the choice of the number of clusters and of the prior mass. Prediction is `routing.scorers.kmeans`. The method is
that of Avengers (arXiv 2505.19797) and of the cluster errors of UniRoute (arXiv 2502.08773), with the mean score of
each cluster drawn towards the model's mean over all prompts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, most_cautious, slope
from routeiq.learn.geometry import Singles, Subspace, fit_subspace, prototypes, sums
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.routing.table import Floats

STRATEGY = "kmeans"
DIMENSIONS, WHITENING = 64, 0.0
COUNTS = (2, 4, 8, 16, 32, 64)
MASSES = (10.0, 20.0, 50.0, 100.0)
PROMPTS_PER_CLUSTER = 15


@dataclass(frozen=True, slots=True)
class Grain:
    """How fine the table is: number of clusters, and prior mass in prompts."""

    count: int
    mass: float


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `kmeans`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    grain, believed = _choose(lesson, progress)
    space, centres, belongs = _clusters(lesson, np.ones(len(lesson), dtype=np.bool_), grain.count)
    tokens, prior_tokens = lesson.matrix.output_tokens, mean_of_known(lesson.matrix.output_tokens)
    prior_tokens = np.nan_to_num(prior_tokens)
    weights = centres @ space.basis.astype(np.float64)
    arrays = {
        "centre_weights": weights.astype(np.float32),
        "centre_offset": -weights @ space.mean.astype(np.float64),
        "scores": lesson.prior + believed * _table(lesson.residual, lesson.known, belongs, len(centres), grain.mass),
        "tokens": prior_tokens
        + _table(np.nan_to_num(tokens - prior_tokens), ~np.isnan(tokens), belongs, len(centres), grain.mass),
        "evidence": sums(lesson.known.astype(np.float64), belongs, len(centres)),
    }
    training = {"clusters": len(centres), "mass": grain.mass, "believed": round(believed, 4)}
    progress(1.0)
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[Grain, float]:
    """Return the grain and how much of its table to believe, by cross-validation."""
    counts = [count for count in COUNTS if count * PROMPTS_PER_CLUSTER <= len(lesson)]
    if len(lesson) < ENOUGH_TO_TUNE or not counts:
        return Grain(1, MASSES[-1]), 0.0
    grains = sorted((Grain(*pair) for pair in product(counts, MASSES)), key=lambda g: _freedom(g, len(lesson)))
    fold_of = lesson.folds()
    predicted = np.zeros((len(grains), *lesson.residual.shape))
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        learned = fold_of != fold
        for count in counts:
            space, centres, belongs = _clusters(lesson, learned, count)
            nearest = (space.directions(lesson.vectors[~learned]) @ centres.T).argmax(axis=1)
            for at, grain in enumerate(grains):
                if grain.count == count:
                    table = _table(lesson.residual[learned], lesson.known[learned], belongs, len(centres), grain.mass)
                    predicted[at, ~learned] = table[nearest]
    chosen = most_cautious(predicted, lesson)
    return grains[chosen], slope(predicted[chosen], lesson.residual, lesson.known)


def _freedom(grain: Grain, prompts: int) -> tuple[float, int]:
    """Return how many free numbers per model a table has, about: fewer is more cautious."""
    share = prompts / grain.count
    return grain.count * share / (share + grain.mass), grain.count


def _clusters(lesson: Lesson, rows: NDArray[np.bool_], count: int) -> tuple[Subspace, Floats, NDArray[np.intp]]:
    """Return the subspace, the unit centres (k, d) and the cluster of each of the given prompts; none is empty."""
    vectors = lesson.vectors[rows]
    space = fit_subspace(vectors, DIMENSIONS, WHITENING)
    directions = space.directions(vectors)
    belongs = prototypes(directions, count, np.random.default_rng(lesson.seed))
    _, belongs = np.unique(belongs, return_inverse=True)
    centres = sums(directions, belongs, int(belongs.max()) + 1)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    return space, centres, belongs


def _table(residual: Floats, known: NDArray[np.bool_], belongs: NDArray[np.intp], count: int, mass: float) -> Floats:
    """Return the shrunk mean of residuals (n, m) in each cluster, shape (count, m)."""
    table: Floats = sums(residual, belongs, count) / (sums(known.astype(np.float64), belongs, count) + mass)
    return table
