"""Fits strategy `causallm`: a language model reads the prompt, a linear head names the models that should answer it.

Owns the head: a softmax over models on the vectors of a language-model encoder. The encoder is any embedder, in
practice one in ONNX form on disk (`adapters.onnx`); it is not fine-tuned. Prediction is `routing.scorers.causallm`. The
head is trained by cross-entropy to soft targets by score, where the usual recipe takes "the best model" as a label,
which on most prompts is the order of the columns. One step uses a bound on the softmax's curvature (Boehning 1992).
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.learn.targets import gain_of, shares, soft_targets
from routeiq.routing.table import Bools, Floats

STRATEGY = "causallm"
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0)
STEPS = 25


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `causallm`; the same data and seed give the same bytes. Raises DataError.

    `vectors` (n, D) are the encoder's, `embedder` is its id: requests are then to be embedded by that encoder.
    """
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    chosen, believed = cross_validated(lesson, len(STRENGTHS), partial(_held_out, lesson), progress)
    everyone = np.ones(len(lesson), dtype=np.bool_)
    *_, (weights, intercept) = _path(lesson, everyone, STRENGTHS[: chosen + 1])
    named = _named(lesson.inputs, weights, intercept)
    gain = gain_of(named - named.mean(axis=0), lesson.residual, lesson.known)
    raw, offset = lesson.raw(weights, intercept)
    arrays = {
        "weights": raw,
        "offset": offset,
        "typical": named.mean(axis=0),
        "gain": np.array([believed * gain]),
        **token_arrays(lesson, Spectrum.of(lesson.inputs)),
    }
    progress(1.0)
    training = {"strength": STRENGTHS[chosen], "believed": round(believed, 4), "gain": round(gain, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _held_out(lesson: Lesson, learned: Bools) -> Iterator[Floats]:
    """Yield what heads of each strength, learned from some prompts, say of the others."""
    for weights, intercept in _path(lesson, learned, STRENGTHS):
        own = _named(lesson.inputs[learned], weights, intercept)
        gain = gain_of(own - own.mean(axis=0), lesson.residual[learned], lesson.known[learned])
        yield gain * (_named(lesson.inputs[~learned], weights, intercept) - own.mean(axis=0))


def _named(inputs: Floats, weights: Floats, intercept: Floats) -> Floats:
    """Return the share of each model by the head, shape (n, m)."""
    logits = inputs @ weights.T + intercept
    return shares(logits, np.ones(logits.shape, dtype=np.bool_))


def _path(lesson: Lesson, rows: Bools, strengths: tuple[float, ...]) -> Iterator[tuple[Floats, Floats]]:
    """Yield weights (m, D) and intercept (m,) at each strength; each starts where the stronger one ended."""
    known, target = lesson.known[rows], soft_targets(lesson.score[rows], lesson.known[rows])
    spectrum = Spectrum.of(lesson.inputs[rows])
    weights, intercept = np.zeros((spectrum.values.size, lesson.models)), np.zeros(lesson.models)
    for strength in strengths:
        inverse = (spectrum.directions / (0.5 * spectrum.values + strength)) @ spectrum.directions.T
        ahead, ahead_intercept, momentum = weights, intercept, 1.0
        for _ in range(STEPS):
            miss = shares(spectrum.inputs @ ahead + ahead_intercept, known) - target
            moved = ahead - inverse @ (spectrum.inputs.T @ miss + strength * ahead)
            moved_intercept = ahead_intercept - 2.0 * miss.mean(axis=0)
            following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            push = (momentum - 1.0) / following
            ahead = moved + push * (moved - weights)
            ahead_intercept = moved_intercept + push * (moved_intercept - intercept)
            weights, intercept, momentum = moved, moved_intercept, following
        yield weights.T, intercept
