"""Scores by ridge regression on everything that is known of a prompt.

Owns prediction from a `linear` artifact; `learn.linear` fits it. Arrays beside those of `routing.trained` and
`routing.hardness.reading`, for an input of X = D + q + k numbers and m models:

    weights (m, X), offset (m,)               expected score: weights @ input + offset
    believed (2,)                             how much of what differs from the mean is believed, of score and tokens
    token_weights (m, X), token_offset (m,)   logarithm of expected output tokens over the model's mean
    typical_cost (1,)                         mean cost of a request over models and training prompts, US dollars
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.hardness.reading import SHAPES, Reading
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, **SHAPES, "weights": "mX", "offset": "m", "token_weights": "mX", "token_offset": "m", "believed": "2",
    "typical_cost": "1", "input_line": "2m",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LinearScorer:
    """Predicts a linear function of the prompt. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    reading: Reading
    functions: Linear
    believed: tuple[float, float]
    name: str = "linear"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "LinearScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        score = binding.rows(arrays["weights"], arrays["offset"])
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights, offset = (np.concatenate(pair) for pair in zip(score, tokens, strict=True))
        believed = (float(arrays["believed"][0]), float(arrays["believed"][1]))
        return cls(binding, Reading.of(arrays), Linear.of(weights, offset), believed)

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, n = self.functions(self.reading.input(view, vector)), binding.column.size
        trust = self.reading.trust(vector)
        score = binding.prior_score + self.believed[0] * trust * (values[:n] - binding.prior_score)
        return binding.prediction(view, squashed(score), binding.tokens(self.believed[1] * values[n:]))
