"""Fits strategy `thompson`: each model is chosen as often as it is likely to be the best. See `learn.bandit`."""

from functools import partial

from routeiq.learn import bandit

STRATEGY = "thompson"
fit = partial(bandit.fit, STRATEGY)
"""`fit(matrix, vectors, embedder, *, seed, created, progress) -> Artifact`; raises DataError."""
