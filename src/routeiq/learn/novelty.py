"""Learns by what signs a prompt of a task that was not trained on is known, from training prompts whose task was left
out.

Owns the weights: a logistic regression between the signs of the same prompts once with their task trained on and once
without, either half of the cases. The signs and what follows from them are `routing.hardness.novelty`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routeiq.routing.hardness.novelty import SIGNS, believed
from routeiq.routing.table import Floats
from routeiq.routing.trained import sigmoid

STRENGTH = 10.0
_STEPS = 25

NOTHING: Floats = np.zeros(SIGNS + 1)
"""Weights that say that all is believed."""


@dataclass(frozen=True, slots=True, eq=False)
class Believed:
    """`weights` (SIGNS + 1,) from all prompts, and how much of each left-out prompt is believed by weights that have
    not seen its task: with its task trained on, once per run (n,), and without (n,).
    """

    weights: Floats
    runs: tuple[Floats, ...]
    tasks: Floats


def learn(runs: Sequence[Floats], tasks: Floats, folds: NDArray[np.intp]) -> Believed:
    """Return what signs (n, SIGNS) say: those by `runs` in which tasks were trained on, and those with tasks left out,
    a fold per prompt.
    """
    known, new = [np.zeros(len(tasks)) for _ in runs], np.zeros(len(tasks))
    for fold in range(int(folds.max()) + 1):
        asked = folds == fold
        weights = weigh(runs[0][~asked], tasks[~asked])
        for kept, signs in zip(known, runs, strict=True):
            kept[asked] = believed(log_odds(signs[asked], weights))
        new[asked] = believed(log_odds(tasks[asked], weights))
    return Believed(weigh(runs[0], tasks), tuple(known), new)


def log_odds(signs: Floats, weights: Floats) -> Floats:
    """Return the log odds that the tasks of prompts with these signs (n, SIGNS) were not trained on, shape (n,)."""
    return np.asarray(signs @ weights[:SIGNS] + weights[SIGNS])


def weigh(known: Floats, new: Floats) -> Floats:
    """Return weights (SIGNS + 1,) that tell the signs of known tasks (n, SIGNS) from those of new ones (k, SIGNS)."""
    signs = np.concatenate([known, new])
    truth = np.repeat([0.0, 1.0], [len(known), len(new)])
    mean, scale = signs.mean(axis=0), signs.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    inputs = np.column_stack([(signs - mean) / scale, np.ones(len(signs))])
    penalty = np.diag([*[STRENGTH] * SIGNS, 1e-6])
    found = np.zeros(SIGNS + 1)
    for _ in range(_STEPS):
        expected = sigmoid(inputs @ found)
        curved = inputs.T @ (inputs * (expected * (1.0 - expected))[:, None]) + penalty
        step = np.linalg.solve(curved, inputs.T @ (expected - truth) + penalty @ found)
        found = found - np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    weights = found[:SIGNS] / scale
    return np.append(weights, found[SIGNS] - weights @ mean)
