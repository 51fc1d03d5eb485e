"""Scores by logistic regression: one curve per candidate over the prompt's embedding.

Owns prediction from a `logistic` artifact; `learn.logistic` fits it. Arrays beside those of `routing.trained`, for an
embedding of D dimensions and m models:

    weights (m, D), offset (m,)               logit of the expected score: weights @ embedding + offset
    believed (1,)                             how much of the curve is believed; the rest is the model's mean
    token_weights (m, D), token_offset (m,)   logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, sigmoid

_SHAPES = {**COMMON, **LINEAR_TOKENS, "weights": "mD", "offset": "m", "believed": "1"}


@dataclass(frozen=True, slots=True, eq=False)
class LogisticScorer:
    """Predicts a score by each candidate's curve. Candidates the artifact was not trained on get NaN.

    `functions` gives the logits (n) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    believed: float
    name: str = "logistic"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "LogisticScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        score = binding.rows(arrays["weights"], arrays["offset"])
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights, offset = (np.concatenate(pair) for pair in zip(score, tokens, strict=True))
        return cls(binding, Linear.of(weights, offset), float(arrays["believed"][0]))

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, n = self.functions(vector), binding.column.size
        mean = binding.prior_score
        score = mean + self.believed * (sigmoid(values[:n]) - mean)
        return binding.prediction(view, score, binding.tokens(values[n:]))
