"""Fits strategy `mf`: prompts and models as vectors of a few dimensions, whose product is the expected score.

Owns the factorisation: a score less the model's mean is (projection @ embedding) . (vector of the model), as in
EmbedLLM (arXiv 2410.02223) and RouteLLM's matrix factorisation (arXiv 2406.18665), but fitted in closed form: the
vectors of the models span the leading directions of ridge-fitted scores (reduced-rank regression, Izenman 1975), and
missing cells are filled with the current product until they settle (Mazumder, Hastie and Tibshirani 2010). Prediction
is `routing.scorers.mf`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats

STRATEGY = "mf"
RANKS = (1, 2, 3, 5, 8)
STRENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0)
FILLS = 8
"""Rounds of filling missing cells; none is needed when nothing is missing."""


@dataclass(frozen=True, slots=True)
class Factors:
    """How much a factorisation may say: its rank, and the ridge strength of the projection."""

    rank: int
    strength: float


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `mf`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    factors, believed = _choose(lesson, progress)
    spectrum = Spectrum.of(lesson.inputs)
    projection, models = _factorise(spectrum, lesson.residual, lesson.known, factors)
    raw, offset = lesson.raw(projection, np.zeros(len(projection)))
    arrays = {
        "projection": raw,
        "projection_offset": offset,
        "models": models * believed,
        **token_arrays(lesson, spectrum),
    }
    progress(1.0)
    training = {"rank": len(projection), "strength": factors.strength, "believed": round(believed, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[Factors, float]:
    """Return rank and strength, and how much of the predictions to believe, by cross-validation."""
    ranks = [rank for rank in RANKS if rank < lesson.models] or [1]
    options = [Factors(rank, strength) for strength, rank in product(STRENGTHS, ranks)]

    def held_out(learned: Bools) -> Iterator[Floats]:
        spectrum = Spectrum.of(lesson.inputs[learned])
        for factors in options:
            projection, models = _factorise(spectrum, lesson.residual[learned], lesson.known[learned], factors)
            yield lesson.inputs[~learned] @ projection.T @ models

    chosen, believed = cross_validated(lesson, len(options), held_out, progress)
    return options[chosen], believed


def _factorise(spectrum: Spectrum, residual: Floats, known: Bools, factors: Factors) -> tuple[Floats, Floats]:
    """Return the projection (r, D) and the vectors of the models (r, m), orthonormal rows.

    The directions are those of row-centred fits: what all models share on a prompt does not choose between them.
    """
    filled = residual
    for _ in range(1 if known.all() else FILLS):
        weights = spectrum.weights(filled, np.full(residual.shape[1], factors.strength))
        fitted = spectrum.inputs @ (weights - weights.mean(axis=0)).T
        _, directions = np.linalg.eigh(fitted.T @ fitted)
        models = directions[:, ::-1][:, : factors.rank].T
        models = models * np.sign(models[np.arange(len(models)), np.abs(models).argmax(axis=1)])[:, None]
        projection = models @ weights
        filled = np.where(known, residual, spectrum.inputs @ projection.T @ models)
    return projection, models
