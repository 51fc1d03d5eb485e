"""Artifacts by path or by address: files as they are, and what was fetched, mapped from the cache of this host.

Owns which of the two a name is, and the bound on mapped artifacts that a process holds on to. Fetching is
`config.fetch`'s.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from routeiq.adapters.files.artifacts import FileArtifactStore, Stamp
from routeiq.adapters.files.mapped import load_mapped
from routeiq.config.addresses import is_address, shown
from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError


class Fetcher(Protocol):
    """Where fetched artifacts are."""

    def path(self, address: str, *, strict: bool, wait_s: float | None = 0.0) -> Path:
        """Return the arrays file of an address, its manifest beside it; raises ArtifactError, SourceUnavailable."""
        ...

    def discard(self, path: Path) -> None:
        """Forget what is kept at a path, because it is not what was fetched any more."""
        ...


@dataclass(slots=True)
class ArtifactMemory:
    """Loaded artifacts of one process by file, at most so many bytes of arrays; the least recently used goes first.

    What goes is released as soon as nothing that serves uses it.
    """

    max_bytes: int
    _held: OrderedDict[Path, tuple[Artifact, int, Stamp | None]] = field(default_factory=OrderedDict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bytes(self) -> int:
        """The bytes of all arrays that are held."""
        with self._turn:
            return sum(size for _, size, _ in self._held.values())

    def get(self, path: Path, stamp: Stamp | None = None) -> Artifact | None:
        """Return an artifact that is held of a file with this stamp; files of the cache never change and need none."""
        with self._turn:
            found = self._held.get(path)
            if found is None or found[2] != stamp:
                return None
            self._held.move_to_end(path)
            return found[0]

    def put(self, path: Path, artifact: Artifact, stamp: Stamp | None = None) -> None:
        """Hold an artifact, and let go of others until the bound holds; one that is larger is not held."""
        size = sum(array.nbytes for array in artifact.arrays.values())
        if size > self.max_bytes:
            return
        with self._turn:
            self._held[path] = (artifact, size, stamp)
            self._held.move_to_end(path)
            while sum(held for _, held, _ in self._held.values()) > self.max_bytes:
                self._held.popitem(last=False)


@dataclass(frozen=True, slots=True)
class FetchedArtifactStore:
    """Implements `core.ports.ArtifactStore` for paths and addresses.

    With `strict`, an address whose newest version was refused raises what was wrong with it; else the one before it is
    given: a process that starts has nothing else to serve. `wait_s` is how long others that fetch it are waited for;
    with None nothing is fetched here, because somebody else sees to that.
    """

    fetcher: Fetcher
    memory: ArtifactMemory
    strict: bool = True
    wait_s: float | None = 0.0
    files: FileArtifactStore = field(default_factory=FileArtifactStore)

    def load(self, name: str) -> Artifact:
        """Return a verified artifact; raises ArtifactError or its kinds, and SourceUnavailable for an address.

        What was damaged in the cache is fetched once more.
        """
        if not is_address(name):
            return self._local(name)
        path = self.fetcher.path(name, strict=self.strict, wait_s=self.wait_s)
        try:
            return self._mapped(path, name)
        except ArtifactDigestMismatch:
            self.fetcher.discard(path)
            return self._mapped(self.fetcher.path(name, strict=self.strict, wait_s=self.wait_s), name)

    def _local(self, name: str) -> Artifact:
        """Return an artifact of files that anybody may change: read again unless they are what they were.

        A process that starts does not hold it, because most never look at it a second time.
        """
        before = self.files.stamp(name)
        held = None if before is None else self.memory.get(Path(name), before)
        if held is not None:
            return held
        found = self.files.load(name)
        if self.strict and before is not None and self.files.stamp(name) == before:
            for array in found.arrays.values():
                array.setflags(write=False)
            self.memory.put(Path(name), found, before)
        return found

    def _mapped(self, path: Path, name: str) -> Artifact:
        found = self.memory.get(path)
        if found is None:
            found = load_mapped(path, path.with_suffix(".json"), shown(name))
            self.memory.put(path, found)
        return found

    def save(self, name: str, artifact: Artifact) -> Artifact:
        """Write an artifact to files; raises ArtifactError for an address."""
        if is_address(name):
            raise ArtifactError(f"artifact {shown(name)} cannot be written to an address; write files and upload them")
        return self.files.save(name, artifact)
