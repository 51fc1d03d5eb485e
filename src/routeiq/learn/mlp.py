"""Fits strategy `mlp`: one hidden layer over the embedding, shared by all models, with one output for each.

Owns training by Adam (Kingma and Ba 2015) with decoupled weight decay and early stopping. The output layer starts at
zero and its offsets at the logits of the models' means, so that a network of no epochs is the training means;
cross-validation chooses the number of epochs. Several networks that began differently are trained, and the means of
their logits served, which is one network with a wider hidden layer. Scores between 0 and 1 are fitted as they are, by
cross-entropy; missing cells count for nothing. Prediction is `routing.scorers.mlp`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, most_cautious, slope
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats
from routeiq.routing.trained import sigmoid

STRATEGY = "mlp"
NETWORKS, HIDDEN = 4, 32
"""How many networks are averaged, and the hidden units of each."""

BATCH = 64
EPOCHS = (0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30)
"""After how many epochs training may stop."""

RATE, DECAY, DROPPED = 1e-3, 0.3, 0.2
"""Step size, weight decay relative to it, and share of hidden units left out of each step."""

_FIRST, _SECOND = 0.9, 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Weights into the hidden layer (D, h), its offsets (h,), weights out (h, m), and their offsets (m,)."""

    inward: Singles
    hidden: Singles
    outward: Singles
    output: Singles

    def __call__(self, inputs: Singles) -> Floats:
        """Return expected scores (n, m) for inputs (n, D)."""
        active = np.maximum(inputs @ self.inward + self.hidden, 0.0)
        return sigmoid((active @ self.outward + self.output).astype(np.float64))


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `mlp`; the same data and seed give the same bytes. Raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    epochs, believed = _choose(lesson, progress)
    network = next(_averages(lesson, np.ones(len(lesson), dtype=np.bool_), (epochs,)))
    stretch = np.sqrt(lesson.inputs.shape[1])
    raw, offset = lesson.raw(stretch * network.inward.T.astype(np.float64), network.hidden.astype(np.float64))
    arrays = {
        "hidden_weights": raw,
        "hidden_offset": offset,
        "output_weights": network.outward.T,
        "output_offset": network.output,
        "believed": np.array([believed]),
        **token_arrays(lesson, Spectrum.of(lesson.inputs)),
    }
    progress(1.0)
    training = {"hidden": network.hidden.size, "epochs": epochs, "believed": round(believed, 4)}
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[int, float]:
    """Return the number of epochs and how much of the predictions to believe, by cross-validation."""
    if len(lesson) < ENOUGH_TO_TUNE:
        return 0, 0.0
    fold_of = lesson.folds()
    inputs = _inputs(lesson)
    predicted = np.zeros((len(EPOCHS), *lesson.residual.shape))
    for fold in range(FOLDS):
        learned = fold_of != fold
        for at, network in enumerate(_averages(lesson, learned, EPOCHS)):
            progress((fold + at / len(EPOCHS)) / (FOLDS + 1))
            predicted[at, ~learned] = network(inputs[~learned]) - lesson.prior
    chosen = most_cautious(predicted, lesson)
    return EPOCHS[chosen], slope(predicted[chosen], lesson.residual, lesson.known)


def _inputs(lesson: Lesson) -> Singles:
    """Return the inputs with entries of size one, which is what steps and weights are sized for."""
    return np.asarray(lesson.inputs * np.sqrt(lesson.inputs.shape[1]), dtype=np.float32)


def _averages(lesson: Lesson, rows: Bools, stops: tuple[int, ...]) -> Iterator[Network]:
    """Yield the average of several networks after each number of epochs, trained on some prompts."""
    seeds = np.random.default_rng(lesson.seed).integers(2**31, size=NETWORKS)
    for networks in zip(*(_train(lesson, rows, int(seed), stops) for seed in seeds), strict=True):
        yield Network(
            inward=np.concatenate([network.inward for network in networks], axis=1),
            hidden=np.concatenate([network.hidden for network in networks]),
            outward=np.concatenate([network.outward for network in networks]) * np.float32(1.0 / NETWORKS),
            output=np.mean([network.output for network in networks], axis=0),
        )


def _train(lesson: Lesson, rows: Bools, seed: int, stops: tuple[int, ...]) -> Iterator[Network]:
    """Yield the network after each number of epochs, trained on some prompts."""
    chance = np.random.default_rng(seed)
    inputs, known = _inputs(lesson)[rows], lesson.known[rows]
    score = lesson.score[rows].astype(np.float32)
    mean = lesson.prior.clip(0.002, 0.998)
    dimensions, models = inputs.shape[1], score.shape[1]
    weights = [
        (chance.standard_normal((dimensions, HIDDEN)) / np.sqrt(dimensions)).astype(np.float32),
        np.zeros(HIDDEN, dtype=np.float32),
        np.zeros((HIDDEN, models), dtype=np.float32),
        np.log(mean / (1.0 - mean)).astype(np.float32),
    ]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    step = 0
    for epoch in range(max(stops) + 1):
        if epoch in stops:
            yield Network(*(w.copy() for w in weights))
        if epoch == max(stops):
            return
        order = chance.permutation(len(inputs))
        for start in range(0, len(inputs), BATCH):
            step += 1
            batch = order[start : start + BATCH]
            kept = (chance.random((len(batch), HIDDEN), dtype=np.float32) >= DROPPED) / np.float32(1.0 - DROPPED)
            slopes = _slopes(weights, inputs[batch], score[batch], known[batch], kept.astype(np.float32))
            _advance(weights, moments, slopes, step)


def _slopes(weights: list[Singles], inputs: Singles, score: Singles, known: Bools, kept: Singles) -> list[Singles]:
    """Return the derivative of the mean cross-entropy by each of the weights."""
    inward, hidden, outward, output = weights
    before = inputs @ inward + hidden
    active = np.maximum(before, 0.0) * kept
    logit = np.clip(active @ outward + output, -15.0, 15.0)
    miss = np.where(known, 1.0 / (1.0 + np.exp(-logit)) - score, 0.0).astype(np.float32) / np.float32(len(inputs))
    back = (miss @ outward.T) * kept * (before > 0)
    return [inputs.T @ back, back.sum(axis=0), active.T @ miss, miss.sum(axis=0)]


def _advance(weights: list[Singles], moments: list[tuple[Singles, Singles]], slopes: list[Singles], step: int) -> None:
    """Move the weights by one step of Adam, in place; those between layers decay."""
    for at, slope_of in enumerate(slopes):
        first, second = moments[at]
        first += (1.0 - _FIRST) * (slope_of - first)
        second += (1.0 - _SECOND) * (slope_of**2 - second)
        move = first / (1.0 - _FIRST**step) / (np.sqrt(second / (1.0 - _SECOND**step)) + 1e-6)
        decay = DECAY * weights[at] if weights[at].ndim == 2 else 0.0
        weights[at] -= np.asarray(RATE * (move + decay), dtype=np.float32)
