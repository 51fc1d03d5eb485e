"""Scores by support vector regression: one margin per candidate over the prompt's embedding, and its calibration.

Owns prediction from an `svm` artifact; `learn.svm` fits it. Arrays beside those of `routing.trained`, for an embedding
of D dimensions and m models:

    weights (m, D), offset (m,)               margin: weights @ embedding + offset
    platt_slope, platt_offset (m,)            logit of the expected score: slope * margin + offset
    believed (1,)                             how much of that is believed; the rest is the model's mean
    token_weights (m, D), token_offset (m,)   logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, sigmoid

_SHAPES = {
    **COMMON, **LINEAR_TOKENS,
    "weights": "mD", "offset": "m", "platt_slope": "m", "platt_offset": "m", "believed": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MarginScorer:
    """Predicts a score by each candidate's calibrated margin. Candidates the artifact was not trained on get NaN.

    `functions` gives the margins (n) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    platt_slope: Floats
    platt_offset: Floats
    believed: float
    name: str = "svm"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "MarginScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        margin = binding.rows(arrays["weights"], arrays["offset"])
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights, offset = (np.concatenate(pair) for pair in zip(margin, tokens, strict=True))
        return cls(
            binding=binding,
            functions=Linear.of(weights, offset),
            platt_slope=binding.pick(arrays["platt_slope"], 0.0),
            platt_offset=binding.pick(arrays["platt_offset"], 0.0),
            believed=float(arrays["believed"][0]),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, n = self.functions(vector), binding.column.size
        mean = binding.prior_score
        calibrated = sigmoid(self.platt_slope * values[:n] + self.platt_offset)
        return binding.prediction(view, mean + self.believed * (calibrated - mean), binding.tokens(values[n:]))
