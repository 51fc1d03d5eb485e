"""A trained artifact: named arrays and the manifest that says what they are. Reading and writing is `routing.codec`."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Computed = TypeVar("Computed")

ARTIFACT_SCHEMA = 1
"""Manifest schema that this version writes; it reads this one and older ones."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an artifact is, in JSON beside its arrays.

    `strategy` names the scorer that reads the arrays; `version` identifies the artifact in decisions and logs;
    `sha256` is the digest of the arrays file; `candidates` are the models it was trained on, in the order of its
    columns; `embedder` is the id of the embedder whose vectors it expects (`None` if it uses none). `metrics` were
    measured at training, `training` says on what (fingerprint, rows, seed, hyper-parameters).
    """

    strategy: str
    version: str
    candidates: tuple[str, ...]
    sha256: str
    created: str
    embedder: str | None = None
    dimensions: int | None = None
    parent: str | None = None
    schema: int = ARTIFACT_SCHEMA
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """Manifest and arrays (numpy arrays by name; shapes are the scorer's business and documented there).

    The arrays are never written to: what was computed from them once holds for as long as the artifact is held.
    """

    manifest: Manifest
    arrays: Mapping[str, Any]
    _computed: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: Hashable, compute: Callable[[], Computed]) -> Computed:
        """Return what `compute` makes of the arrays; for the same key it is called once, unless two begin together."""
        if key not in self._computed:
            self._computed[key] = compute()
        found: Computed = self._computed[key]
        return found

    @property
    def cost_weight(self) -> float | None:
        """The cost weight that serves the objective of the training run; None where none was written."""
        found = self.manifest.training.get("cost_weight")
        if not isinstance(found, int | float) or isinstance(found, bool):
            return None
        return float(found) if 0.0 <= found < float("inf") else None

    @property
    def threshold(self) -> float | None:
        """The expected score from which a cascade believes an answer, as trained; None where none was written."""
        found = self.manifest.training.get("threshold")
        if not isinstance(found, int | float) or isinstance(found, bool):
            return None
        return float(found) if 0.0 <= found <= 1.0 else None
