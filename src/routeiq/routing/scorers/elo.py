"""Scores by ratings: what a candidate's rating among prompts like this one promises beyond its mean.

Owns prediction from an `elo` artifact; `learn.elo` fits it and moves ratings by further comparisons. Arrays beside
those of `routing.trained`, for k clusters, an embedding of D dimensions and m models:

    rating (m,), cluster_ratings (k, m)         ratings over all prompts and in each cluster, 400 points for odds of 10
    centre_weights (k, D), centre_offset (k,)   a prompt belongs to the cluster with the highest product plus offset
    evidence (k, m)                             number of recorded scores in each cluster
    believed (1,)                               how much of the difference between cluster and all is believed
"""

from dataclasses import dataclass

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, "rating": "m", "cluster_ratings": "km", "centre_weights": "kD", "centre_offset": "k", "evidence": "km",
    "believed": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class RatingScorer:
    """Predicts by the ratings of the nearest cluster. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    nearness: Linear
    scores: Floats
    evidence: Floats
    name: str = "elo"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "RatingScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        gain = _edge(arrays["cluster_ratings"]) - _edge(arrays["rating"])
        return cls(
            binding=binding,
            nearness=Linear.of(arrays["centre_weights"], arrays["centre_offset"]),
            scores=squashed(binding.pick(arrays["prior_score"] + arrays["believed"][0] * gain)),
            evidence=binding.pick(arrays["evidence"]),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        nearest = int(self.nearness(vector).argmax())
        return binding.prediction(view, self.scores[nearest], binding.prior_tokens, evidence=self.evidence[nearest])


def _edge(ratings: Floats) -> Floats:
    """Return the expected score (..., m) beyond the pool's mean: twice the chance to win less one half."""
    chance = 1.0 / (1.0 + 10.0 ** ((ratings[..., None, :] - ratings[..., :, None]) / 400.0))
    expected: Floats = 2.0 * (chance.mean(axis=-1) - 0.5)
    return expected
