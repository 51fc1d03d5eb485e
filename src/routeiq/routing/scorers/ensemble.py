"""Scores by several heads over everything that is known of a prompt, averaged and believed as far as evidence goes.

Owns prediction from an `ensemble` artifact; `learn.ensemble` fits it. The heads are linear in the likeness of the
prompt to landmarks. Arrays beside those of `routing.trained` and `routing.hardness` (reading, kernel, novelty), for m
models, l landmarks and c categories of training prompts:

    category_weights (c, l), category_offset (c,)   logits of the category a prompt belongs to
    category_score (c, m)                           what the categories contribute to the expected score
    weights (m, l), offset (m,)                     what is added to that, linear in the likeness
    believed (2,)                                   how much of what differs from the mean is believed: score, tokens
    token_weights (m, l), token_offset (m,)         logarithm of expected output tokens over the model's mean
    typical_cost (1,)                               mean cost of a request over models and prompts, US dollars
"""

from dataclasses import dataclass, field

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.blocks import Singles
from routeiq.routing.hardness import kernel, novelty, reading
from routeiq.routing.hardness.kernel import Kernel
from routeiq.routing.hardness.novelty import Novelty
from routeiq.routing.hardness.reading import Reading
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, **reading.SHAPES, **kernel.SHAPES, **novelty.SHAPES, "weights": "ml", "offset": "m",
    "token_weights": "ml", "token_offset": "m", "believed": "2", "typical_cost": "1",
    "input_line": "2m",
    "category_weights": "cl", "category_offset": "c", "category_score": "cm",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleScorer:
    """Predicts from category and prompt. Candidates the artifact was not trained on get NaN.

    `functions` gives the logits of the categories (c), the linear part of the scores (n) and the logarithms of the
    token ratios (n).
    """

    binding: Binding
    reading: Reading
    kernel: Kernel
    novelty: Novelty
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
        return cls(
            binding, Reading.of(arrays), Kernel.of(arrays), Novelty.of(arrays), Linear.of(weights, offset),
            binding.pick(arrays["category_score"], 0.0), believed,
        )  # fmt: skip

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        scaled = self.kernel.scaled(self.reading.input(view, vector))
        values = self.functions(self.kernel(scaled))
        c, n = len(self.category_score), binding.column.size
        likely = np.exp(values[:c] - values[:c].max())
        heads = np.einsum("c,cn->n", likely / likely.sum(), self.category_score) + values[c : c + n]
        believed = self.believed[0] * self._trust(view, vector, values[:c], scaled)
        score = binding.prior_score + believed * (heads - binding.prior_score)
        return binding.prediction(view, squashed(score), binding.tokens(self.believed[1] * values[c + n :]))

    def _trust(self, view: View, vector: Singles, logits: Floats, scaled: Singles) -> float:
        """Return how much a prompt is like the training ones and their tasks, 0..1."""
        near = self.reading.nearness(vector)
        if near is None:
            return 1.0
        familiar = self.reading.familiarity(near)
        words = scaled[scaled.size - self.reading.piece_table.shape[1] :]
        return familiar * self.novelty.believed(logits, near, words) if view.request.text else familiar
