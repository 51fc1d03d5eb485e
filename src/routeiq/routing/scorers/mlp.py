"""Scores by a network with one hidden layer (imported ones may have more), shared by all candidates.

Owns prediction from an `mlp` artifact; `learn.mlp` fits it. Arrays beside those of `routing.trained`, for h hidden
units, an embedding of D dimensions and m models:

    hidden_weights (h, D), hidden_offset (h,)   hidden units: max(0, weights @ embedding + offset)
    output_weights (m, h), output_offset (m,)   logit of the expected score: weights @ hidden units + offset
    deeperN_weights, deeperN_offset             further hidden layers, N from 1, in imported artifacts; h is the last's
    believed (1,)                               how much of that is believed; the rest is the model's mean
    token_weights (m, D), token_offset (m,)     logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, sigmoid

_SHAPES = {
    **COMMON, **LINEAR_TOKENS,
    "hidden_weights": "hD", "hidden_offset": "h", "output_weights": "mh", "output_offset": "m", "believed": "1",
}  # fmt: skip

_DEEPEST = 8
"""Hidden layers at most."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkScorer:
    """Predicts scores by the network. Candidates the artifact was not trained on get NaN.

    `functions` gives the hidden units before they are cut (h) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    output: Linear
    believed: float
    deeper: tuple[Linear, ...] = ()
    name: str = "mlp"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "NetworkScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        shapes = _shapes(artifact)
        arrays = checked(artifact, shapes)
        binding = Binding.of(artifact, table)
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights = np.concatenate([arrays["hidden_weights"], tokens[0]])
        offset = np.concatenate([arrays["hidden_offset"], tokens[1]])
        output = Linear.of(*binding.rows(arrays["output_weights"], arrays["output_offset"]))
        further = [name.removesuffix("_weights") for name in shapes if name.startswith("deeper") and "_w" in name]
        deeper = tuple(Linear.of(arrays[f"{name}_weights"], arrays[f"{name}_offset"]) for name in further)
        return cls(binding, Linear.of(weights, offset), output, float(arrays["believed"][0]), deeper)

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        last = self.deeper[0] if self.deeper else self.output
        values, hidden = self.functions(vector), last.weights.matrix.shape[1]
        active = np.maximum(values[:hidden], 0.0).astype(np.float32)
        for layer in self.deeper:
            active = np.maximum(layer(active), 0.0).astype(np.float32)
        mean = binding.prior_score
        score = mean + self.believed * (sigmoid(self.output(active)) - mean)
        return binding.prediction(view, score, binding.tokens(values[hidden:]))


def _shapes(artifact: Artifact) -> dict[str, str]:
    """Return the shapes of an artifact's arrays; each hidden layer beyond the first has a letter of its own."""
    shapes, letters = dict(_SHAPES), "h" + "abcefgij"
    for depth in range(1, _DEEPEST):
        if f"deeper{depth}_weights" not in artifact.arrays:
            break
        shapes[f"deeper{depth}_weights"] = letters[depth] + letters[depth - 1]
        shapes[f"deeper{depth}_offset"] = letters[depth]
        shapes["output_weights"] = "m" + letters[depth]
    return shapes
