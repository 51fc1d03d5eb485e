"""Whether expected scores come true: reliability, expected calibration error, and two maps that would repair it.

Owns the measurement. Maps are fitted to predictions for prompts that were left out: Platt scaling (Platt 1999, a line
between logits) and isotonic regression (pool adjacent violators; Ayer et al. 1955). Both are monotone and the same for
all models, so they never change which model is best; decisions are made with unmapped scores, which are drawn towards
the means on purpose.
"""

from dataclasses import dataclass

import numpy as np

from routeiq.routing.table import Floats
from routeiq.routing.trained import sigmoid

BINS = 10
_STEPS = 30


@dataclass(frozen=True, slots=True)
class Reliability:
    """Expected calibration error as predicted and after each map; `platt` is (slope, offset) between logits.

    The maps are judged on the half of the prompts that they were not fitted to.
    """

    error: float
    error_platt: float
    error_isotonic: float
    platt: tuple[float, float]


def reliability(predicted: Floats, score: Floats, seed: int = 0) -> Reliability:
    """Return how expected scores (n, m) of left-out prompts compare with those that came (n, m)."""
    first = np.random.default_rng(seed).permutation(len(predicted)) % 2 == 0
    errors = {"platt": 0.0, "isotonic": 0.0}
    for learned in (first, ~first):
        if not learned.any() or learned.all():
            continue
        known, came = predicted[learned].ravel(), score[learned].ravel()
        asked, truth = predicted[~learned].ravel(), score[~learned].ravel()
        slope, offset = platt(known, came)
        part = (~learned).mean()
        errors["platt"] += part * calibration_error(sigmoid(slope * logit(asked) + offset), truth)
        errors["isotonic"] += part * calibration_error(np.interp(asked, *isotonic(known, came)), truth)
    error = calibration_error(predicted.ravel(), score.ravel())
    return Reliability(error, errors["platt"], errors["isotonic"], platt(predicted.ravel(), score.ravel()))


def calibration_error(predicted: Floats, score: Floats) -> float:
    """Return the mean distance of predicted and true mean score over bins of even width, weighted by their size."""
    at = np.clip((predicted * BINS).astype(np.intp), 0, BINS - 1)
    gap = np.bincount(at, predicted - score, minlength=BINS)
    return float(np.abs(gap).sum() / max(predicted.size, 1))


def platt(predicted: Floats, score: Floats) -> tuple[float, float]:
    """Return slope and offset of the logistic curve from the logit of predictions (k,) to scores (k,)."""
    inputs = np.stack([logit(predicted), np.ones(predicted.size)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        expected = sigmoid(inputs @ found)
        curved = inputs.T @ (inputs * (expected * (1.0 - expected))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(curved, inputs.T @ (expected - score))
        found = found - np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def isotonic(predicted: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return the knots of the rising curve nearest to scores (k,) in least squares, to be joined by lines."""
    order = np.argsort(predicted, kind="stable")
    levels: list[tuple[float, float, float]] = []  # sum of scores, sum of predictions, number
    for value, at in zip(score[order].tolist(), predicted[order].tolist(), strict=True):
        total, place, count = value, at, 1.0
        while levels and levels[-1][0] * count >= total * levels[-1][2]:
            before = levels.pop()
            total, place, count = total + before[0], place + before[1], count + before[2]
        levels.append((total, place, count))
    table = np.array(levels)
    return table[:, 1] / table[:, 2], table[:, 0] / table[:, 2]


def logit(score: Floats) -> Floats:
    """Return the logit of scores, which are kept off 0 and 1."""
    inside = np.clip(score, 1e-3, 1.0 - 1e-3)
    return np.asarray(np.log(inside / (1.0 - inside)))
