"""Fits strategy `hybrid`: by how much each model will do better or worse than the best fixed one.

Owns the targets: the gap between a model's score and that of the model which is best on average, prompt by prompt, the
soft labels of Hybrid LLM (arXiv 2404.14618) for any number of models. Each gap is a ridge regression whose strength is
chosen by generalised cross-validation; a gap without signal stays at its mean. What is common to all models on a
prompt, how hard it is, cancels out of the targets. Prediction is `routing.scorers.hybrid`.
"""

from collections.abc import Callable

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.evaluate import Reference
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, slope
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats

STRATEGY = "hybrid"


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `hybrid`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    best = Reference.of(lesson.matrix).best
    spectrum = Spectrum.of(lesson.inputs)
    believed = _believed(lesson, best, progress)
    gap, paired = _gaps(lesson, best)
    weights, intercept = _regress(spectrum, gap, paired)
    raw, offset = lesson.raw(believed * weights, believed * intercept)
    arrays = {"gap_weights": raw, "gap_offset": offset, **token_arrays(lesson, spectrum)}
    progress(1.0)
    training = {"against": lesson.matrix.models[best], "believed": round(believed, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _gaps(lesson: Lesson, best: int) -> tuple[Floats, Bools]:
    """Return the gaps (n, m) to the best fixed model less their mean, and where both scores are known."""
    paired = lesson.known & lesson.known[:, [best]]
    gap = np.where(paired, lesson.residual - lesson.residual[:, [best]], 0.0)
    return gap, paired


def _believed(lesson: Lesson, best: int, progress: Callable[[float], None]) -> float:
    """Return how much of the predicted gaps to believe, by cross-validation."""
    if len(lesson) < ENOUGH_TO_TUNE:
        return 0.0
    fold_of = lesson.folds()
    gap, paired = _gaps(lesson, best)
    predicted = np.zeros(gap.shape)
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        learned = fold_of != fold
        weights, intercept = _regress(Spectrum.of(lesson.inputs[learned]), gap[learned], paired[learned])
        predicted[~learned] = lesson.inputs[~learned] @ weights.T + intercept
    return slope(predicted, gap, paired)


def _regress(spectrum: Spectrum, gap: Floats, paired: Bools) -> tuple[Floats, Floats]:
    """Return weights (m, D) and intercept (m,) of the gaps.

    Models with the same recorded prompts share a decomposition of the inputs: one in all when nothing is missing.
    """
    n, models = gap.shape
    weights, intercept = np.zeros((models, spectrum.values.size)), np.zeros(models)
    patterns: dict[bytes, list[int]] = {}
    for j in range(models):
        patterns.setdefault(paired[:, j].tobytes(), []).append(j)
    for members in patterns.values():
        rows = paired[:, members[0]]
        if rows.sum() < 3:
            continue
        own = spectrum.inputs if rows.all() else spectrum.inputs[rows]
        middle, mean = own.mean(axis=0), gap[rows][:, members].mean(axis=0)
        part = spectrum if rows.all() and n > 1 and np.abs(middle).max() < 1e-9 else Spectrum.of(own - middle)
        target = gap[rows][:, members] - mean
        weights[members] = part.weights(target, part.strengths(target))
        intercept[members] = mean - weights[members] @ middle
    return weights, intercept
