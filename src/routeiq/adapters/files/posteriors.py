"""What a process has learned since its artifacts were trained, in files beside them.

Owns which file is whose. Several processes of one machine serve the same artifact, and each learns by itself: a process
takes the first slot that no other one holds, by a lock that ends with it, and finds there what the holder before left.
Form and atomicity are those of artifacts.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError

SLOTS = 256
"""How many processes of one machine may learn from the same artifact in the same folder."""

ENDINGS = (".npz", ".json")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class FilePosteriorStore:
    """Implements `core.ports.PosteriorStore`.

    `place` gives the path of an alias's artifact, or what stands in for it where states are kept elsewhere. The state
    of `auto.npz` in the first slot is `auto.DIGEST.learned-0.npz` and its manifest, `DIGEST` the first 12 digits.
    """

    place: Callable[[str], Path]
    _held: dict[str, tuple[Path, int]] = field(default_factory=dict)

    def load(self, alias: str, digest: str) -> Artifact | None:
        """Return what the last holder of this process's slot left, or None; raises ArtifactError."""
        path = self._take(self.place(alias), digest)
        if not any(_with(path, ending).exists() for ending in ENDINGS):
            return None
        return FileArtifactStore().load(str(path))

    def _take(self, artifact: Path, digest: str) -> Path:
        stem = artifact.name.removesuffix(".npz")
        for slot in range(SLOTS):
            path = artifact.parent / f"{stem}.{digest[:12]}.learned-{slot}"
            try:
                artifact.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(_with(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise ArtifactError(
                    f"what is learned from {artifact} cannot be kept beside it ({error.strerror}) and will not survive "
                    "a restart; set routeiq_settings.online.state_path to a folder that can be written"
                ) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            self._held[digest] = path, handle
            return path
        raise ArtifactError(f"{SLOTS} processes learn from {artifact} already; what this one learns is not kept")

    def save(self, digest: str, state: Artifact) -> None:
        """Write a state into the slot of this process; raises ArtifactError. Without a slot nothing is kept."""
        if digest in self._held:
            FileArtifactStore().save(str(self._held[digest][0]), state)

    def put_aside(self, digest: str) -> None:
        """Rename what is in the slot to `.corrupt`, over what was put aside before."""
        if digest not in self._held:
            return
        path = self._held[digest][0]
        for ending in ENDINGS:
            file = _with(path, ending)
            if file.exists():
                os.replace(file, _with(path, ending + ".corrupt"))
                logger.warning("put %s aside as %s", file, _with(path, ending + ".corrupt").name)

    def close(self) -> None:
        """Give the slots to whoever comes next."""
        for _, handle in self._held.values():
            os.close(handle)
        self._held.clear()


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
