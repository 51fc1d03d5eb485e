"""Scores by contrast: how near a candidate's embedding is to the prompt's, in a space learned for it.

Owns prediction from a `routerdc` artifact; `learn.routerdc` fits it. Arrays beside those of `routing.trained`, for w
dimensions of the shared space, an embedding of D dimensions and m models:

    projection (w, D), projection_offset (w,)   the prompt's place: projection @ embedding + offset
    models (m, w)                               models' places, of unit length
    typical (m,)                                each model's mean cosine over the training prompts
    gain (1,)                                   score points for a cosine of one beyond the typical one
    token_weights (m, D), token_offset (m,)     logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, **LINEAR_TOKENS, "projection": "wD", "projection_offset": "w", "models": "mw", "typical": "m",
    "gain": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ContrastScorer:
    """Predicts by cosine. Candidates the artifact was not trained on get NaN.

    `functions` gives the prompt's place (w) and then the logarithms of the token ratios (n).
    """

    binding: Binding
    functions: Linear
    models: Floats
    typical: Floats
    gain: float
    name: str = "routerdc"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "ContrastScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        parts = ((arrays["projection"], arrays["projection_offset"]), tokens)
        weights, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(
            binding=binding,
            functions=Linear.of(weights, offset),
            models=binding.pick(arrays["models"].T, 0.0).T,
            typical=binding.pick(arrays["typical"], 0.0),
            gain=float(arrays["gain"][0]),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, w = self.functions(vector), self.models.shape[1]
        place = values[:w]
        cosine = self.models @ place / max(sqrt(float(place.dot(place))), 1e-9)
        score = squashed(binding.prior_score + self.gain * (cosine - self.typical))
        return binding.prediction(view, score, binding.tokens(values[w:]))
