"""Artifacts at an address, and what brings them here, for the tests of fetching."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.adapters.object_store import open_folder
from routeiq.config.artifact_cache import ArtifactCache
from routeiq.config.fetch import ArtifactFetcher
from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.objects import Listed, ObjectFolder
from routeiq.routing import codec

BYTES = 200_000


def encoded(seed: int, size: int = BYTES, **changes: Any) -> codec.Encoded:
    """An artifact's two files; the same seed gives the same arrays."""
    arrays = {"one": np.random.default_rng(seed).random(size // 8), "two": np.arange(7, dtype=np.float32)}
    manifest = replace(Manifest("knn", f"knn-{seed}", ("a", "b"), "", ""), **changes)
    return codec.encode(Artifact(manifest, arrays))


def pointer(to: str, arrays: codec.Encoded, **changes: Any) -> bytes:
    """A pointer to an artifact."""
    manifest = json.loads(arrays.manifest)
    said = {"artifact": to, "sha256": manifest["sha256"], "version": manifest["version"], **changes}
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


@dataclass
class Counting:
    """A place whose reads are counted."""

    inner: ObjectFolder
    reads: list[str] = field(default_factory=list)

    @property
    def location(self) -> str:
        return self.inner.location

    def listing(self) -> Mapping[str, Listed]:
        return self.inner.listing()

    def head(self, name: str) -> Listed | None:
        return self.inner.head(name)

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        self.reads.append(name)
        return self.inner.fetch(name, listed, to)


@dataclass
class Bringing:
    """A fetcher with its cache, and what it read."""

    root: Path
    max_bytes: int = 1 << 30
    places: dict[str, Counting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fetcher = ArtifactFetcher(ArtifactCache(self.root, self.max_bytes), self.open, lease_s=5.0)

    def open(self, address: str) -> ObjectFolder:
        return self.places.setdefault(address, Counting(open_folder(address, names=("",))))

    def reads(self, end: str = ".npz") -> int:
        return sum(name.endswith(end) for place in self.places.values() for name in place.reads)

    def version(self, address: str, *, strict: bool = True) -> str:
        path = self.fetcher.path(address, strict=strict)
        manifest = codec.decode_manifest(path.with_suffix(".json").read_bytes(), "kept")
        assert codec.decode(codec.Encoded(path.with_suffix(".json").read_bytes(), path.read_bytes()), "kept")
        return manifest.version
