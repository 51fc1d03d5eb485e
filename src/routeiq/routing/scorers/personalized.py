"""Scores by another artifact, moved by what the caller's team and the caller thought of each candidate.

Owns the offsets of a `personalized` artifact, the artifact inside it, and the offsets that go on moving with
judgements; `learn.personalized` fits it. Arrays, for g groups and m models:

    offsets (g, m)   score points to add for each group of callers
    counts (g, m)    number of ratings that each offset rests on; none where the array is missing
    base.NAME        every array of the artifact that is personalised

The manifest's `training` has `groups` (g digests, see `group`), `base` (strategy and version) and `base_training`.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError
from routeiq.core.request import Caller
from routeiq.routing.online import Judgement, added
from routeiq.routing.stages import Prediction, Scorer, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import columns, pick, squashed

STRATEGY = "personalized"
BASE = "base."

MASS = 20.0
"""Ratings of one model by one group that weigh as much as the expectation that the group is like everybody."""

GROUPS_KEPT = 10_000
"""How many teams and users are learned about while serving; the one judged longest ago is forgotten beyond that."""


def group(kind: str, identifier: str) -> str:
    """Return the digest under which a team or user is kept: an artifact holds no ids."""
    return hashlib.sha256(f"{kind}\0{identifier}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


def base_of(artifact: Artifact) -> Artifact:
    """Return the artifact that was personalised; raises ArtifactError when it is not in there."""
    training = artifact.manifest.training
    base, said = training.get("base"), training.get("base_training")
    if not isinstance(base, Mapping) or not isinstance(said, Mapping) or not isinstance(base.get("strategy"), str):
        raise ArtifactError(f"the manifest of artifact {artifact.manifest.version!r} names no base; train it anew")
    if base["strategy"] == STRATEGY:
        raise ArtifactError(f"artifact {artifact.manifest.version!r} is personalised twice; train it anew")
    manifest = replace(artifact.manifest, strategy=base["strategy"], version=str(base.get("version")), training=said)
    arrays = {name.removeprefix(BASE): v for name, v in artifact.arrays.items() if name.startswith(BASE)}
    return Artifact(manifest, arrays)


@dataclass(frozen=True, slots=True, eq=False)
class PersonalScorer:
    """Adds the offsets of the caller's team and of the caller; for others the base's scores are as they are."""

    base: Scorer
    offsets: Mapping[str, Floats]
    column: NDArray[np.intp] = field(repr=False)
    artifact: Artifact = field(repr=False)
    learned: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    name: str = STRATEGY

    @classmethod
    def over(cls, base: Scorer, artifact: Artifact, table: CandidateTable) -> "PersonalScorer":
        """Return the scorer over the one of the base; raises ArtifactError, CandidateMismatch."""
        version, offsets = artifact.manifest.version, artifact.arrays.get("offsets")
        groups = artifact.manifest.training.get("groups")
        shape = (len(groups) if isinstance(groups, list) else -1, len(artifact.manifest.candidates))
        if offsets is None or offsets.shape != shape or not np.isfinite(offsets).all() or not isinstance(groups, list):
            raise ArtifactError(
                f"array 'offsets' of artifact {version!r} is missing, not finite, or does not fit its groups and "
                "candidates; train it anew"
            )
        column = columns(artifact, table)
        return cls(base, dict(zip(groups, pick(offsets, column, 0.0), strict=True)), column, artifact)

    def learner(self) -> "OffsetLearner":
        """Return a learner that has learned nothing yet."""
        return OffsetLearner.of(self.artifact)

    def predict(self, view: View) -> Prediction:
        """Return the base's expectations with the offsets of this caller added, cut to 0..1."""
        expected = self.base.predict(view)
        added = self._offset(view.request.caller)
        return expected if added is None else replace(expected, score=squashed(expected.score + added))

    def _offset(self, caller: Caller) -> Floats | None:
        known = [found for digest in groups_of(caller) if (found := self._of_group(digest)) is not None]
        return sum(known[1:], known[0]) if known else None

    def _of_group(self, digest: str) -> Floats | None:
        moved = self.learned.get(digest)
        return self.offsets.get(digest) if moved is None else pick(moved, self.column, 0.0)


