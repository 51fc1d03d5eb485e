"""Artifacts on disk: `NAME.npz` with its manifest `NAME.json` beside it.

Owns atomicity: whoever reads while somebody writes, or after a crash in the middle of a write, gets an artifact whole,
the old one or the new one. Their form is `routing.codec`.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError, nearest
from routeiq.routing import codec

_ATTEMPTS = 20

Stamp: TypeAlias = tuple[tuple[int, ...], ...]
"""Device, inode, size and times of the arrays file and of its manifest."""


class FileArtifactStore:
    """Artifacts in a folder, or anywhere when `directory` is None.

    A name is a path to either file, or to both without their ending. Relative names are relative to the folder.

    A save replaces the arrays first and the manifest last, each by a rename. In between, the former arrays stand
    beside them as `NAME.npz.former`, which is where a reader finds the arrays its manifest was written for.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        self._directory = Path(directory) if directory is not None else None

    def load(self, name: str) -> Artifact:
        """Return a verified artifact; raises ArtifactError, or the kind that `routing.codec.decode` says."""
        arrays, manifest = self._paths(name)
        refused = ArtifactError(f"artifact {arrays} is being replaced over and over; try again")
        before = None
        for _ in range(_ATTEMPTS):
            described = _read(manifest)
            if described == before:
                break
            for path in (arrays, _former(arrays)):
                try:
                    return codec.decode(codec.Encoded(described, _read(path)), str(arrays))
                except _Missing:
                    if path == arrays:
                        raise
                except ArtifactDigestMismatch as error:
                    if path == arrays:
                        refused = error
            before = described
        raise refused

    def stamp(self, name: str) -> Stamp | None:
        """Return what the file system says of both files, None when it does not: while it stays, so do they."""
        try:
            found = [os.stat(path) for path in self._paths(name)]
        except OSError:
            return None
        return tuple((of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns) for of in found)

    def save(self, name: str, artifact: Artifact) -> Artifact:
        """Write an artifact and return it as it was written, with digest and version; raises ArtifactError."""
        arrays, manifest = self._paths(name)
        sealed = codec.seal(artifact)
        encoded = codec.encode(sealed)
        try:
            arrays.parent.mkdir(parents=True, exist_ok=True)
            with _written(arrays, encoded.arrays) as new_arrays, _written(manifest, encoded.manifest) as new_manifest:
                _keep(arrays, manifest)
                os.replace(new_arrays, arrays)
                _sync_folder(arrays.parent)
                os.replace(new_manifest, manifest)
                _sync_folder(arrays.parent)
            _former(arrays).unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(f"artifact {arrays} cannot be written: {error.strerror or error}") from error
        return sealed

    def _paths(self, name: str) -> tuple[Path, Path]:
        path = Path(name) if self._directory is None else self._directory / name
        stem = path.with_suffix("") if path.suffix in (".npz", ".json") else path
        return stem.parent / f"{stem.name}.npz", stem.parent / f"{stem.name}.json"


class _Missing(ArtifactError):
    """One of the two files is not there."""


def _former(arrays: Path) -> Path:
    return arrays.with_name(arrays.name + ".former")


def _keep(arrays: Path, manifest: Path) -> None:
    """Keep the arrays that the manifest in force was written for, until the new manifest is in force.

    After a crash in the middle of a save these are the ones kept then, not the ones at `arrays`.
    """
    former = _former(arrays)
    if former.exists() and manifest.exists():
        with suppress(ArtifactError):
            codec.decode(codec.Encoded(_read(manifest), _read(former)), str(arrays))
            return
    if arrays.exists():
        with _written(former, _read(arrays)) as copy:
            os.replace(copy, former)


@contextmanager
def _written(target: Path, content: bytes) -> Iterator[Path]:
    """Write content to a temporary file beside the target, durably; it is removed unless it was moved away."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    path = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        beside = [p.stem for p in path.parent.glob("*.json")] if path.parent.is_dir() else []
        raise _Missing(
            f"{path} does not exist; an artifact is NAME.npz with NAME.json beside it; {nearest(path.stem, beside)}"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
