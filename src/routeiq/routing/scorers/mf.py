"""Scores by matrix factorisation: the product of a prompt's vector and a candidate's, both of a few dimensions.

Owns prediction from an `mf` artifact; `learn.mf` fits it. Arrays beside those of `routing.trained`, for rank r, an
embedding of D dimensions and m models:

    projection (r, D), projection_offset (r,)   vector of the prompt: projection @ embedding + offset
    models (r, m)                               vectors of the models
    token_weights (m, D), token_offset (m,)     logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, squashed

_SHAPES = {**COMMON, **LINEAR_TOKENS, "projection": "rD", "projection_offset": "r", "models": "rm"}


@dataclass(frozen=True, slots=True, eq=False)
class FactorScorer:
    """Predicts a score by the product of vectors. Candidates the artifact was not trained on get NaN.

    `functions` gives the prompt's vector (r) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    models: Floats
    name: str = "mf"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "FactorScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights = np.concatenate([arrays["projection"], tokens[0]])
        offset = np.concatenate([arrays["projection_offset"], tokens[1]])
        return cls(binding, Linear.of(weights, offset), binding.pick(arrays["models"], 0.0))

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, rank = self.functions(vector), len(self.models)
        score = squashed(binding.prior_score + values[:rank] @ self.models)
        return binding.prediction(view, score, binding.tokens(values[rank:]))
