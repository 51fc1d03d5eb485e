"""Files that are looked at again and again, cheaply: whether anything about them has changed since the last look.

Owns what counts as a change. A file is known by where its path leads (so that exchanging the symbolic link of a mounted
ConfigMap or Secret is one), size, time and inode; when any of these moved, its content decides. A file that is touched
or rewritten with the same bytes is therefore not a change.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as the file system describes it; all None when it cannot be described."""

    leads_to: str | None = None
    size: int | None = None
    modified_ns: int | None = None
    inode: int | None = None


@dataclass(slots=True)
class WatchedFiles:
    """The files that one configuration is made of; owned by whoever reloads it. Looking blocks on the file system."""

    paths: tuple[Path, ...] = ()
    _stamps: dict[Path, Stamp] = field(default_factory=dict)
    _digests: dict[Path, str] = field(default_factory=dict)

    def replace(self, paths: Iterable[Path]) -> None:
        """Look at these files from now on; what is known of those among them that were watched before stays."""
        self.paths = tuple(dict.fromkeys(paths))
        for known in (self._stamps, self._digests):
            for path in known.keys() - set(self.paths):
                del known[path]

    def digest(self) -> str:
        """Return a digest of all contents, reading only files that look different from the last time.

        A file that cannot be read counts by that it cannot be read: a file that vanishes is a change, too. Files count
        by their names and contents, not by their folders, so that replicas can compare.
        """
        for path in self.paths:
            stamp = _stamp(path)
            if path not in self._digests or stamp != self._stamps.get(path) or stamp == Stamp():
                self._stamps[path], self._digests[path] = stamp, _content(path)
        whole = sha256()
        for path in self.paths:
            whole.update(f"{path.name}\0{self._digests[path]}\0".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def known(self) -> Mapping[Path, str]:
        """Return the digest of each file as it was at the last look."""
        return dict(self._digests)


def _stamp(path: Path) -> Stamp:
    try:
        leads_to = os.path.realpath(path)
        described = os.stat(leads_to)
    except OSError:
        return Stamp()
    return Stamp(leads_to, described.st_size, described.st_mtime_ns, described.st_ino)


def _content(path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"unreadable {type(error).__name__}"
    return digest.hexdigest()
