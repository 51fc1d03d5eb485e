"""Gradient descent for the families that have no closed form: Adam over a few arrays, whole data at every step.

Owns the update rule. There is no chance in it: the same start and gradient give the same end, and since every step sees
all prompts their order does not matter.
"""

from collections.abc import Callable, Sequence

import numpy as np

from routeiq.routing.table import Floats

Arrays = tuple[Floats, ...]

_MEAN, _SQUARE, _SMALL = 0.9, 0.99, 1e-8


def adam(start: Sequence[Floats], gradient: Callable[[Arrays], Arrays], steps: int, rate: float) -> Arrays:
    """Return the arrays after some steps of Adam (Kingma and Ba, arXiv 1412.6980) with a rate that falls to a tenth."""
    at = tuple(np.array(values, dtype=np.float64) for values in start)
    mean, square = [np.zeros_like(v) for v in at], [np.zeros_like(v) for v in at]
    for step in range(1, steps + 1):
        pace = rate * (1.0 - 0.9 * (step - 1) / steps)
        moved = []
        for k, (values, slope) in enumerate(zip(at, gradient(at), strict=True)):
            mean[k] = _MEAN * mean[k] + (1.0 - _MEAN) * slope
            square[k] = _SQUARE * square[k] + (1.0 - _SQUARE) * slope**2
            first, second = mean[k] / (1.0 - _MEAN**step), square[k] / (1.0 - _SQUARE**step)
            moved.append(values - pace * first / (np.sqrt(second) + _SMALL))
        at = tuple(moved)
    return at
