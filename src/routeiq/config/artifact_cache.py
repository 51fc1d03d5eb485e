"""Artifacts of other places on the disk of this host, shared by all its processes.

    ROOT/content/ID/artifact.npz, artifact.json     what was fetched, never changed afterwards
    ROOT/at/KEY/state.json                          which of it an address means now
    ROOT/at/KEY/parts/                              what is not whole yet

Owns that a state changes as a whole or not at all, that who was replaced while it stood still changes nothing (fencing
numbers), and the bound on bytes: what was not used for longest goes first. What belongs there is for `config.fetch`.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from routeiq.config.addresses import key
from routeiq.core.errors import SourceUnavailable

ARRAYS, MANIFEST = "artifact.npz", "artifact.json"

_TURN_S = 10.0
_CHUNK = 1 << 20


class Fenced(SourceUnavailable):
    """Another process went on in the place of this one, which had stood still for too long."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that cannot be used: the tags of its objects, and why."""

    tags: tuple[str, ...]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class State:
    """What is known of an address.

    `tags` are those of the objects in force, which are kept as `content`; `pointer` says that they are named by a
    pointer. `refused` is a newer version that cannot be used.
    """

    tags: tuple[str, ...] = ()
    content: str | None = None
    version: str | None = None
    pointer: bool = False
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class ArtifactCache:
    """The cache below `root`; every method blocks on the file system."""

    root: Path
    max_bytes: int

    def prepare(self, address: str) -> Path:
        """Make the folder of an address, for this user alone, and return its lock; raises SourceUnavailable."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.root / "content").mkdir(exist_ok=True)
            (self._at(address) / "parts").mkdir(parents=True, exist_ok=True)
            owner = self.root.stat().st_uid
        except OSError as error:
            raise SourceUnavailable(
                f"{self.root}: artifacts cannot be kept here: {error.strerror}; name another folder under "
                "routeiq_settings.artifact_cache.path"
            ) from None
        if owner not in (0, os.getuid()):
            raise SourceUnavailable(
                f"{self.root}: belongs to another user (uid {owner}), who could put other artifacts there; name a "
                "folder of this user under routeiq_settings.artifact_cache.path"
            )
        return self._at(address) / "lock"

    def state_file(self, address: str) -> Path:
        """Return the file that changes whenever an address means something else."""
        return self._at(address) / "state.json"

    def state(self, address: str) -> State:
        """Return what is known of an address; nothing when its content has gone from the cache."""
        try:
            found = json.loads(self.state_file(address).read_bytes())
            refused = found["refused"]
            state = State(
                tags=tuple(map(str, found["tags"])),
                content=found["content"],
                version=found["version"],
                pointer=bool(found["pointer"]),
                refused=None if refused is None else Refused(**{**refused, "tags": tuple(refused["tags"])}),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return State()
        return state if state.content is None or self.arrays(state.content).is_file() else State()

    def arrays(self, content: str) -> Path:
        """Return the file with the arrays of some content; its manifest is beside it."""
        return self.root / "content" / content / ARRAYS

    def part(self, address: str, tag: str, fence: int) -> Path:
        """Return the file that a version of an object is read into, with what others have read of it.

        It is nobody else's: one that stood still may yet write to its own.
        """
        parts, name = self._at(address) / "parts", sha256(tag.encode()).hexdigest()[:32]
        mine = parts / f"{name}.{fence}"
        left = sorted(parts.glob(f"{name}.*"), key=lambda part: part.stat().st_size)
        if left and left[-1] != mine:
            shutil.copyfile(left[-1], mine)
        for part in parts.glob("*"):
            if part != mine:
                part.unlink(missing_ok=True)
        return mine

    def looked(self, address: str, within_s: float) -> bool:
        """Return whether somebody has looked at the address lately."""
        try:
            # A look that is yet to come is from before the clock was set back.
            return 0.0 <= time.time() - (self._at(address) / "looked").stat().st_mtime < within_s
        except OSError:
            return False

    def look(self, address: str, trouble: str = "") -> None:
        """Note that somebody has looked at the address now, and why in vain."""
        _replace(self._at(address) / "looked", trouble.encode())

    def trouble(self, address: str) -> str:
        """Return why the last look, of whichever process, was in vain; nothing when it was not."""
        try:
            return (self._at(address) / "looked").read_text(encoding="utf-8")
        except OSError:
            return ""

    def used(self, content: str) -> None:
        """Note that some content is used now."""
        with suppress(OSError):
            os.utime(self.root / "content" / content)

    def claim(self, address: str, token: int | None) -> int:
        """Return the fencing number of who fetches now; whoever has a lower one changes nothing any more."""
        with self._turn(address):
            fence = max(self._fence(address) + 1, token or 0)
            _replace(self._at(address) / "fence", str(fence).encode())
            return fence

    def publish(self, address: str, fence: int, state: State) -> None:
        """Put a state in force; raises Fenced when somebody else has claimed the address since."""
        with self._turn(address):
            if self._fence(address) != fence:
                raise Fenced("another process went on with this artifact in the meantime; what it found holds")
            _replace(self.state_file(address), json.dumps(asdict(state), indent=1, sort_keys=True).encode())

    def keep(self, manifest: bytes, arrays: Path) -> str:
        """Move a verified artifact into the cache and return the name of its content."""
        content = content_of(manifest)
        target = self.root / "content" / content
        if not (target / ARRAYS).is_file():
            staging = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
            os.replace(arrays, staging / ARRAYS)
            (staging / MANIFEST).write_bytes(manifest)
            _durable(staging / ARRAYS, staging / MANIFEST)
            if not (target / ARRAYS).is_file():
                shutil.rmtree(target, ignore_errors=True)
            with suppress(OSError):
                os.rename(staging, target)
            shutil.rmtree(staging, ignore_errors=True)
        arrays.unlink(missing_ok=True)
        self.used(content)
        return content

    def discard(self, content: str) -> None:
        """Remove some content; whatever means it is fetched again."""
        shutil.rmtree(self.root / "content" / content, ignore_errors=True)

    def trim(self, needed: Collection[str]) -> tuple[str, ...]:
        """Remove content until the bound holds, what was not used for longest first; `needed` stays.

        Who has removed files open or mapped keeps them.
        """
        kept = sorted(self._contents(), key=lambda found: found[0])
        total, gone = sum(size for _, size, _ in kept), []
        for _, size, folder in kept:
            if total <= self.max_bytes:
                break
            if folder.name in needed:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
            gone.append(folder.name)
        return tuple(gone)

    def _contents(self) -> Iterator[tuple[float, int, Path]]:
        """Yield time of last use, bytes and folder of everything that is kept."""
        for folder in (self.root / "content").glob("*"):
            with suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                yield folder.stat().st_mtime, size, folder

    def _at(self, address: str) -> Path:
        return self.root / "at" / key(address)

    def _fence(self, address: str) -> int:
        try:
            return int((self._at(address) / "fence").read_text())
        except (OSError, ValueError):
            return 0

    @contextmanager
    def _turn(self, address: str) -> Iterator[None]:
        """Change one address at a time; nobody has the turn for longer than writing a small file takes."""
        deadline = time.monotonic() + _TURN_S
        with (self._at(address) / "turn").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise SourceUnavailable(f"{file.name}: another process keeps this locked") from None
                    time.sleep(0.01)
            yield


def content_of(manifest: bytes) -> str:
    """Return the name of the content that a manifest describes."""
    return sha256(manifest).hexdigest()[:24]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file, all of it or none."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".new-", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def _durable(*paths: Path) -> None:
    for path in paths:
        handle: Any = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
