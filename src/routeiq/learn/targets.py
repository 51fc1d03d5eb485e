"""Soft targets, and the way back from them: what families learn that tell models apart instead of predicting scores.

Owns the step from scores to a distribution over models, in which equal scores get equal shares (a label would be
decided by the order of the columns), and the link from such a family's opinions to expected scores.
"""

import numpy as np

from routeiq.learn.fitting import row_centred
from routeiq.routing.table import Bools, Floats

TEMPERATURE = 0.25
"""Score points for a factor e of the target's share."""


def soft_targets(score: Floats, known: Bools, temperature: float = TEMPERATURE) -> Floats:
    """Return shares (n, m) that rise with the score, sum to 1 over the known cells of a row, and are 0 elsewhere.

    A row without any known cell is all zeros.
    """
    return shares(np.where(known, score, 0.0) / temperature, known)


def shares(logits: Floats, known: Bools) -> Floats:
    """Return the softmax of logits (n, m) over the known cells of each row, 0 elsewhere."""
    highest = np.where(known, logits, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    weight = np.where(known, np.exp(np.where(known, logits - np.where(np.isfinite(highest), highest, 0.0), 0.0)), 0.0)
    return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12))


def gain_of(opinion: Floats, residual: Floats, known: Bools) -> float:
    """Return the score points that one unit of opinion (n, m) is worth: the slope of centred scores on it, >= 0."""
    p, r = row_centred(opinion, known), row_centred(residual, known)
    energy = float((p * p).sum())
    return max(0.0, float((p * r).sum()) / energy) if energy > 1e-9 else 0.0
