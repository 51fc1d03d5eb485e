"""Kinds of prompts that the outcomes themselves show: latent classes of which models get a prompt right.

Owns the mixture (Lazarsfeld 1950, fitted by expectation-maximisation): prompts of a kind share each model's chance to
score, whatever they are about. A few kinds (nobody fails, the weak fail, all fail, one group fails) are all that tells
a dear model from a cheap one on many prompts, and their table has far fewer numbers to be wrong in than a regression
for each model. Which kind a new prompt belongs to is told from its text by `learn.heads`.
"""

import numpy as np

from routeiq.routing.table import Floats

KINDS = 4
PROMPTS_EACH = 10
"""Prompts there must be for each kind."""

MASS = 2.0
"""How many prompts the mean over all counts as in a kind's mean scores."""

ROUNDS = 40
_LEAST = 0.01


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of logits (n, c)."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def kinds_of(score: Floats) -> tuple[Floats, Floats]:
    """Return how likely each prompt is of each kind (n, k), and the kinds' mean scores (k, m).

    `score` (n, m) is 0..1. The first guess parts prompts by their mean score over models, so that no chance enters.
    """
    n, mean = len(score), score.mean(axis=0)
    count = max(1, min(KINDS, n // PROMPTS_EACH))
    rank = np.empty(n, dtype=np.intp)
    rank[np.argsort(score.mean(axis=1), kind="stable")] = np.arange(n)
    likely = np.eye(count)[rank * count // n]
    for _ in range(ROUNDS):
        table = np.clip(_table(likely, score, mean), _LEAST, 1.0 - _LEAST)
        share = np.log((likely.sum(axis=0) + 1.0) / (n + count))
        likely = softmax(score @ np.log(table).T + (1.0 - score) @ np.log1p(-table).T + share)
    return likely, _table(likely, score, mean)


def _table(likely: Floats, score: Floats, mean: Floats) -> Floats:
    return np.asarray((likely.T @ score + MASS * mean) / (likely.sum(axis=0)[:, None] + MASS))
