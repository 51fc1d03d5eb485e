"""Ridge regression of many targets at once, the strength of each chosen by generalised cross-validation.

Owns one eigendecomposition per set of inputs, from which every strength follows in closed form (Golub, Heath and Wahba
1979). A target without signal gets an infinite strength: its prediction is 0, the mean of what was centred. Degrees of
freedom count 1.4 times (Kim and Gu 2004), which is what keeps noise from being fitted to.
"""

from dataclasses import dataclass

import numpy as np

from routeiq.learn.fitting import Lesson
from routeiq.learn.geometry import Singles
from routeiq.routing.table import Floats

STRENGTHS: Floats = np.append(np.logspace(-1.5, 4.5, 31), np.inf)
CAUTION = 1.4


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Inputs (n, D), centred, with the eigendecomposition of inputs' inputs: `values` (D,), `directions` (D, D)."""

    inputs: Floats
    values: Floats
    directions: Floats

    @classmethod
    def of(cls, inputs: Floats) -> "Spectrum":
        """Decompose inputs."""
        values, directions = np.linalg.eigh(inputs.T @ inputs)
        return cls(inputs, np.maximum(values, 0.0), directions)

    def loadings(self, targets: Floats) -> Floats:
        """Return the targets (n, r), centred, in the directions of the inputs, shape (D, r)."""
        return np.asarray(self.directions.T @ (self.inputs.T @ targets))

    def strengths(self, targets: Floats) -> Floats:
        """Return the strength that generalised cross-validation chooses for each target (n, r), shape (r,)."""
        n, loadings, total = len(targets), self.loadings(targets), (targets**2).sum(axis=0)
        scores = []
        for strength in STRENGTHS:
            shrunk = _inverse(self.values, strength)
            part = self.values * shrunk
            left = total - ((2.0 - part) * shrunk) @ loadings**2
            freedom = min(0.99, (CAUTION * part.sum() + 1.0) / n)
            scores.append(np.maximum(left, 0.0) / n / (1.0 - freedom) ** 2)
        # Searched from the strongest, so that what makes no difference is not fitted.
        return np.asarray(STRENGTHS[::-1][np.argmin(scores[::-1], axis=0)])

    def weights(self, targets: Floats, strengths: Floats) -> Floats:
        """Return the weights (r, D) of ridge regressions of targets (n, r) with strengths (r,)."""
        shrunk = np.stack([_inverse(self.values, strength) for strength in strengths], axis=1)
        return np.asarray((self.directions @ (shrunk * self.loadings(targets))).T)


def token_arrays(lesson: Lesson, spectrum: Spectrum) -> dict[str, Floats | Singles]:
    """Return `token_weights` (m, D) and `token_offset` (m,), see `routing.trained`.

    They give the logarithm of output tokens over each model's mean, from the embedding. The exponential is rescaled so
    that its mean over the training prompts is 1. Unknown cells count as the mean; a model without any gets 0.
    """
    tokens = lesson.matrix.output_tokens
    count = np.maximum((~np.isnan(tokens)).sum(axis=0), 1)
    mean = np.nansum(tokens, axis=0) / count
    ratio = np.where(np.isnan(tokens) | (mean <= 0), 1.0, tokens / np.where(mean > 0, mean, 1.0))
    log_ratio = np.log(np.maximum(ratio, 0.02))
    centred = log_ratio - log_ratio.mean(axis=0)
    weights = spectrum.weights(centred, spectrum.strengths(centred))
    raw, offset = lesson.raw(weights, -np.log(np.exp(spectrum.inputs @ weights.T).mean(axis=0)))
    return {"token_weights": raw, "token_offset": offset}


def _inverse(values: Floats, strength: float) -> Floats:
    """Return 1 / (values + strength); 0 where the strength is infinite or both are 0."""
    if np.isinf(strength):
        return np.zeros(values.size)
    return 1.0 / np.maximum(values + strength, 1e-12)
