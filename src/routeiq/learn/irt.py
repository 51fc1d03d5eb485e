"""Fits strategy `irt`: an ability vector for each model, difficulty and discrimination of a prompt from its embedding.

Owns the fit of the item response model and the choice of its strength. Prediction, and the placing of models that were
not trained on, is `routing.scorers.irt`. The model is the multidimensional two-parameter logistic one with item
parameters predicted from the prompt, as IRT-Router does (arXiv 2506.01048), here as linear functions. Scores between 0
and 1 are fitted as they are, by cross-entropy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.descent import Arrays, adam
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats
from routeiq.routing.trained import sigmoid

STRATEGY = "irt"
SKILLS = 4
"""Abilities of a model beside its general one."""

DIRECTIONS = 64
"""Principal directions of the embedding that items are predicted from."""

STRENGTHS = (30.0, 10.0, 3.0, 1.0, 0.3)
STEPS, RATE = 60, 0.03
ENOUGH_FOR_BENCHMARK = 20
"""Prompts a suite or category needs to serve as a benchmark by which new models are placed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """Abilities (m, 1 + k), general first, and item parameters as functions of the principal directions (d).

    The logit of a score is ability[0] + ability[1:] @ (discrimination @ z) - difficulty @ z.
    """

    ability: Floats
    discrimination: Floats
    difficulty: Floats

    def logits(self, z: Floats) -> Floats:
        return self.ability[:, 0] + z @ self.discrimination.T @ self.ability[:, 1:].T - (z @ self.difficulty)[:, None]


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `irt`; the same data and seed give the same bytes. Raises DataError.

    Suites and categories of enough prompts become benchmarks: a model's published score on one of them, under its name
    in `model_info.benchmarks`, places the model without any recorded outcome.
    """
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    chosen, believed = cross_validated(lesson, len(STRENGTHS), partial(_held_out, lesson), progress)
    spectrum = Spectrum.of(lesson.inputs)
    basis = _basis(spectrum)
    z = lesson.inputs @ basis.T
    *_, items = _path(z, lesson, np.ones(len(lesson), dtype=np.bool_), STRENGTHS[: chosen + 1])
    functions = np.vstack([items.difficulty, items.discrimination]) @ basis
    raw, offset = lesson.raw(functions, np.zeros(len(functions)))
    names, discrimination, difficulty = _benchmarks(lesson, items, z)
    arrays = {
        "ability": items.ability,
        "item_weights": raw,
        "item_offset": offset,
        "benchmark_discrimination": discrimination,
        "benchmark_difficulty": difficulty,
        "recorded": lesson.known.sum(axis=0).astype(np.float64),
        "believed": np.array([believed]),
        **token_arrays(lesson, spectrum),
    }
    progress(1.0)
    training = {"strength": STRENGTHS[chosen], "believed": round(believed, 4), "benchmarks": names}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _held_out(lesson: Lesson, learned: Bools) -> Iterator[Floats]:
    """Yield what items of each strength, learned from some prompts, predict for the others."""
    z = lesson.inputs @ _basis(Spectrum.of(lesson.inputs[learned])).T
    for items in _path(z[learned], lesson, learned, STRENGTHS):
        yield sigmoid(items.logits(z[~learned])) - lesson.prior


def _basis(spectrum: Spectrum) -> Floats:
    """Return the principal directions (d, D), each with the sign that makes its largest entry positive."""
    kept = np.argsort(-spectrum.values, kind="stable")[:DIRECTIONS]
    basis = spectrum.directions[:, kept].T
    sign = np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)])
    return np.asarray(basis * sign[:, None])


def _path(z: Floats, lesson: Lesson, rows: Bools, strengths: tuple[float, ...]) -> Iterator[_Items]:
    """Yield the items and abilities at each strength, learned from some prompts; each starts where the last ended."""
    residual, known = lesson.residual[rows], lesson.known[rows]
    score, n = lesson.score[rows], len(z)
    at = _start(z, residual, lesson.prior)

    def gradient(strength: float) -> Callable[[Arrays], Arrays]:
        def of(at: Arrays) -> Arrays:
            general, skills, discrimination, difficulty = at
            items = z @ discrimination.T
            miss = np.where(known, sigmoid(general + items @ skills.T - (z @ difficulty)[:, None]) - score, 0.0)
            return (
                miss.sum(axis=0) / n,
                (miss.T @ items + strength * skills) / n,
                ((miss @ skills).T @ z + strength * discrimination) / n,
                (-(miss.sum(axis=1) @ z) + strength * difficulty) / n,
            )

        return of

    for strength in strengths:
        at = adam(at, gradient(strength), STEPS, RATE)
        general, skills, discrimination, difficulty = at
        yield _Items(np.column_stack([general, skills]), discrimination, difficulty)


def _start(z: Floats, residual: Floats, prior: Floats) -> Arrays:
    """Return where the fit starts: the leading patterns of the scores' covariance with the directions.

    A start without chance keeps models with equal outcomes equal.
    """
    mean = prior.clip(0.002, 0.998)
    covariance = (residual - residual.mean(axis=1, keepdims=True)).T @ z / len(z)
    left, strength, right = np.linalg.svd(covariance, full_matrices=False)
    kept = min(SKILLS, strength.size)
    sign = np.sign(right[np.arange(kept), np.abs(right[:kept]).argmax(axis=1)])
    root = np.sqrt(strength[:kept]) * sign
    return np.log(mean / (1.0 - mean)), left[:, :kept] * root, right[:kept] * root[:, None], np.zeros(z.shape[1])


def _benchmarks(lesson: Lesson, items: _Items, z: Floats) -> tuple[list[str], Floats, Floats]:
    """Return the benchmarks' names, their discrimination (b, 1 + k) and their difficulty (b,).

    The first, named "", is all prompts. The difficulty of a benchmark is such that the trained models' abilities give
    their mean scores on it, on average.
    """
    matrix = lesson.matrix
    groups: dict[str, list[int]] = {"": list(range(len(lesson)))}
    for i, labels in enumerate(zip(matrix.suites, matrix.categories, strict=True)):
        for label in sorted(set(labels) - {""}):
            groups.setdefault(label, []).append(i)
    names = [name for name, rows in sorted(groups.items()) if not name or len(rows) >= ENOUGH_FOR_BENCHMARK]
    discrimination, difficulty = [], []
    for name in names:
        rows = groups[name]
        mean = mean_of_known(matrix.score[rows])
        seen = ~np.isnan(mean)
        mean = mean[seen].clip(0.02, 0.98)
        item = np.concatenate([[1.0], (z[rows] @ items.discrimination.T).mean(axis=0)])
        discrimination.append(item)
        difficulty.append(float((items.ability[seen] @ item - np.log(mean / (1.0 - mean))).mean()) if seen.any() else 0)
    return names, np.array(discrimination), np.array(difficulty, dtype=np.float64)
