"""Whether a prompt belongs to a kind of task that was not trained on, told by signs that the prompt itself gives.

Owns the signs and what they mean for how much of a prediction is believed; `learn.novelty` weighs them, from training
prompts whose task was left out. Arrays of an artifact, for p anchors (`routing.hardness.reading`) in k directions of
word pieces:

    piece_anchor (p, k)   centred unit vectors of the anchors' word pieces
    novelty (6,)          weight of each sign and an offset: the log odds of a task that was not trained on
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from routeiq.routing.blocks import Blocked, Singles
from routeiq.routing.hardness.reading import nearest
from routeiq.routing.table import Floats

SIGNS: Final = 5
SHAPES: Mapping[str, str] = {"piece_anchor": "pk", "novelty": str(SIGNS + 1)}
"""The arrays, see `routing.trained.checked`."""

_TINY = 1e-9


def signs(logits: Floats, near: Floats, near_words: Floats) -> Floats:
    """Return the signs (..., SIGNS) from logits of categories (..., c) and two similarities (...) to known prompts.

    They are the highest probability of a category, the entropy of the probabilities, the logarithm of their sum before
    it was made 1, and the similarities of the embedding and of the word pieces to the nearest anchors.
    """
    top = logits.max(axis=-1, keepdims=True)
    grown = np.exp(logits - top)
    total = grown.sum(axis=-1, keepdims=True)
    likely = grown / total
    entropy = -(likely * np.log(likely + _TINY)).sum(axis=-1)
    level = np.log(total[..., 0]) + top[..., 0]
    return np.stack([likely.max(axis=-1), entropy, level, near, near_words], axis=-1)


def believed(log_odds: Any) -> Any:
    """Return how much is believed, 0..1: all of it up to even odds that the task is new, then ever less."""
    return np.minimum(2.0 / (1.0 + np.exp(np.clip(log_odds, -30.0, 30.0))), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """What an artifact knows of signs; weights of 0 say that all is believed."""

    words: Blocked = field(repr=False)
    weights: Floats
    offset: float

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "Novelty":
        """Return what arrays that were checked say."""
        weights = np.asarray(arrays["novelty"], np.float64)
        return cls(Blocked(np.asarray(arrays["piece_anchor"], np.float32)), weights[:SIGNS], float(weights[SIGNS]))

    def believed(self, logits: Floats, near: float, words: Singles) -> float:
        """Return how much is believed, from logits (c,), the embedding's similarity, and the word pieces' part of a
        scaled row (k,).
        """
        if not self.weights.any():
            return 1.0
        length = max(float(np.sqrt(np.einsum("i,i->", words, words))), _TINY)
        near_words = nearest(self.words.times(words) / length) if words.size else 0.0
        found = signs(logits, np.asarray(near), np.asarray(near_words))
        return float(believed(np.einsum("i,i->", found, self.weights) + self.offset))