def groups_of(caller: Caller) -> list[str]:
    """Return the digests of a caller's team and user, in this order, as far as they are known."""
    named = (("team", caller.team), ("user", caller.user))
    return [group(kind, identifier) for kind, identifier in named if identifier is not None]


@dataclass(slots=True, eq=False)
class OffsetLearner:
    """Goes on with the offsets of an artifact, and begins those of new groups; implements `routing.online.Learner`.

    What it adds are, for each group and model, the sum of what judgements said beyond what the base expected, and their
    number. A user's are beyond what the team's offset says at that moment.
    """

    artifact: Artifact
    offsets: dict[str, Floats] = field(default_factory=dict)
    _sums: "OrderedDict[str, Floats]" = field(default_factory=OrderedDict)
    _trained: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, artifact: Artifact) -> "OffsetLearner":
        """Return a learner over an artifact whose arrays were checked."""
        trained, names = artifact.arrays["offsets"], artifact.manifest.training["groups"]
        counts = artifact.arrays.get("counts", np.zeros(trained.shape))
        return cls(artifact, _trained={name: (trained[i], counts[i]) for i, name in enumerate(names)})

    def learn_one(self, told: Judgement) -> bool:
        """Learn from a score of a caller whose team or user is known, where the decision said what was expected."""
        candidates = self.artifact.manifest.candidates
        digests = groups_of(told.caller)
        if not digests or told.other is not None or not told.usable or told.model not in candidates:
            return False
        j = candidates.index(told.model)
        beyond = told.value - told.former if told.former is not None else self._beyond(told, digests, j)
        if beyond is None:
            return False
        for digest in digests:
            self._add(digest, j, beyond, 1.0 if told.former is None else 0.0)
            if told.former is None:
                beyond -= float(self.offsets[digest][j])
        return True

    def _beyond(self, told: Judgement, digests: list[str], j: int) -> float | None:
        """Return the judgement less what the base expected: what the decision did, without the caller's offsets."""
        reports = told.decision.candidates if told.decision is not None else ()
        expected = next((report.expected_score for report in reports if report.name == told.model), None)
        if expected is None:
            return None
        return told.value - (expected - sum(float(self._offset(digest)[j]) for digest in digests))

    def _add(self, digest: str, j: int, beyond: float, count: float) -> None:
        sums = self._sums.setdefault(digest, np.zeros((2, len(self.artifact.manifest.candidates))))
        sums[0, j] += beyond
        sums[1, j] += count
        self._sums.move_to_end(digest)
        self.offsets[digest] = self._offset(digest)
        if len(self._sums) > GROUPS_KEPT:
            forgotten, _ = self._sums.popitem(last=False)
            self.offsets.pop(forgotten, None)

    def _offset(self, digest: str) -> Floats:
        """Return a group's offset (m,): what it was trained to be, and what was seen since, by their numbers."""
        nothing = np.zeros(len(self.artifact.manifest.candidates))
        offset, count = self._trained.get(digest, (nothing, nothing))
        total, seen = self._sums.get(digest, (nothing, nothing))
        mass = float(self.artifact.manifest.training.get("mass", MASS))
        return np.asarray((offset * (count + mass) + total) / (count + mass + seen))

    def over(self, scorer: Scorer) -> Scorer:
        """Return the scorer with the offsets as they are now and will be: rows are replaced, never written to."""
        if not isinstance(scorer, PersonalScorer) or scorer.learned is self.offsets:
            return scorer
        return replace(scorer, learned=self.offsets)

    def gains(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return copies of the sums that were added, and whose they are."""
        names = list(self._sums)
        shape = (len(names), 2, len(self.artifact.manifest.candidates))
        return {"sums": np.array([self._sums[name] for name in names]).reshape(shape)}, {"groups": names}

    def restore(self, arrays: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        """Add the sums of another learner; raises ArtifactError."""
        names = words.get("groups")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ArtifactError("the groups of a learner's state are missing")
        kept = added(arrays, "sums", (len(names), 2, len(self.artifact.manifest.candidates)))
        for name, sums in zip(names, kept, strict=True):
            self._sums[name] = self._sums.get(name, np.zeros(sums.shape)) + sums
            self.offsets[name] = self._offset(name)
