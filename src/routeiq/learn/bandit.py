"""Fits and updates the posteriors of strategies `thompson` and `linucb`: a Bayesian linear regression for each model.

Owns the start from recorded outcomes, and artifacts of what was learned since. Prediction, and learning from one reward
at a time, is `routing.scorers.bandit`; how the uncertainty is used is the picker's business. Sums of what was seen do
not depend on the order in which it was seen: learning one by one gives the numbers of learning all at once.

Sources: linear Thompson sampling (Agrawal and Goyal, arXiv 1209.3352), LinUCB with disjoint models (Li et al., arXiv
1003.0146).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import ENOUGH_TO_TUNE, FOLDS, Lesson, most_cautious, slope
from routeiq.learn.geometry import Singles, fit_subspace
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing import codec
from routeiq.routing.online import Judgement
from routeiq.routing.scorers.bandit import PosteriorLearner
from routeiq.routing.stages import Features
from routeiq.routing.table import Bools, Floats

DIRECTIONS = 24
"""Principal directions of the embedding a model's score is linear in; more need more rewards to be told apart."""

NOTHING = 1e6
STRENGTHS = (NOTHING, 300.0, 100.0, 30.0, 10.0)
"""Prior precisions of the weights in units of the noise; the first lets nothing be learned from the prompts."""

LEAST_NOISE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class OnlineState:
    """What was learned so far, owned by whoever feeds it rewards; a scorer never sees it, only `snapshot()`.

    The gateway keeps a `routing.scorers.bandit.PosteriorLearner` of its own; this one makes artifacts. Not safe for
    several threads at once.
    """

    learner: PosteriorLearner

    @classmethod
    def of(cls, artifact: Artifact) -> "OnlineState":
        """Return a state that goes on from an artifact, which stays as it is."""
        return cls(PosteriorLearner.of(artifact))

    @property
    def precision(self) -> Floats:
        """The sums (m, k, k) of a linear regression on k = 1 + d numbers of a prompt, in units of the noise."""
        return self.learner.total(slice(None))["precision"]

    def learn_one(self, features: Features, model: str, reward: float) -> bool:
        """Learn from one reward (0..1) of a candidate; return False, and learn nothing, where that is not possible.

        That is so for a model the artifact does not know, for a reward that is no number from 0 to 1, and for a prompt
        without a usable embedding of the artifact's embedder.
        """
        return self.learner.learn_one(Judgement(features, model, reward))

    def snapshot(self) -> Artifact:
        """Return a sealed artifact of what is known now, whose parent is the one it started from."""
        artifact = self.learner.artifact
        manifest = replace(artifact.manifest, version="", sha256="", parent=artifact.manifest.version, signature=None)
        return codec.seal(Artifact(manifest, {**artifact.arrays, **self.learner.total(slice(None))}))


def fit(
    strategy: str,
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of a bandit that starts from recorded outcomes; raises DataError."""
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    strength, noise = _choose(lesson, progress)
    everyone = np.ones(len(lesson), dtype=np.bool_)
    basis = _basis(lesson, everyone)
    precision, moment = _sums(lesson, everyone, basis, strength)
    raw, offset = lesson.raw(basis, np.zeros(len(basis)))
    arrays = {
        "basis": raw,
        "basis_offset": offset,
        "precision": precision,
        "moment": moment,
        "seen": lesson.known.sum(axis=0).astype(np.float64),
        "noise": np.array([noise]),
    }
    progress(1.0)
    return lesson.artifact(strategy, arrays, {"strength": strength, "directions": len(basis)}, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[float, float]:
    """Return the prior precision and the variance of scores around what is predicted, by cross-validation."""
    plain = float((lesson.residual**2).sum() / max(1, lesson.known.sum()))
    if len(lesson) < ENOUGH_TO_TUNE:
        return NOTHING, max(plain, LEAST_NOISE)
    fold_of = lesson.folds()
    predicted = np.zeros((len(STRENGTHS), *lesson.residual.shape))
    for fold in range(FOLDS):
        progress(fold / FOLDS)
        learned = fold_of != fold
        basis = _basis(lesson, learned)
        seen = np.column_stack([np.ones(int((~learned).sum())), lesson.inputs[~learned] @ basis.T])
        for at, strength in enumerate(STRENGTHS):
            precision, moment = _sums(lesson, learned, basis, strength)
            predicted[at, ~learned] = seen @ np.linalg.solve(precision, moment[:, :, None])[:, :, 0].T
    chosen = most_cautious(predicted, lesson)
    if slope(predicted[chosen], lesson.residual, lesson.known) == 0.0:
        chosen = 0
    left = np.where(lesson.known, lesson.residual - predicted[chosen], 0.0)
    return STRENGTHS[chosen], max(float((left**2).sum() / max(1, lesson.known.sum())), LEAST_NOISE)


def _basis(lesson: Lesson, rows: Bools) -> Floats:
    """Return the directions (d, D) over `Lesson.inputs`, so that their mean squared length over prompts is d."""
    found = fit_subspace(lesson.inputs[rows].astype(np.float32), DIRECTIONS, 0.5).basis.astype(np.float64)
    length = float(np.sqrt(((lesson.inputs[rows] @ found.T) ** 2).sum(axis=1).mean()))
    return np.asarray(found * np.sqrt(len(found)) / length) if length > 1e-9 else found


def _sums(lesson: Lesson, rows: Bools, basis: Floats, strength: float) -> tuple[Floats, Floats]:
    """Return precision (m, k, k) and moment (m, k) of some prompts; the mean itself has a prior of one reward."""
    seen = np.column_stack([np.ones(int(rows.sum())), lesson.inputs[rows] @ basis.T])
    prior = np.diag([1.0, *[strength] * len(basis)])
    precision = np.stack([prior + seen[known].T @ seen[known] for known in lesson.known[rows].T])
    return precision, lesson.residual[rows].T @ seen
