"""Fits strategy `svm`: for each model a linear support vector regression of its score, calibrated to probabilities.

Owns the choice of the strength and the calibration; the machine itself is scikit-learn's LinearSVR with the squared
epsilon-insensitive loss in its primal form, which needs no chance (Ho and Lin 2012). Calibration is Platt's (1999) on
out-of-fold margins, with scores between 0 and 1 in the place of labels. Prediction is `routing.scorers.svm`.
"""

from collections.abc import Callable

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ConfigError
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, most_cautious, slope
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats
from routeiq.routing.trained import sigmoid

STRATEGY = "svm"
COSTS = (0.003, 0.01, 0.03)
"""The C of the machine: weight of an error against the length of the weights, from the most cautious."""

EPSILON = 0.1
"""Errors smaller than this are none."""

PULL = 1.0
"""How many prompts the calibration's prior counts for."""

STEPS = 120
"""Steps of the calibration."""


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `svm`; the same data and seed give the same bytes.

    Raises DataError, and ConfigError without scikit-learn.
    """
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    everything = np.ones(len(lesson), dtype=np.bool_)
    if len(lesson) < ENOUGH_TO_TUNE:
        chosen, believed, margins = 0, 0.0, np.zeros(lesson.residual.shape)
    else:
        chosen, believed, margins = _choose(lesson, progress)
    weights, intercept = _machines(lesson, everything, COSTS[chosen])
    platt_slope, platt_offset = _calibrate(margins, lesson, everything)
    raw, offset = lesson.raw(weights, intercept)
    arrays = {
        "weights": raw,
        "offset": offset,
        "platt_slope": platt_slope,
        "platt_offset": platt_offset,
        "believed": np.array([believed]),
        **token_arrays(lesson, Spectrum.of(lesson.inputs)),
    }
    progress(1.0)
    return lesson.artifact(STRATEGY, arrays, {"cost": COSTS[chosen], "believed": round(believed, 4)}, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[int, float, Floats]:
    """Return the position of the cost, how much of the predictions to believe, and the out-of-fold margins (n, m)."""
    fold_of = lesson.folds()
    margins = np.zeros((len(COSTS), *lesson.residual.shape))
    for fold in range(FOLDS):
        learned = fold_of != fold
        for at, cost in enumerate(COSTS):
            progress((fold * len(COSTS) + at) / (FOLDS * len(COSTS)))
            weights, intercept = _machines(lesson, learned, cost)
            margins[at, ~learned] = lesson.inputs[~learned] @ weights.T + intercept
    chosen = most_cautious(margins, lesson)
    if slope(margins[chosen], lesson.residual, lesson.known) == 0.0:
        return chosen, 0.0, margins[chosen]
    calibrated = np.zeros(lesson.residual.shape)
    for fold in range(FOLDS):  # a curve would believe in the very noise it was fitted to
        learned = fold_of != fold
        platt_slope, platt_offset = _calibrate(margins[chosen], lesson, learned)
        calibrated[~learned] = sigmoid(margins[chosen][~learned] * platt_slope + platt_offset) - lesson.prior
    return chosen, slope(calibrated, lesson.residual, lesson.known), margins[chosen]


def _machines(lesson: Lesson, rows: Bools, cost: float) -> tuple[Floats, Floats]:
    """Return weights (m, D) and intercept (m,) of the margins: expected score less the model's mean, uncalibrated."""
    try:
        from sklearn.svm import LinearSVR
    except ImportError as error:
        raise ConfigError(
            "strategy 'svm' is trained with scikit-learn, which is not installed; "
            "pip install 'routeiq-router[train]', or train 'logistic' instead"
        ) from error
    weights, intercept = np.zeros((lesson.models, lesson.inputs.shape[1])), np.zeros(lesson.models)
    for j in range(lesson.models):
        used = rows & lesson.known[:, j]
        target = lesson.residual[used, j]
        if target.size < 2 or np.ptp(target) < 1e-9:
            continue
        machine = LinearSVR(
            loss="squared_epsilon_insensitive", dual=False, epsilon=EPSILON, C=cost, intercept_scaling=10.0, tol=1e-3,
        ).fit(lesson.inputs[used], target)  # fmt: skip
        weights[j], intercept[j] = machine.coef_.ravel(), float(np.ravel(machine.intercept_)[0])
    return weights, intercept


def _calibrate(margins: Floats, lesson: Lesson, rows: Bools) -> tuple[Floats, Floats]:
    """Return slope and offset (m,) of the logistic curve from out-of-fold margins (n, m) to expected scores.

    Only the given prompts are looked at.

    All models at once, by steps with a bound on the curvature, which never overshoot. The slope is drawn to the one
    that leaves margins as they are about the mean score, so that it stays finite where margins separate perfectly, and
    it is never negative: means of folds that were left out are, by a hair, the opposite of those that were not.
    """
    mean = lesson.prior.clip(0.002, 0.998)
    unchanged = 1.0 / (mean * (1.0 - mean))
    used, score = lesson.known[rows], lesson.score[rows]
    margins = np.where(used, margins[rows], 0.0)
    pull = PULL * np.maximum((margins**2).mean(axis=0), 1e-12)
    aa, ab = 0.25 * (margins**2).sum(axis=0) + pull, 0.25 * margins.sum(axis=0)
    bb = 0.25 * used.sum(axis=0) + 1e-6
    det = np.maximum(aa * bb - ab**2, 1e-12)
    a, b = np.zeros(mean.size), np.log(mean / (1.0 - mean))
    for _ in range(STEPS):
        miss = np.where(used, sigmoid(margins * a + b) - score, 0.0)
        along_a, along_b = (miss * margins).sum(axis=0) + pull * (a - unchanged), miss.sum(axis=0)
        a = np.maximum(a - (bb * along_a - ab * along_b) / det, 0.0)
        b = b - (aa * along_b - ab * along_a) / det
    return a, b
