"""Fits strategy `routerdc`: embeddings of models, learned by contrast in a projection of the prompts' space.

Owns the two losses and their descent. Prediction is `routing.scorers.routerdc`. RouterDC (arXiv 2409.19886) fine-tunes
a language model; here the prompt's embedding is given and a linear projection of it is learned. Its first loss draws a
prompt to the models that answer it well and away from those that do not; the targets are soft, by score, where the
paper takes the top and bottom few, so that ties need no order. Its second loss draws prompts of one group together.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.descent import Arrays, adam
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles, fit_subspace, prototypes, sums
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.learn.targets import gain_of, shares, soft_targets
from routeiq.routing.table import Bools, Floats

STRATEGY = "routerdc"
DIRECTIONS = 64
"""Principal directions of the embedding that are projected."""

WIDTH = 16
"""Dimensions of the space that prompts and models share."""

GROUPS = 24
"""Groups of similar prompts of the second loss."""

SHARPNESS = 4.0
"""Factor of the cosine in both losses."""

TOGETHER = 0.2
"""Weight of the second loss."""

STEPS, RATE = 20, 0.02
ROUNDS = 5
"""Times that `STEPS` steps are taken; the number of rounds is chosen by cross-validation."""

Opinion = tuple[Floats, Floats]
"""Projection (w, D) of `Lesson.inputs`, and models (m, w) of unit length."""


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `routerdc`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    chosen, believed = cross_validated(lesson, ROUNDS, partial(_held_out, lesson), progress)
    rounds = chosen + 1
    everyone = np.ones(len(lesson), dtype=np.bool_)
    projection, models = _learn(lesson, everyone, rounds)[-1]
    opinion = cosines(lesson.inputs, (projection, models))
    raw, offset = lesson.raw(projection, np.zeros(len(projection)))
    gain = gain_of(opinion - opinion.mean(axis=0), lesson.residual, lesson.known)
    arrays = {
        "projection": raw,
        "projection_offset": offset,
        "models": models,
        "typical": opinion.mean(axis=0),
        "gain": np.array([believed * gain]),
        **token_arrays(lesson, Spectrum.of(lesson.inputs)),
    }
    progress(1.0)
    training = {"steps": rounds * STEPS, "believed": round(believed, 4), "gain": round(gain, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def cosines(inputs: Floats, learned: Opinion) -> Floats:
    """Return the cosine of each prompt (n, D) with each model, shape (n, m)."""
    projection, models = learned
    place = inputs @ projection.T
    return np.asarray(place @ models.T / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-9))


def _held_out(lesson: Lesson, learned: Bools) -> Iterator[Floats]:
    """Yield what comes out after each round of learning from some prompts, for the others."""
    for found in _learn(lesson, learned, ROUNDS):
        own = cosines(lesson.inputs[learned], found)
        gain = gain_of(own - own.mean(axis=0), lesson.residual[learned], lesson.known[learned])
        yield gain * (cosines(lesson.inputs[~learned], found) - own.mean(axis=0))


def _learn(lesson: Lesson, rows: Bools, rounds: int) -> list[Opinion]:
    """Return what is learned from some prompts after each round."""
    inputs, residual, known = lesson.inputs[rows], lesson.residual[rows], lesson.known[rows]
    space = fit_subspace(inputs.astype(np.float32), DIRECTIONS, 0.5)
    basis = space.basis.astype(np.float64)
    z = inputs @ basis.T
    z /= max(float(np.sqrt((z**2).sum(axis=1).mean())), 1e-9)
    basis = basis * (np.linalg.norm(z) / max(float(np.linalg.norm(inputs @ basis.T)), 1e-9))
    groups = prototypes(space.directions(inputs.astype(np.float32)), min(GROUPS, max(1, len(z) // 20)),
                        np.random.default_rng(lesson.seed))  # fmt: skip
    gradient = _contrast(z, soft_targets(residual, known), known, groups)
    width = min(WIDTH, z.shape[1])
    projection = np.eye(width, z.shape[1])
    direction = (residual - residual.mean(axis=1, keepdims=True)).T @ z @ projection.T
    at: Arrays = (projection, direction / max(float(np.abs(direction).max()), 1e-9))
    found: list[Opinion] = []
    for _ in range(rounds):
        at = adam(at, gradient, STEPS, RATE)
        length = np.maximum(np.linalg.norm(at[1], axis=1, keepdims=True), 1e-9)
        found.append((at[0] @ basis, at[1] / length))
    return found


def _contrast(z: Floats, target: Floats, known: Bools, groups: np.ndarray) -> Callable[[Arrays], Arrays]:
    """Return the gradient of both losses by projection (w, d) and models (m, w)."""
    n, count = len(z), int(groups.max()) + 1
    member = np.zeros((n, count), dtype=np.float64)
    member[np.arange(n), groups] = 1.0
    present = np.ones((n, count), dtype=np.bool_) & (member.sum(axis=0) > 0)

    def of(at: Arrays) -> Arrays:
        projection, models = at
        place, model = z @ projection.T, models
        far, long = _length(place), _length(model)
        p, q = place / far, model / long
        miss = SHARPNESS * np.where(known, shares(SHARPNESS * (p @ q.T), known) - target, 0.0) / n
        centre = sums(p, groups, count)
        centre /= _length(centre)
        stray = TOGETHER * SHARPNESS * (shares(SHARPNESS * (p @ centre.T), present) - member) / n
        by_place = _tangent(miss @ q + stray @ centre, p) / far
        return by_place.T @ z, _tangent(miss.T @ p, q) / long

    return of


def _length(rows: Floats) -> Floats:
    return np.asarray(np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-3))


def _tangent(gradient: Floats, unit: Floats) -> Floats:
    """Return the part of each row of a gradient that turns a unit vector."""
    return np.asarray(gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit)
