"""Scores by a head on a language model: the share of each model among those that should answer the prompt.

Owns prediction from a `causallm` artifact; `learn.causallm` fits it, and the encoder is the embedder that the manifest
names. Arrays beside those of `routing.trained`, for vectors of D dimensions and m models:

    weights (m, D), offset (m,)                logits of the shares
    typical (m,)                               each model's mean share over the training prompts
    gain (1,)                                  score points for a share of one beyond the typical one
    token_weights (m, D), token_offset (m,)    logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, squashed

_SHAPES = {**COMMON, **LINEAR_TOKENS, "weights": "mD", "offset": "m", "typical": "m", "gain": "1"}


@dataclass(frozen=True, slots=True, eq=False)
class HeadScorer:
    """Predicts by shares. Candidates the artifact was not trained on get NaN.

    `functions` gives the logits of all m models of the artifact, since shares are of all of them, and then the
    logarithms of the candidates' token ratios (n). `column` has a model's place for each candidate, 0 for unknown ones.
    """

    binding: Binding
    functions: Linear
    column: NDArray[np.intp]
    typical: Floats
    gain: float
    models: int
    name: str = "causallm"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "HeadScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        parts = ((arrays["weights"], arrays["offset"]), tokens)
        weights, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(
            binding=binding,
            functions=Linear.of(weights, offset),
            column=np.maximum(binding.column, 0),
            typical=binding.pick(arrays["typical"], 0.0),
            gain=float(arrays["gain"][0]),
            models=len(artifact.manifest.candidates),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, m = self.functions(vector), self.models
        weight = np.exp(values[:m] - values[:m].max())
        share = (weight / weight.sum())[self.column]
        score = squashed(binding.prior_score + self.gain * (share - self.typical))
        return binding.prediction(view, score, binding.tokens(values[m:]))
