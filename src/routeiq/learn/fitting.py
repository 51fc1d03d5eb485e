"""What fitting a family has in common: checked input, folds, cautious choices, and the artifact around the arrays.

Owns the two defences against noise that each family here uses. A strength of regularisation is the most cautious one
that keeps nearly all of the best fall in cross-validated error. What is predicted is then drawn towards each model's
training mean by a slope fitted to out-of-fold predictions, which is 0, so that the prediction *is* the mean, where
these carry no signal. Errors are those of scores less their row mean: what all models share on a prompt (how
hard it is) does not matter to the choice between them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import DataError
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.routing import codec
from routeiq.routing.table import Bools, Floats

FOLDS = 5
ENOUGH_TO_TUNE = 40
"""Prompts needed for cross-validation; with fewer the training means are served."""

KEPT = 0.95
"""Part of the best cross-validated fall in error that a more cautious option must keep to be preferred."""


class FitFamily(Protocol):
    """How every family is fitted: prompts with outcomes, their embeddings (n, D), and the id of what made these."""

    def __call__(
        self,
        matrix: OutcomeMatrix,
        vectors: Singles,
        embedder: str,
        *,
        seed: int = 0,
        created: str = "",
        progress: Callable[[float], None] = ...,
    ) -> Artifact:
        """Return the sealed artifact; raises DataError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a family learns from: checked, in canonical order, with embeddings centred and scaled.

    `inputs` (n, D) has mean 0 and mean squared length 1: `(vectors - mean) / scale`. `known` (n, m) marks the recorded
    scores; `residual` (n, m) is score less the model's mean, 0 where nothing was recorded.
    """

    matrix: OutcomeMatrix
    embedder: str
    seed: int
    vectors: Singles
    mean: Floats
    scale: float
    inputs: Floats
    prior: Floats
    known: Bools
    residual: Floats

    @classmethod
    def of(cls, matrix: OutcomeMatrix, vectors: Singles, embedder: str, seed: int) -> "Lesson":
        """Return the lesson of a matrix and its embeddings; raises DataError when nothing can be learned from them."""
        if len(matrix) < 2 or len(matrix.models) < 2:
            raise DataError(
                f"{len(matrix)} prompt(s) on {len(matrix.models)} model(s): training needs two of each at least"
            )
        vectors, matrix = np.asarray(vectors, dtype=np.float32)[matrix.order()], matrix.canonical()
        if not np.isfinite(vectors).all():
            raise DataError(f"embedder {embedder!r} gave vectors with numbers that are not finite; use another one")
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors.astype(np.float64) - mean
        scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        known = ~np.isnan(matrix.score)
        prior = np.nan_to_num(matrix.mean_score())
        residual = np.where(known, matrix.score - prior, 0.0)
        return cls(matrix, embedder, seed, vectors, mean, scale, centred / scale, prior, known, residual)

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def models(self) -> int:
        """Number of models."""
        return len(self.matrix.models)

    @property
    def score(self) -> Floats:
        """Scores (n, m), the model's mean where nothing was recorded."""
        return self.residual + self.prior

    def folds(self) -> NDArray[np.intp]:
        """Return the fold of each prompt, shape (n,); a text that stands there twice is in one fold."""
        numbers = {text: i for i, text in enumerate(dict.fromkeys(self.matrix.texts))}
        of_text = np.random.default_rng(self.seed).permutation(len(numbers)) % FOLDS
        return np.asarray(of_text[[numbers[text] for text in self.matrix.texts]], dtype=np.intp)

    def raw(self, weights: Floats, offset: Floats) -> tuple[Singles, Floats]:
        """Return weights (r, D) and offset (r,) for embeddings as they come, given those for `inputs`."""
        scaled = weights / self.scale
        return scaled.astype(np.float32), offset - scaled @ self.mean

    def priors(self) -> dict[str, Floats]:
        """Return the arrays that every artifact has, see `routing.trained`."""
        return {
            "prior_score": self.matrix.mean_score(),
            "prior_tokens": mean_of_known(self.matrix.output_tokens),
            "input_price": self.matrix.input_price,
            "output_price": self.matrix.output_price,
        }

    def artifact(
        self,
        strategy: str,
        arrays: Mapping[str, Any],
        training: Mapping[str, Any],
        metrics: Mapping[str, float],
        created: str = "",
    ) -> Artifact:
        """Return the sealed artifact of what was learned; `training` are the parameters that were chosen."""
        said = {
            "fingerprint": self.matrix.fingerprint(),
            "prompts": len(self),
            "suites": sorted(set(self.matrix.suites)),
            "seed": self.seed,
            **training,
        }
        manifest = Manifest(
            strategy=strategy,
            version="",
            candidates=self.matrix.models,
            sha256="",
            created=created,
            embedder=self.embedder,
            dimensions=int(self.vectors.shape[1]),
            metrics={key: round(float(value), 6) for key, value in metrics.items()},
            training=said,
        )
        return codec.seal(Artifact(manifest, {**self.priors(), **arrays}))


