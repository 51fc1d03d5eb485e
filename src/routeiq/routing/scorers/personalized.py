"""Scores by another artifact, moved by what the caller's team and the caller thought of each candidate.

Owns the offsets of a `personalized` artifact and the artifact inside it; `learn.personalized` fits it. Arrays, for g
groups and m models:

    offsets (g, m)   score points to add for each group of callers
    base.NAME        every array of the artifact that is personalised

The manifest's `training` has `groups` (g digests, see `group`), `base` (strategy and version) and `base_training`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError
from routeiq.core.request import Caller
from routeiq.routing.stages import Prediction, Scorer, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import columns, pick, squashed

STRATEGY = "personalized"
BASE = "base."


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
        found = pick(offsets, columns(artifact, table), 0.0)
        return cls(base, dict(zip(groups, found, strict=True)))

    def predict(self, view: View) -> Prediction:
        """Return the base's expectations with the offsets of this caller added, cut to 0..1."""
        expected = self.base.predict(view)
        added = self._offset(view.request.caller)
        return expected if added is None else replace(expected, score=squashed(expected.score + added))

    def _offset(self, caller: Caller) -> Floats | None:
        known = [
            self.offsets[digest]
            for kind, identifier in (("team", caller.team), ("user", caller.user))
            if identifier is not None and (digest := group(kind, identifier)) in self.offsets
        ]
        return sum(known[1:], known[0]) if known else None
