"""Scores with their uncertainty, for pickers that explore: a Bayesian linear regression for each candidate.

Owns prediction from a `thompson` or `linucb` artifact, and the posterior that goes on learning from it one judgement
at a time; `learn.bandit` fits it. Arrays beside those of `routing.trained`, for d directions of D-dimensional
embeddings, k = 1 + d, m models:

    basis (d, D), basis_offset (d,)    the numbers of a prompt that a score is linear in, after a first that is 1
    precision (m, k, k), moment (m, k) sums of the regression, in units of the noise
    noise (1,)                         variance of scores around what is expected
    seen (m,)                          number of rewards
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError
from routeiq.routing.online import Judgement, added, usable_vector
from routeiq.routing.stages import Prediction, Scorer, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, "basis": "dD", "basis_offset": "d", "precision": "mkk", "moment": "mk", "noise": "1", "seen": "m",
}  # fmt: skip

_SUMS = ("precision", "moment", "seen")


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorScorer:
    """Predicts mean and variance of the expected score. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    directions: Linear
    weights: Floats
    covariance: Floats
    evidence: Floats
    name: str
    artifact: Artifact = field(repr=False)

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
            weights=_rows(weights, binding),
            covariance=_rows(covariance, binding) * arrays["noise"][0],
            evidence=binding.pick(arrays["seen"]),
            name=artifact.manifest.strategy,
            artifact=artifact,
        )

    def learner(self) -> "PosteriorLearner":
        """Return a learner that has learned nothing yet."""
        return PosteriorLearner.of(self.artifact)

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return replace(binding.means(view), variance=self.covariance[:, 0, 0])
        seen = np.concatenate([[1.0], self.directions(vector)])
        score = squashed(binding.prior_score + self.weights @ seen)
        variance = (self.covariance @ seen) @ seen
        return replace(binding.prediction(view, score, binding.prior_tokens, evidence=self.evidence), variance=variance)


@dataclass(slots=True, eq=False)
class PosteriorLearner:
    """Goes on with the regressions of an artifact; implements `routing.online.Learner`.

    What it adds are sums over judgements, so their order does not matter, and the sums of several processes add up to
    what one would have learned from all. `covariance` (m, k, k), without the noise, and `weights` (m, k) follow them.
    """

    artifact: Artifact
    directions: Linear
    covariance: Floats
    weights: Floats
    _added: dict[str, Floats]

    @classmethod
    def of(cls, artifact: Artifact) -> "PosteriorLearner":
        """Return a learner over an artifact whose arrays were checked."""
        arrays = artifact.arrays
        covariance = np.linalg.inv(arrays["precision"])
        return cls(
            artifact,
            Linear.of(arrays["basis"], arrays["basis_offset"]),
            covariance,
            (covariance @ arrays["moment"][:, :, None])[:, :, 0],
            {name: np.zeros(arrays[name].shape) for name in _SUMS},
        )

    def learn_one(self, told: Judgement) -> bool:
        """Learn from a score; a comparison, an unknown model and a prompt without embedding teach nothing."""
        manifest = self.artifact.manifest
        vector = usable_vector(told.features, manifest)
        if vector is None or told.other is not None or not told.usable or told.model not in manifest.candidates:
            return False
        j = manifest.candidates.index(told.model)
        seen = np.concatenate([[1.0], self.directions(vector)])
        if told.former is None:
            self._added["precision"][j] += np.outer(seen, seen)
            self._added["seen"][j] += 1.0
        before = np.nan_to_num(self.artifact.arrays["prior_score"][j]) if told.former is None else told.former
        self._added["moment"][j] += seen * (told.value - before)
        self._settle(j)
        return True

    def _settle(self, j: int) -> None:
        """Bring one model's posterior in line with its sums, by inverting them: errors of rounding cannot build up."""
        sums = self.total(j)
        self.covariance[j] = np.linalg.inv(sums["precision"])
        self.weights[j] = self.covariance[j] @ sums["moment"]

    def total(self, at: Any) -> dict[str, Floats]:
        """Return the sums of the artifact with what was added, of one model or a slice of them."""
        return {name: np.asarray(self.artifact.arrays[name][at] + self._added[name][at]) for name in _SUMS}

    def over(self, scorer: Scorer) -> Scorer:
        """Return the scorer with the posterior as it is now."""
        if not isinstance(scorer, PosteriorScorer):
            return scorer
        binding, arrays = scorer.binding, self.artifact.arrays
        return replace(
            scorer,
            weights=_rows(self.weights, binding),
            covariance=_rows(self.covariance, binding) * arrays["noise"][0],
            evidence=binding.pick(arrays["seen"] + self._added["seen"]),
        )

    def gains(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return copies of the sums that were added."""
        return {name: values.copy() for name, values in self._added.items()}, {}

    def restore(self, arrays: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        """Add the sums of another learner; raises ArtifactError."""
        kept = {name: added(arrays, name, self._added[name].shape) for name in _SUMS}
        grown = self.total(slice(None))["precision"] + kept["precision"]
        try:
            np.linalg.cholesky(grown)
        except np.linalg.LinAlgError:
            raise ArtifactError("array 'precision' of a learner's state is no sum of judged prompts") from None
        for name in _SUMS:
            self._added[name] += kept[name]
        for j in range(len(self.weights)):
            self._settle(j)


def _rows(values: Floats, binding: Binding) -> Floats:
    """Return what an artifact holds of each model, (m, ...), in the order of the table's candidates; 0 for unknown."""
    column = binding.column
    known = (column >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(known, values[column], 0.0)
