"""Scores by messages: what a prompt's tasks say of each candidate, and what the candidate says of such prompts.

Owns prediction from a `graph` artifact; `learn.graph` fits it. Arrays beside those of `routing.trained`, for t tasks,
an embedding of D dimensions and m models:

    task_weights (t, D), task_offset (t,)      logits of the prompt's links to tasks
    task_scores (t, m)                         what a task says of each model: score points beyond its mean
    model_weights (m, D), model_offset (m,)    what a model says of a prompt: score points beyond what its tasks say
    token_weights (m, D), token_offset (m,)    logarithm of expected output tokens over the model's mean
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, squashed

_SHAPES = {
    **COMMON, **LINEAR_TOKENS, "task_weights": "tD", "task_offset": "t", "task_scores": "tm", "model_weights": "mD",
    "model_offset": "m",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MessageScorer:
    """Predicts by messages. Candidates the artifact was not trained on get NaN.

    `functions` gives the logits of the tasks (t), the models' messages (n), and the logarithms of token ratios (n).
    """

    binding: Binding
    functions: Linear
    task_scores: Floats
    name: str = "graph"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "MessageScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        models = binding.rows(arrays["model_weights"], arrays["model_offset"])
        tokens = binding.rows(arrays["token_weights"], arrays["token_offset"])
        parts = ((arrays["task_weights"], arrays["task_offset"]), models, tokens)
        weights, offset = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(binding, Linear.of(weights, offset), binding.pick(arrays["task_scores"], 0.0))

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, t, n = self.functions(vector), len(self.task_scores), binding.column.size
        link = np.exp(values[:t] - values[:t].max())
        told = link @ self.task_scores / link.sum()
        score = squashed(binding.prior_score + told + values[t : t + n])
        return binding.prediction(view, score, binding.tokens(values[t + n :]))
