"""A folder of objects brought to a folder of this host: only what changed, all of it or nothing.

Owns the order (artifacts before the configuration that names them), what is known between two runs (the tags of what
was fetched, in a file beside it, so that a restart fetches nothing again), and that of all processes of a host one
fetches. Taking a configuration up is `config.reload`'s.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from routeiq.core.errors import SourceUnavailable
from routeiq.core.objects import Listed, ObjectFolder

STATE = ".routeiq-sync.json"
"""The file that remembers tags."""

LOCK = ".routeiq-sync.lock"
"""The file that the process that fetches has locked."""

ENDINGS = (".yaml", ".yml", ".json", ".npz", ".onnx", ".txt", ".pem", ".pub")
"""What a gateway may be made of; other objects below the same place are left where they are."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What one run did: names that were fetched and removed, bytes that were read."""

    fetched: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    bytes: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything is different now."""
        return bool(self.fetched or self.removed)


@dataclass(slots=True)
class Syncer:
    """Brings `source` to `to`; blocks."""

    source: ObjectFolder
    to: Path

    def sync(self, wait: bool = False) -> Synced:
        """Bring the folder up to date; raises SourceUnavailable, and then it is as it was before.

        While another process does that, there is nothing to do, or with `wait` it is waited for.
        """
        self.to.mkdir(parents=True, exist_ok=True)
        with _alone(self.to / LOCK, wait) as alone:
            return self._sync() if alone else Synced()

    def _sync(self) -> Synced:
        wanted = {name: listed for name, listed in self.source.listing().items() if _ours(name)}
        if not wanted:
            raise SourceUnavailable(f"{self.source.location} has no object that ends in {', '.join(ENDINGS)}")
        known = self._known()
        due = [n for n, listed in wanted.items() if known.get(n) != listed.tag or not (self.to / n).is_file()]
        gone = [name for name in known if name not in wanted]
        if not due and not gone:
            return Synced()
        with tempfile.TemporaryDirectory(prefix=".routeiq-", dir=self.to) as staging:
            read = {name: self._fetch(name, wanted[name], Path(staging)) for name in due}
            for name in sorted(due, key=_rank):
                target = self.to / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(staging) / name, target)
        for name in gone:
            with suppress(FileNotFoundError):
                (self.to / name).unlink()
        self._remember({name: read[name].tag if name in read else known[name] for name in wanted})
        return Synced(tuple(sorted(due)), tuple(sorted(gone)), sum(listed.size or 0 for listed in read.values()))

    def _fetch(self, name: str, listed: Listed, staging: Path) -> Listed:
        to = staging / name
        to.parent.mkdir(parents=True, exist_ok=True)
        return self.source.fetch(name, listed, to)

    def _known(self) -> dict[str, str]:
        """Return the tags of the last run, of whichever process; none when that was from another place."""
        try:
            found = json.loads((self.to / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        tags = found.get("tags") if isinstance(found, dict) and found.get("source") == self.source.location else None
        return {str(name): str(tag) for name, tag in tags.items()} if isinstance(tags, dict) else {}

    def _remember(self, tags: Mapping[str, str]) -> None:
        """Write the tags after the files: after a crash in between, files are fetched once more."""
        content = json.dumps({"source": self.source.location, "tags": dict(tags)}, indent=1, sort_keys=True)
        with tempfile.NamedTemporaryFile("w", dir=self.to, prefix=".routeiq-", delete=False, encoding="utf-8") as file:
            file.write(content)
        os.replace(file.name, self.to / STATE)


@contextmanager
def _alone(lock: Path, wait: bool) -> Iterator[bool]:
    """Say whether this process has the lock; it is released when the process ends, however it ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _ours(name: str) -> bool:
    """Return whether an object may be part of a configuration; a name must not lead out of the folder."""
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and not any(part.startswith(".") for part in path.parts)
    return inside and path.suffix in ENDINGS


def _rank(name: str) -> tuple[int, str]:
    """Return the order of putting in place: arrays, their manifests, then everything that names them."""
    return ({".npz": 0, ".onnx": 0, ".txt": 0, ".json": 1}.get(PurePosixPath(name).suffix, 2), name)