def input_line(matrix: OutcomeMatrix) -> Floats:
    """Return slope and offset (2, m) of the input tokens that each model counts, by the prompt's length in tokens.

    Least squares over what was recorded; slope 1 and offset 0 for a model of which too little was.
    """
    line = np.stack([np.ones(len(matrix.models)), np.zeros(len(matrix.models))])
    for j, counted in enumerate(matrix.input_tokens.T):
        known = ~(np.isnan(counted) | np.isnan(matrix.prompt_tokens))
        if known.sum() < ENOUGH_TO_TUNE:
            continue
        length, came = matrix.prompt_tokens[known], counted[known]
        away = length - length.mean()
        spread = float(away @ away)
        line[0, j] = max(float(away @ came) / spread, 0.0) if spread > 0 else 0.0
        line[1, j] = came.mean() - line[0, j] * length.mean()
    return line


def row_centred(values: Floats, known: Bools) -> Floats:
    """Return values (n, m) less their row's mean over known cells; 0 where unknown."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
    return np.where(known, values - mean, 0.0)


def row_error(predicted: Floats, residual: Floats, known: Bools) -> Floats:
    """Return each prompt's squared error of centred predictions, shape (n,); both (n, m) are less the model's mean."""
    error: Floats = (row_centred(predicted - residual, known) ** 2).sum(axis=1)
    return error


def cross_validated(
    lesson: "Lesson",
    options: int,
    held_out: Callable[[Bools], Iterable[Floats]],
    progress: Callable[[float], None],
) -> tuple[int, float]:
    """Return the most cautious of several options that is good, and how much of its predictions to believe.

    `held_out` learns from the prompts of a mask (n,) and yields for each option, from the most cautious on, what it
    predicts for the others, less the model's mean: shape (others, m). With too few prompts the first option it is, and
    nothing is believed.
    """
    if len(lesson) < ENOUGH_TO_TUNE:
        return 0, 0.0
    fold_of = lesson.folds()
    predicted = np.zeros((options, *lesson.residual.shape))
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        learned = fold_of != fold
        for at, found in enumerate(held_out(learned)):
            predicted[at, ~learned] = found
    chosen = most_cautious(predicted, lesson)
    return chosen, slope(predicted[chosen], lesson.residual, lesson.known)


def most_cautious(predicted: Floats, lesson: Lesson) -> int:
    """Return the first of several options that keeps `KEPT` of the best fall in error against the training means.

    `predicted` (options, n, m) are out-of-fold predictions less the model's mean, ordered from the most cautious to the
    boldest. Where no option lowers the error, it is the first.
    """
    plain = row_error(np.zeros(lesson.residual.shape), lesson.residual, lesson.known).sum()
    fall = [float(plain - row_error(option, lesson.residual, lesson.known).sum()) for option in predicted]
    return next(at for at, found in enumerate(fall) if found >= KEPT * max(*fall, 0.0) or max(fall) <= 0.0)


def slope(predicted: Floats, residual: Floats, known: Bools) -> float:
    """Return how much of out-of-fold predictions to believe, 0..1.

    Both arguments (n, m) are less the model's mean. It is the slope of the regression of row-centred scores on
    row-centred predictions; 0 unless it is more than two standard errors (over prompts) above 0.
    """
    p, r = row_centred(predicted, known), row_centred(residual, known)
    energy = float((p * p).sum())
    if energy <= 1e-12:
        return 0.0
    found = float((p * r).sum()) / energy
    spread = float(np.sqrt((((p * (r - found * p)).sum(axis=1)) ** 2).sum())) / energy
    return float(np.clip(found, 0.0, 1.0)) if found > 2.0 * spread else 0.0
