"""Fits strategy `linear`: ridge regression on the prompt's embedding, numbers and word pieces.

Owns the choice of how much to believe. The regression is `learn.heads`, prediction is `routing.scorers.linear`.
"""

from collections.abc import Callable

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE, slope
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.stack import Stack

STRATEGY = "linear"
HEADS = "ridge"


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `linear`; the same data and seed give the same bytes. Raises DataError."""
    stack = Stack.of(matrix, vectors, embedder, seed, bent=False)
    believed, metrics = 0.0, {}
    if len(stack) >= ENOUGH_TO_TUNE:
        found, lesson = stack.crossed(stack.folds(), progress), stack.lesson
        believed = slope(found.score(HEADS, 1.0) - found.mean, lesson.score - found.mean, lesson.known)
        metrics = {"signal": stack.signal(found, HEADS, believed)} if believed else {}
    progress(1.0)
    return stack.artifact(STRATEGY, HEADS, believed, {}, metrics, created)
