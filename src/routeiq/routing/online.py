"""The extension surface of learning while serving: a scorer that can learn, its learner, and what that is told.

A scorer stays frozen like every stage. One that can learn names a learner, which owns the state that changes and makes
frozen scorers from it; `LiveScorer` stands in the profile and predicts by the latest of them. State is kept as what was
added to the artifact since it was trained, so that what several processes have learned from one artifact can be summed.
Who tells learners what, and where their state is kept, is `routing.learners`'.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.decision import Decision
from routeiq.core.errors import ArtifactError
from routeiq.core.request import Caller
from routeiq.routing import codec
from routeiq.routing.stages import Features, Prediction, Scorer, View

STATE_SUFFIX = ".learned"
"""Ends the strategy name in the manifest of a learner's state, so that no alias can be served from it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of one answer.

    Without `other`, `value` is the quality of the answer of `model`, 0..1 by `core.reward.judged_score`. With `other`,
    it is the result of a comparison: 1 where `model` gave the better answer, 0 where `other` did, 0.5 for a tie.
    `former` is the value that was told of the same answer before and that this one replaces. `decision` has the
    propensity with which the choice was drawn; it is None only in tests and training.
    """

    features: Features
    model: str
    value: float
    former: float | None = None
    other: str | None = None
    caller: Caller = Caller()
    decision: Decision | None = None

    @property
    def usable(self) -> bool:
        """Whether the value is a number from 0 to 1."""
        return 0.0 <= self.value <= 1.0


class Learner(Protocol):
    """What was learned since an artifact was trained. One caller at a time; whoever owns it sees to that."""

    @property
    def artifact(self) -> Artifact:
        """The artifact that was trained, which stays as it is."""
        ...

    def learn_one(self, told: Judgement) -> bool:
        """Learn from one judgement, in microseconds; return False, and learn nothing, where that is not possible."""
        ...

    def over(self, scorer: Scorer) -> Scorer:
        """Return a scorer of the artifact with everything learned so far in it."""
        ...

    def gains(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return copies of what was added: arrays by name, and words that explain them; sums over processes add up."""
        ...

    def restore(self, arrays: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        """Add what `gains` of another learner of the same artifact returned; raises ArtifactError when it cannot be."""
        ...


class OnlineScorer(Scorer, Protocol):
    """A scorer that can learn while it serves."""

    @property
    def artifact(self) -> Artifact:
        """What it predicts from; its digest tells which scorers share one learner."""
        ...

    def learner(self) -> Learner:
        """Return a learner that has learned nothing yet."""
        ...


@dataclass(slots=True, weakref_slot=True, eq=False)
class LiveScorer:
    """Predicts by the latest of a learner's scorers. Exchanging it is one assignment, so readers need no lock."""

    trained: Scorer
    current: Scorer = field(init=False)

    def __post_init__(self) -> None:
        self.current = self.trained

    @property
    def name(self) -> str:
        """The scorer's name in explanations."""
        return self.trained.name

    def predict(self, view: View) -> Prediction:
        """Return the prediction with what has been learned so far."""
        return self.current.predict(view)


def usable_vector(features: Features, manifest: Manifest) -> Any:
    """Return the embedding of a judged prompt, or None when it is missing, another embedder's, or says nothing."""
    vector = features.embedding
    if vector is None or features.embedder != manifest.embedder or vector.shape != (manifest.dimensions,):
        return None
    return vector if 0.0 < float(vector.dot(vector)) < np.inf else None


def state_of(learner: Learner, judgements: int) -> Artifact:
    """Return what a learner has added, in the form of an artifact whose parent is the one that was trained."""
    arrays, words = learner.gains()
    trained = learner.artifact.manifest
    manifest = Manifest(
        strategy=trained.strategy + STATE_SUFFIX,
        version="",
        candidates=trained.candidates,
        sha256="",
        created="",
        parent=trained.version,
        training={**words, "artifact_sha256": trained.sha256, "judgements": judgements},
    )
    return codec.seal(Artifact(manifest, arrays))


def resume(learner: Learner, state: Artifact) -> int:
    """Add a kept state to a learner of the same artifact and return its number of judgements; raises ArtifactError."""
    trained, said = learner.artifact.manifest, state.manifest.training
    if said.get("artifact_sha256") != trained.sha256 or state.manifest.candidates != trained.candidates:
        raise ArtifactError(
            f"state {state.manifest.version!r} was learned from artifact {state.manifest.parent!r}, "
            f"not from {trained.version!r}"
        )
    judgements = said.get("judgements")
    learner.restore(state.arrays, said)
    return judgements if isinstance(judgements, int) else 0


def added(arrays: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Any:
    """Return an array of a kept state; raises ArtifactError unless it is there, finite and of that shape."""
    found = arrays.get(name)
    if found is None or found.shape != shape or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise ArtifactError(f"array {name!r} of a learner's state is missing, not finite, or not of shape {shape}")
    return found
