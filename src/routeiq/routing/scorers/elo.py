"""Scores by ratings: what a candidate's rating among prompts like this one promises beyond its mean.

Owns prediction from an `elo` artifact, and the ratings that go on moving with judgements; `learn.elo` fits it. Arrays
beside those of `routing.trained`, for k clusters, an embedding of D dimensions and m models:

    rating (m,), cluster_ratings (k, m)         ratings over all prompts and in each cluster, 400 points for odds of 10
    centre_weights (k, D), centre_offset (k,)   a prompt belongs to the cluster with the highest product plus offset
    evidence (k, m)                             number of recorded scores in each cluster
    believed (1,)                               how much of the difference between cluster and all is believed
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.online import Judgement, added, usable_vector
from routeiq.routing.stages import Prediction, Scorer, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, "rating": "m", "cluster_ratings": "km", "centre_weights": "kD", "centre_offset": "k", "evidence": "km",
    "believed": "1",
}  # fmt: skip

_MOVED = ("rating", "cluster_ratings", "evidence")

STEP = 16.0
"""Rating points that a wholly unexpected judgement moves a model by: one in twenty of an even game's odds."""


@dataclass(frozen=True, slots=True, eq=False)
class RatingScorer:
    """Predicts by the ratings of the nearest cluster. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    nearness: Linear
    scores: Floats
    evidence: Floats
    artifact: Artifact = field(repr=False)
    name: str = "elo"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "RatingScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        return cls(
            binding=binding,
            nearness=Linear.of(arrays["centre_weights"], arrays["centre_offset"]),
            scores=squashed(binding.pick(_expected(artifact, 0.0))),
            evidence=binding.pick(arrays["evidence"]),
            artifact=artifact,
        )

    def learner(self) -> "RatingLearner":
        """Return a learner that has learned nothing yet."""
        return RatingLearner.of(self.artifact)

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        nearest = int(self.nearness(vector).argmax())
        return binding.prediction(view, self.scores[nearest], binding.prior_tokens, evidence=self.evidence[nearest])


@dataclass(slots=True, eq=False)
class RatingLearner:
    """Moves the ratings of an artifact by Elo's rule; implements `routing.online.Learner`.

    A comparison is a game of two models, a score a game against the pool of which as much was won as the score says.
    Half of a step is of the prompt's cluster and half of all. What it adds are sums of steps; Elo's rule depends on the
    order of games, so the sums of several processes are near what one would have learned, not equal to it. Elo, The
    Rating of Chessplayers (1978).
    """

    artifact: Artifact
    nearness: Linear
    _added: dict[str, Floats]

    @classmethod
    def of(cls, artifact: Artifact) -> "RatingLearner":
        """Return a learner over an artifact whose arrays were checked."""
        arrays = artifact.arrays
        nearness = Linear.of(arrays["centre_weights"], arrays["centre_offset"])
        return cls(artifact, nearness, {name: np.zeros(arrays[name].shape) for name in _MOVED})

    def learn_one(self, told: Judgement) -> bool:
        """Learn from a score or a comparison; an unknown model and a prompt without embedding teach nothing."""
        candidates = self.artifact.manifest.candidates
        vector = usable_vector(told.features, self.artifact.manifest)
        if vector is None or not told.usable or told.model not in candidates or told.other == told.model:
            return False
        if told.other is not None and told.other not in candidates:
            return False
        c, model = int(self.nearness(vector).argmax()), candidates.index(told.model)
        other = None if told.other is None else candidates.index(told.other)
        before = self._foreseen(c, model, other) if told.former is None else told.former
        step = STEP * (told.value - before)
        moved = (
            np.full(len(candidates), -step / max(1, len(candidates) - 1))
            if other is None
            else np.zeros(len(candidates))
        )
        if other is not None:
            moved[other] = -step
        moved[model] = step
        self._added["rating"] += 0.5 * moved
        self._added["cluster_ratings"][c] += 0.5 * moved
        if told.former is None:
            self._added["evidence"][c, model] += 1.0
        return True

    def _foreseen(self, c: int, model: int, other: int | None) -> float:
        """Return what the ratings promise of a score, or of a game against another model."""
        moved = self._added["rating"] + self._added["cluster_ratings"][c]
        if other is None:
            return float(np.nan_to_num(squashed(_expected(self.artifact, moved)[c, model]), nan=0.5))
        ratings = self.artifact.arrays["cluster_ratings"][c] + moved
        return float(1.0 / (1.0 + 10.0 ** ((ratings[other] - ratings[model]) / 400.0)))

    def over(self, scorer: Scorer) -> Scorer:
        """Return the scorer with the ratings as they are now."""
        if not isinstance(scorer, RatingScorer):
            return scorer
        moved = self._added["rating"] + self._added["cluster_ratings"]
        binding = scorer.binding
        return replace(
            scorer,
            scores=squashed(binding.pick(_expected(self.artifact, moved))),
            evidence=binding.pick(self.artifact.arrays["evidence"] + self._added["evidence"]),
        )

    def gains(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return copies of the steps that were added."""
        return {name: values.copy() for name, values in self._added.items()}, {}

    def restore(self, arrays: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        """Add the steps of another learner; raises ArtifactError."""
        kept = {name: added(arrays, name, self._added[name].shape) for name in _MOVED}
        for name in _MOVED:
            self._added[name] += kept[name]


def _expected(artifact: Artifact, moved: Floats | float) -> Floats:
    """Return the scores (k, m) that ratings promise; `moved` is what cluster ratings have been moved by since training.

    Of what was trained as much is believed as cross-validation said; what was seen since is believed as it is.
    """
    arrays = artifact.arrays
    trained = _edge(arrays["cluster_ratings"])
    gain = arrays["believed"][0] * (trained - _edge(arrays["rating"]))
    since = _edge(arrays["cluster_ratings"] + moved) - trained
    return np.asarray(arrays["prior_score"] + gain + since)


def _edge(ratings: Floats) -> Floats:
    """Return the expected score (..., m) beyond the pool's mean: twice the chance to win less one half."""
    chance = 1.0 / (1.0 + 10.0 ** ((ratings[..., None, :] - ratings[..., :, None]) / 400.0))
    expected: Floats = 2.0 * (chance.mean(axis=-1) - 0.5)
    return expected
