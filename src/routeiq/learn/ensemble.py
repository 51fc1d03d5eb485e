"""Fits strategy `ensemble`: several heads averaged, of which as much is believed as evidence allows.

Owns when nothing is believed at all. The heads are `learn.heads`, prediction is `routing.scorers.ensemble`, and the
choice among averages and beliefs is `learn.auto`.
"""

from collections.abc import Callable

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.stack import BELIEVED, SIGNAL, Stack

STRATEGY = "ensemble"
HEADS = "all"


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `ensemble`; the same data and seed give the same bytes. Raises DataError."""
    stack = Stack.of(matrix, vectors, embedder, seed)
    believed, metrics = 0.0, {}
    if len(stack) >= ENOUGH_TO_TUNE:
        signal = stack.signal(stack.crossed(stack.folds(), progress))
        believed, metrics = (BELIEVED if signal > SIGNAL else 0.0), {"signal": signal}
    progress(1.0)
    return stack.artifact(STRATEGY, HEADS, believed, {}, metrics, created)
