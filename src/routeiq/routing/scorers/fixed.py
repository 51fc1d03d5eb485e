"""The same scores for every prompt: each model's mean over all training prompts.

Owns prediction from a `fixed` artifact, which is what training writes when no learned router was shown to be better
than the best fixed model. The prompt is not looked at. It has the arrays of `routing.trained`, and no others.
"""

from dataclasses import dataclass

from routeiq.core.artifact import Artifact
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.trained import COMMON, Binding, checked


@dataclass(frozen=True, slots=True, eq=False)
class FixedScorer:
    """Predicts the training means. Candidates the artifact was not trained on get NaN."""

    binding: Binding
    name: str = "fixed"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "FixedScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        checked(artifact, COMMON)
        return cls(Binding.of(artifact, table))

    def predict(self, view: View) -> Prediction:
        """Return the means."""
        return self.binding.means(view)
