"""A folder of this host, or one that is mounted, as a folder of objects."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from routeiq.core.errors import SourceUnavailable
from routeiq.core.objects import Listed, beginning

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """Implements `core.objects.ObjectFolder`. The tag of a file is where it leads, its size, time and inode."""

    path: Path

    @property
    def location(self) -> str:
        """The path as an address."""
        return f"file://{self.path}"

    def listing(self) -> Mapping[str, Listed]:
        """Return the files below the folder, links followed."""
        if not self.path.is_dir():
            raise SourceUnavailable(f"{self.path}: there is no such folder")
        found = {}
        for folder, _, names in os.walk(self.path, followlinks=False):
            for name in names:
                path = Path(folder) / name
                found[path.relative_to(self.path).as_posix()] = _listed(path)
        return found

    def head(self, name: str) -> Listed | None:
        """Describe one file."""
        if not self.path.is_dir():
            raise SourceUnavailable(f"{self.path}: there is no such folder")
        return _listed(self.path / name) if (self.path / name).is_file() else None

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Copy one file, from where the copy ends."""
        path, have = self.path / name, beginning(to, listed)
        try:
            with path.open("rb") as source, to.open("ab" if have else "wb") as copy:
                source.seek(have)
                shutil.copyfileobj(source, copy, _CHUNK)
        except OSError as error:
            raise SourceUnavailable(f"{path}: cannot be read: {error.strerror}") from None
        now = _listed(path)
        if now != listed or to.stat().st_size != listed.size:
            raise SourceUnavailable(f"{path}: changed while it was read; it is read again at the next look")
        return now


def _listed(path: Path) -> Listed:
    try:
        leads_to = os.path.realpath(path)
        described = os.stat(leads_to)
    except OSError as error:
        raise SourceUnavailable(f"{path}: cannot be read: {error.strerror}") from None
    return Listed(f"{leads_to}:{described.st_size}:{described.st_mtime_ns}:{described.st_ino}", described.st_size)
