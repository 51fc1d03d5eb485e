"""Fits strategy `elo`: ratings of models from comparisons, for all prompts and for each cluster of similar ones.

Owns the making of comparisons from scores, the ratings in which they result, and the rule that moves ratings by one
comparison more. Prediction is `routing.scorers.elo`. Two models that were scored on one prompt are one comparison: the
higher score wins, equal scores count half for each. Elo's rule depends on the order of comparisons; a batch is fitted
by Bradley and Terry's model (1952) therefore, of which Elo's ratings are the running estimate. Ratings from comparisons
of language models: Chatbot Arena (arXiv 2403.04132); by kind of prompt: Eagle (arXiv 2409.15518).
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, most_cautious, slope
from routeiq.learn.geometry import Singles, fit_subspace, prototypes, sums
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.table import Bools, Floats

STRATEGY = "elo"
DIMENSIONS, WHITENING = 64, 0.5
POINTS = 400.0 / np.log(10.0)
"""Rating points per unit of log odds: 400 points are odds of ten to one."""

GLOBAL_MASS = 4.0
"""Prior mass, in comparisons of each model with an average one, that draws all ratings together."""

COUNTS = (2, 4, 8, 16, 32)
MASSES = (160.0, 80.0, 40.0, 20.0)
"""Prior mass of the global ratings in a cluster, in prompts."""

PROMPTS_PER_CLUSTER = 20
_STEPS = 60


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `elo`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    wins = comparisons(lesson.matrix.score)
    (count, mass), believed = _choose(lesson, wins, progress)
    everyone = np.ones(len(lesson), dtype=np.bool_)
    weights, offset, belongs = _clusters(lesson, everyone, count)
    total, table = _rated(wins, belongs, len(weights), mass)
    arrays = {
        "rating": total * POINTS,
        "cluster_ratings": table * POINTS,
        "centre_weights": weights.astype(np.float32),
        "centre_offset": offset,
        "evidence": sums(lesson.known.astype(np.float64), belongs, len(weights)),
        "believed": np.array([believed]),
    }
    progress(1.0)
    training = {"clusters": len(weights), "mass": mass, "believed": round(believed, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def update(ratings: Floats, winner: int, loser: int, k: float, *, tie: bool = False) -> Floats:
    """Return ratings (m,) after one comparison of two models, given as positions; the sum stays what it was.

    Each moves by `k` times what was surprising: the result (1, or 0.5 for a tie) less the expected one,
    1 / (1 + 10^((rating of loser - rating of winner) / 400)). Elo, The Rating of Chessplayers (1978).
    """
    expected = 1.0 / (1.0 + 10.0 ** ((ratings[loser] - ratings[winner]) / 400.0))
    moved = ratings.copy()
    step = k * ((0.5 if tie else 1.0) - expected)
    moved[winner] += step
    moved[loser] -= step
    return moved


def comparisons(score: Floats) -> Floats:
    """Return who won against whom on each prompt, shape (n, m, m): 1, 0.5 for a tie, 0 also where one is not scored."""
    known = ~np.isnan(score)
    filled = np.where(known, score, 0.0)
    mine, other = filled[:, :, None], filled[:, None, :]
    wins: Floats = ((mine > other) + 0.5 * (mine == other)) * (known[:, :, None] & known[:, None, :])
    wins[:, np.arange(score.shape[1]), np.arange(score.shape[1])] = 0.0
    return wins


def rate(wins: Floats, prior: Floats, mass: float) -> Floats:
    """Return the ratings (m,) in log odds that comparisons result in; `wins[a, b]` counts those that a won against b.

    The prior is `mass` imagined games of each model against one of rating 0, with the result that rating `prior` would
    expect: with few comparisons the prior is what comes out. Solved by Newton's method.
    """
    games, won = wins + wins.T, wins.sum(axis=1)
    imagined = mass / (1.0 + np.exp(-prior))
    rating = prior.copy()
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(rating[None, :] - rating[:, None]))
        alone = 1.0 / (1.0 + np.exp(-rating))
        gradient = won + imagined - (games * chance).sum(axis=1) - mass * alone
        bend = games * chance * (1.0 - chance)
        curvature = np.diag(bend.sum(axis=1) + mass * alone * (1.0 - alone)) - bend
        step = np.linalg.solve(curvature, gradient)
        rating = rating + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return rating


def _rated(wins: Floats, belongs: NDArray[np.intp], count: int, mass: float) -> tuple[Floats, Floats]:
    """Return the ratings over all prompts (m,) and in each cluster (count, m), in log odds.

    `mass` is in prompts; on each a model meets all others, so it is that many games times the others.
    """
    models = wins.shape[1]
    by_cluster = sums(wins.reshape(len(wins), -1), belongs, count).reshape(count, models, models)
    total = rate(by_cluster.sum(axis=0), np.zeros(models), GLOBAL_MASS)
    return total, np.stack([rate(found, total, mass * (models - 1)) for found in by_cluster])


def edge(ratings: Floats) -> Floats:
    """Return what ratings (..., m) in log odds expect a model to score beyond the mean of the pool, shape (..., m).

    For right and wrong answers, with ties counted half, the chance to win is a half plus half the difference of scores.
    """
    chance = 1.0 / (1.0 + np.exp(ratings[..., None, :] - ratings[..., :, None]))
    expected: Floats = 2.0 * (chance.mean(axis=-1) - 0.5)
    return expected


def _choose(lesson: Lesson, wins: Floats, progress: Callable[[float], None]) -> tuple[tuple[int, float], float]:
    """Return number of clusters and mass, and how much of the ratings to believe, by cross-validation."""
    counts = [count for count in COUNTS if count * PROMPTS_PER_CLUSTER <= len(lesson)]
    if len(lesson) < ENOUGH_TO_TUNE or not counts:
        return (1, MASSES[0]), 0.0
    options = sorted(product(counts, MASSES), key=lambda o: (o[0] / (1.0 + o[1] * o[0] / len(lesson)), o[0]))
    fold_of = lesson.folds()
    predicted = np.zeros((len(options), *lesson.residual.shape))
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        learned = fold_of != fold
        for count in counts:
            weights, offset, belongs = _clusters(lesson, learned, count)
            nearest = (lesson.vectors[~learned] @ weights.T + offset).argmax(axis=1)
            for at, (clusters, mass) in enumerate(options):
                if clusters == count:
                    total, table = _rated(wins[learned], belongs, len(weights), mass)
                    predicted[at, ~learned] = (edge(table) - edge(total))[nearest]
    chosen = most_cautious(predicted, lesson)
    return options[chosen], slope(predicted[chosen], lesson.residual, lesson.known)


def _clusters(lesson: Lesson, rows: Bools, count: int) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return what finds the cluster of an embedding (weights (k, D) and offset (k,)), and that of each given prompt."""
    space = fit_subspace(lesson.vectors[rows], DIMENSIONS, WHITENING)
    directions = space.directions(lesson.vectors[rows])
    _, belongs = np.unique(prototypes(directions, count, np.random.default_rng(lesson.seed)), return_inverse=True)
    centres = sums(directions, belongs, int(belongs.max()) + 1)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    weights = centres @ space.basis.astype(np.float64)
    return weights, -weights @ space.mean.astype(np.float64), belongs
