"""Scores by win gap: the best fixed model at its mean, the others better or worse by their predicted gap to it.

Owns prediction from a `hybrid` artifact; `learn.hybrid` fits it. Arrays beside those of `routing.trained`, for an
embedding of D dimensions and m models:

    gap_weights (m, D), gap_offset (m,)       gap less its mean: weights @ embedding + offset; zeros for the best fixed
    token_weights (m, D), token_offset (m,)   logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, squashed

_SHAPES = {**COMMON, **LINEAR_TOKENS, "gap_weights": "mD", "gap_offset": "m"}


@dataclass(frozen=True, slots=True, eq=False)
class GapScorer:
    """Predicts a score by each candidate's gap. Candidates the artifact was not trained on get NaN.

    The gap less its mean is added to the candidate's own mean, so that nothing depends on whether the best fixed model
    is a candidate. `functions` gives the gaps (n) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    name: str = "hybrid"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "GapScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        gap = binding.rows(arrays["gap_weights"], arrays["gap_offset"])
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights, offset = (np.concatenate(pair) for pair in zip(gap, tokens, strict=True))
        return cls(binding, Linear.of(weights, offset))

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, n = self.functions(vector), binding.column.size
        score = squashed(binding.prior_score + values[:n])
        return binding.prediction(view, score, binding.tokens(values[n:]))
