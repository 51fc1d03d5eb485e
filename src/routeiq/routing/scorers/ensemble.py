"""Scores by several heads over everything that is known of a prompt, averaged and believed as far as evidence goes.

Owns prediction from an `ensemble` artifact; `learn.ensemble` fits it. Arrays beside those of `routing.trained` and
`routing.hardness.reading`, for an input of X = D + q + k numbers, m models and c categories of training prompts:

    category_weights (c, X), category_offset (c,)   logits of the category a prompt belongs to
    category_score (c, m)                           what the categories contribute to the expected score
    weights (m, X), offset (m,)                     what is added to that, linear in the input
    believed (2,)                                   how much of what differs from the mean is believed: score, tokens
    token_weights (m, X), token_offset (m,)         logarithm of expected output tokens over the model's mean
    typical_cost (1,)                               mean cost of a request over models and prompts, US dollars
"""

from dataclasses import dataclass, field

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.hardness.reading import SHAPES, Reading
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, **SHAPES, "weights": "mX", "offset": "m", "token_weights": "mX", "token_offset": "m", "believed": "2",
    "typical_cost": "1",
    "category_weights": "cX", "category_offset": "c", "category_score": "cm",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleScorer:
    """Predicts from category and prompt. Candidates the artifact was not trained on get NaN.

    `functions` gives the logits of the categories (c), the linear part of the scores (n) and the logarithms of the
    token ratios (n).
    """

    binding: Binding
    reading: Reading
    functions: Linear
    category_score: Floats = field(repr=False)
    believed: tuple[float, float]
    name: str = "ensemble"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "EnsembleScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        parts = (
            (np.asarray(arrays["category_weights"]), np.asarray(arrays["category_offset"])),
            binding.rows(arrays["weights"], arrays["offset"]),
            binding.rows(arrays["token_weights"], arrays["token_offset"]),
        )
        weights, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        believed = (float(arrays["believed"][0]), float(arrays["believed"][1]))
        category_score = binding.pick(arrays["category_score"], 0.0)
        return cls(binding, Reading.of(arrays), Linear.of(weights, offset), category_score, believed)

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values = self.functions(self.reading.input(view, vector))
        c, n = len(self.category_score), binding.column.size
        likely = np.exp(values[:c] - values[:c].max())
        heads = np.einsum("c,cn->n", likely / likely.sum(), self.category_score) + values[c : c + n]
        believed = self.believed[0] * self.reading.trust(vector)
        score = binding.prior_score + believed * (heads - binding.prior_score)
        return binding.prediction(view, squashed(score), binding.tokens(self.believed[1] * values[c + n :]))
