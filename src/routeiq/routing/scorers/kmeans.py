"""Scores by cluster: what each candidate scored on the recorded prompts of this prompt's cluster.

Owns prediction from a `kmeans` artifact; `learn.kmeans` fits it. Arrays beside those of `routing.trained`, for k
clusters in an embedding of D dimensions and m models:

    centre_weights (k, D), centre_offset (k,)   a prompt belongs to the cluster with the highest product plus offset
    scores, tokens (k, m)                       expected score and output tokens in each cluster, shrunk to the means
    evidence (k, m)                             number of recorded scores in each cluster
"""

from dataclasses import dataclass

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON,
    "centre_weights": "kD", "centre_offset": "k", "scores": "km", "tokens": "km", "evidence": "km",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ClusterScorer:
    """Predicts from the table of the nearest cluster. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    nearness: Linear
    scores: Floats
    tokens: Floats
    evidence: Floats
    name: str = "kmeans"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "ClusterScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        unknown = arrays["prior_score"] * 0.0
        return cls(
            binding=binding,
            nearness=Linear.of(arrays["centre_weights"], arrays["centre_offset"]),
            scores=squashed(binding.pick(arrays["scores"] + unknown)),
            tokens=binding.pick(arrays["tokens"] + arrays["prior_tokens"] * 0.0),
            evidence=binding.pick(arrays["evidence"]),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector = self.binding.vector(view)
        if vector is None:
            return self.binding.means(view)
        nearest = int(self.nearness(vector).argmax())
        return self.binding.prediction(
            view, self.scores[nearest], self.tokens[nearest], evidence=self.evidence[nearest]
        )
