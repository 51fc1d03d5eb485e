"""Fits strategy `fixed`: the training means, which send everything to the best fixed model.

Owns nothing but the artifact: it is what `learn.auto` writes when no router was shown to be better.
"""

from collections.abc import Callable

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import Lesson
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix

STRATEGY = "fixed"


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `fixed`; the embeddings only say what was there. Raises DataError."""
    artifact = Lesson.of(matrix, vectors, embedder, seed).artifact(STRATEGY, {}, {}, {}, created)
    progress(1.0)
    return artifact
