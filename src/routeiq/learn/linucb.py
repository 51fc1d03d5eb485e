"""Fits strategy `linucb`: the model with the highest upper bound of its expected score. See `learn.bandit`."""

from functools import partial

from routeiq.learn import bandit

STRATEGY = "linucb"
fit = partial(bandit.fit, STRATEGY)
"""`fit(matrix, vectors, embedder, *, seed, created, progress) -> Artifact`; raises DataError."""
