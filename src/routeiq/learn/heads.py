"""The heads that learned strategies are stacked from: ridge per component, category table, both, and answer length.

Owns how heads are fitted to the inputs of `learn.hardness`, all from one eigendecomposition. The ridge head turns the
models' scores into components (their common level, then the principal components of their differences) and gives each
its own strength, so that a component without signal is left at its mean. The category head is a multinomial logistic
regression onto the category of the training prompts (their dataset's, or clusters where there is none), times the mean
scores of the categories, drawn towards the mean over all. The residual head is a ridge on what that table leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routeiq.learn.geometry import prototypes, sums
from routeiq.learn.ridge import Spectrum
from routeiq.routing.table import Floats

RARE = 8
"""Prompts below which categories are thrown together."""

CLUSTERS = 16
MASS = 20.0
"""How many prompts the mean over all counts as in a category's mean scores."""

STRENGTH = 0.3
STEPS = 80

FAMILIES: dict[str, tuple[float, float, float]] = {
    "ridge": (0.0, 1.0, 0.0),
    "category": (1.0, 0.0, 0.0),
    "residual": (1.0, 0.0, 1.0),
    "category+ridge": (0.5, 0.5, 0.0),
    "all": (2 / 3, 1 / 3, 1 / 3),
}
"""Averages of heads: how much the category table, the ridge and the residual ridge count in each."""


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Heads fitted to rows (n, X) and scores (n, m) of m models in c categories; every head is linear but for softmax.

    `ridge` (m, X) and `residual` (m, X) are weights for rows less `centre` (X,); `table` (c, m) has the categories'
    mean scores; `tokens` gives the logarithm of output tokens over the model's mean.
    """

    mean: Floats
    centre: Floats
    ridge: Floats = field(repr=False)
    category: Floats = field(repr=False)
    category_offset: Floats = field(repr=False)
    table: Floats = field(repr=False)
    residual: Floats = field(repr=False)
    tokens: Floats = field(repr=False)
    token_offset: Floats = field(repr=False)

    @classmethod
    def fit(cls, rows: Floats, score: Floats, categories: NDArray[np.intp], log_tokens: Floats) -> "Heads":
        """Fit all heads. `categories` (n,) counts from 0; `log_tokens` (n, m) is 0 where nothing was recorded."""
        mean, centre = score.mean(axis=0), rows.mean(axis=0)
        spectrum = Spectrum.of(rows - centre)
        count = int(categories.max()) + 1
        category, offset = _multinomial(spectrum, categories, count)
        size = np.bincount(categories, minlength=count)[:, None]
        table = (sums(score, categories, count) + MASS * mean) / (size + MASS)
        level = log_tokens.mean(axis=0)
        tokens = _by_component(spectrum, log_tokens - level)
        return cls(
            mean=mean,
            centre=centre,
            ridge=_by_component(spectrum, score - mean),
            category=category,
            category_offset=offset,
            table=table,
            residual=_by_component(spectrum, _centred(score - table[categories])),
            tokens=tokens,
            token_offset=-np.log(np.exp(spectrum.inputs @ tokens.T).mean(axis=0)),
        )

    def logits(self, rows: Floats) -> Floats:
        """Return the logits of the categories (q, c) that rows (q, X) may belong to."""
        return np.asarray((rows - self.centre) @ self.category.T + self.category_offset)

    def predict(self, rows: Floats) -> "Predicted":
        """Return what each head expects of rows (q, X)."""
        away = rows - self.centre
        category = softmax(self.logits(rows)) @ self.table
        return Predicted(
            self.mean + away @ self.ridge.T, category, away @ self.residual.T, away @ self.tokens.T + self.token_offset
        )


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Expected scores (n, m) by head, and the logarithm of output tokens over the model's mean."""

    ridge: Floats
    category: Floats
    residual: Floats
    tokens: Floats

    def average(self, family: str) -> Floats:
        """Return the average of heads of this name, shape (n, m)."""
        category, ridge, residual = FAMILIES[family]
        return category * self.category + ridge * self.ridge + residual * self.residual


def categories_of(names: Sequence[str], rows: Floats, seed: int) -> NDArray[np.intp]:
    """Return the category of each prompt as a number from 0, shape (n,).

    Those that stand at fewer than `RARE` prompts are one. With a single name, clusters of rows (n, X) stand in.
    """
    found = np.unique(np.array(names), return_inverse=True)[1]
    if found.max() == 0:
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        count = min(CLUSTERS, len(rows) // 8 + 1)
        found = prototypes(unit.astype(np.float32), count, np.random.default_rng(seed))
    size = np.bincount(found)
    return np.asarray(np.unique(np.where(size[found] >= RARE, found, -1), return_inverse=True)[1], dtype=np.intp)


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of logits (n, c)."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _by_component(spectrum: Spectrum, targets: Floats) -> Floats:
    """Return weights (m, X) of a ridge of centred targets (n, m), with its own strength for every component."""
    m = targets.shape[1]
    apart = targets - targets.mean(axis=1, keepdims=True)
    spread = apart.T @ apart
    # The common level is made the foremost direction, so that ties between models cannot mix with it.
    turn = np.linalg.eigh(spread + (np.trace(spread) + 1.0) / m)[1][:, ::-1]
    turned = targets @ turn
    return np.asarray(turn @ spectrum.weights(turned, spectrum.strengths(turned)))


def _multinomial(spectrum: Spectrum, categories: NDArray[np.intp], count: int) -> tuple[Floats, Floats]:
    """Return weights (c, X) and offset (c,) of the logits, by accelerated steps under a bound on the curvature."""
    one_hot = np.eye(count, dtype=np.float32)[categories]
    inputs = spectrum.inputs.astype(np.float32)
    inverse = ((spectrum.directions / (0.5 * spectrum.values + STRENGTH)) @ spectrum.directions.T).astype(np.float32)
    weights = ahead = np.zeros((inputs.shape[1], count), dtype=np.float32)
    offset = ahead_offset = np.log(one_hot.mean(axis=0) + 1e-4)
    momentum = 1.0
    for _ in range(STEPS if count > 1 else 0):
        miss = softmax(inputs @ ahead + ahead_offset) - one_hot
        moved = ahead - inverse @ (inputs.T @ miss + STRENGTH * ahead)
        moved_offset = ahead_offset - 2.0 * miss.mean(axis=0)
        if float(((moved - ahead) * (moved - weights)).sum()) < 0.0:
            momentum = 1.0
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        push = np.float32((momentum - 1.0) / following)
        ahead = moved + push * (moved - weights)
        ahead_offset = moved_offset + push * (moved_offset - offset)
        weights, offset, momentum = moved, moved_offset, following
    return weights.T.astype(np.float64), offset.astype(np.float64)


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean(axis=0))
