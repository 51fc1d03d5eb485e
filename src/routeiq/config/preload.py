"""What a process loads before it becomes several: the embedder and the compiled configuration, to be shared.

Owns the question whether that is still what the files say; a worker that is started later may find them changed, and
then loads for itself. Loads nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from routeiq.config.load import Settings
from routeiq.core.ports import Embedder
from routeiq.routing.snapshot import Snapshot

Stamp = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Preloaded:
    """Parts that workers inherit. They are read only, so that their memory stays shared."""

    settings: Settings
    embedder: Embedder | None
    snapshot: Snapshot
    stamps: tuple[Stamp, ...]

    def fits(self, settings: Settings) -> bool:
        """Return whether the snapshot is what these settings and their files come to."""
        return settings == self.settings and stamps_of(settings.files) == self.stamps


def stamps_of(files: Iterable[Path]) -> tuple[Stamp, ...]:
    """Return what tells a file from its successor: path, inode, size and time of change; zeros for one not there."""
    return tuple(_stamp(path) for path in sorted(files))


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
