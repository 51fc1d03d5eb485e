"""Scores with their uncertainty, for pickers that explore: a Bayesian linear regression for each candidate.

Owns prediction from a `thompson` or `linucb` artifact, a snapshot of what was learned so far; `learn.bandit` fits and
updates it. Arrays beside those of `routing.trained`, for d directions of D-dimensional embeddings, k = 1 + d, m models:

    basis (d, D), basis_offset (d,)    the numbers of a prompt that a score is linear in, after a first that is 1
    precision (m, k, k), moment (m, k) sums of the regression, in units of the noise
    noise (1,)                         variance of scores around what is expected
    seen (m,)                          number of rewards
"""

from dataclasses import dataclass, replace

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, "basis": "dD", "basis_offset": "d", "precision": "mkk", "moment": "mk", "noise": "1", "seen": "m",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorScorer:
    """Predicts mean and variance of the expected score. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    directions: Linear
    weights: Floats
    covariance: Floats
    evidence: Floats
    name: str

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "PosteriorScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        if arrays["precision"].shape[-1] != len(arrays["basis"]) + 1:
            raise ArtifactError(
                f"array 'precision' of artifact {artifact.manifest.version!r} does not fit its {len(arrays['basis'])} "
                "directions; train it anew"
            )
        binding = Binding.of(artifact, table)
        covariance = np.linalg.inv(arrays["precision"])
        weights = (covariance @ arrays["moment"][:, :, None])[:, :, 0]
        return cls(
            binding=binding,
            directions=Linear.of(arrays["basis"], arrays["basis_offset"]),
            weights=binding.pick(weights.T, 0.0).T,
            covariance=np.moveaxis(binding.pick(np.moveaxis(covariance, 0, -1) * arrays["noise"][0], 0.0), -1, 0),
            evidence=binding.pick(arrays["seen"]),
            name=artifact.manifest.strategy,
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return replace(binding.means(view), variance=self.covariance[:, 0, 0])
        seen = np.concatenate([[1.0], self.directions(vector)])
        score = squashed(binding.prior_score + self.weights @ seen)
        variance = (self.covariance @ seen) @ seen
        return replace(binding.prediction(view, score, binding.prior_tokens, evidence=self.evidence), variance=variance)
