"""Artifacts that are named by an address, brought to this host: by one process of it, and by one host at a time.

Owns the order: look (two heads), nothing more when nothing changed; else be admitted, read on from where a read was
cut, compare digests, put in force. The host's lock makes one process of a host fetch, and the others find it in the
cache. The cluster's lock is an admission: hosts fetch one after another, so that a store is not asked by all of them at
once; one that has a former version serves it meanwhile. Without shared state the host's lock alone holds.
"""

import os
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from routeiq.config import addresses
from routeiq.config.artifact_cache import MANIFEST, ArtifactCache, Fenced, Refused, State, content_of, digest_of
from routeiq.config.champion import Champion, pointer_in
from routeiq.config.host_lock import host_lock
from routeiq.core.artifact import Manifest
from routeiq.core.errors import (
    ArtifactDigestMismatch,
    ArtifactError,
    ArtifactSchemaTooNew,
    RouteIQError,
    SourceUnavailable,
)
from routeiq.core.objects import Listed, ObjectFolder
from routeiq.guard.lease import Lease, Leases
from routeiq.routing.codec import decode_manifest

ATTEMPTS: Final = 5
"""How often a read that is cut goes on at once, as long as each brings something."""

LARGEST_MANIFEST: Final = 4 << 20

_KINDS: Final = {kind.reason: kind for kind in (ArtifactError, ArtifactDigestMismatch, ArtifactSchemaTooNew)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version that is not here yet: where its arrays are, and what describes them."""

    tags: tuple[str, ...]
    source: ObjectFolder
    arrays: str
    listed: Listed
    manifest: bytes
    champion: Champion | None = None


Told = Callable[[str, State], None]
"""Hears of what an address (without secrets) means now, or why its newest version was refused."""


def _ignore(_: str, __: State) -> None:
    return


@dataclass(slots=True)
class ArtifactFetcher:
    """Brings artifacts into a cache; every method blocks. `open` returns the place at an address."""

    cache: ArtifactCache
    open: Callable[[str], ObjectFolder]
    leases: Leases | None = None
    lease_s: float = 30.0
    told: Told = _ignore
    _places: dict[str, ObjectFolder] = field(default_factory=dict)
    _followed: frozenset[str] = frozenset()

    def refresh(self, followed: Collection[str], *, wait_s: float = 0.0, fresh_s: float = 0.0) -> None:
        """Bring everything that is followed up to date; what another process looked at within `fresh_s` is left.

        Waits at most `wait_s` for others. Raises the first SourceUnavailable, after all were tried; then those are as
        they were before.
        """
        self._followed = frozenset(followed)
        trouble = None
        for address in sorted(self._followed):
            try:
                self._ensure(address, wait_s, fresh_s)
            except Fenced:
                continue
            except SourceUnavailable as error:
                trouble = trouble or error
                self._places.clear()  # their credentials may have been changed since
        if trouble is not None:
            raise trouble

    def path(self, address: str, *, strict: bool, wait_s: float | None = 0.0) -> Path:
        """Return the arrays file of an address in the cache, fetched if it was not there and `wait_s` is not None.

        Raises ArtifactError when its newest version was refused; unless `strict`, the one before it is returned then.
        Raises SourceUnavailable when nothing can be had.
        """
        self._followed |= {address}
        state = self.cache.state(address)
        if state.content is None and state.refused is None and wait_s is not None:
            self._ensure(address, wait_s, 0.0)
            state = self.cache.state(address)
        if state.refused is not None and (strict or state.content is None):
            raise _KINDS.get(state.refused.reason, ArtifactError)(state.refused.message)
        if state.content is None:
            raise SourceUnavailable(f"{addresses.shown(address)}: has not been fetched yet; it is tried again")
        self.cache.used(state.content)
        return self.cache.arrays(state.content)

    def discard(self, path: Path) -> None:
        """Forget the content of an arrays file, because it is not what was fetched any more."""
        self.cache.discard(path.parent.name)

    def _ensure(self, address: str, wait_s: float, fresh_s: float) -> None:
        try:
            self._in_turn(address, wait_s, fresh_s)
        except OSError as error:
            raise SourceUnavailable(f"{self.cache.root}: cannot be written: {error.strerror or error}") from None

    def _in_turn(self, address: str, wait_s: float, fresh_s: float) -> None:
        lock = self.cache.prepare(address)
        with host_lock(lock, lease_s=self.lease_s, wait_s=wait_s) as alone:
            if not alone and wait_s:
                shown = addresses.shown(address)
                raise SourceUnavailable(f"{shown}: another process has been fetching it for {wait_s:.0f} s")
            state = self.cache.state(address)
            if not alone or self.cache.looked(address, fresh_s):
                if trouble := self.cache.trouble(address):  # of the process that looked for all of this host
                    raise SourceUnavailable(trouble)
                if not alone or state.content is not None:
                    return
            try:
                self._bring_new(address, state, wait_s)
            except Fenced:
                raise
            except SourceUnavailable as error:
                self.cache.look(address, error.message)
                raise
            self.cache.look(address)
            if (content := self.cache.state(address).content) is not None:
                self.cache.used(content)

    def _bring_new(self, address: str, state: State, wait_s: float) -> None:
        """Look, and bring what is new."""
        wanted = self._look(address, state)
        if isinstance(wanted, State):
            self._publish(address, self.cache.claim(address, None), wanted)
        elif wanted is not None:
            with self._admitted(address, wait_s, needed=state.content is None) as lease:
                if lease is not None:
                    self._bring(address, state, wanted, lease)

    @contextmanager
    def _admitted(self, address: str, wait_s: float, *, needed: bool) -> Iterator[Lease | None]:
        """Wait for this host's turn; whoever has nothing to serve with does not wait for ever."""
        if self.leases is None:
            yield Lease()
            return
        with self.leases.hold(f"artifact.{addresses.key(address)}", uuid.uuid4().hex, wait_s) as lease:
            yield Lease() if lease is None and needed and wait_s else lease

    def _look(self, address: str, state: State) -> Wanted | State | None:
        """Return what is to be fetched, what is known now without fetching, or None when nothing has changed."""
        source, name = self._place(addresses.folder(address)), addresses.stem(address)
        described = _there(source, f"{name}.json")
        if not addresses.arrays_named(address):
            pointer: tuple[str, ...] = (described.tag,)
            if _is_known(state, pointer):
                return _without_refusal(state, pointer)
            try:
                champion = pointer_in(
                    content := self._small(address, source, name, described), addresses.shown(address)
                )
                if champion is not None:
                    return self._pointed(address, champion, pointer)
            except ArtifactError as error:
                return replace(state, refused=Refused(pointer, error.reason, error.message))
        else:
            content = b""
        listed = _there(source, f"{name}.npz")
        tags = (described.tag, listed.tag)
        if _is_known(state, tags):
            return _without_refusal(state, tags)
        return Wanted(tags, source, name, listed, content or self._small(address, source, name, described))

    def _pointed(self, pointer: str, champion: Champion, tags: tuple[str, ...]) -> Wanted:
        target = addresses.joined(pointer, champion.artifact)
        here, there = urlsplit(pointer), urlsplit(target)
        if here.scheme != "file" and (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise ArtifactError(
                f"{addresses.shown(pointer)}: points to {addresses.shown(target)}, which is in another place; a "
                "pointer may only name artifacts of its own bucket or host"
            )
        source, name = self._place(addresses.folder(target)), addresses.stem(target)
        described, listed = _there(source, f"{name}.json"), _there(source, f"{name}.npz")
        return Wanted(tags, source, name, listed, self._small(pointer, source, name, described), champion)

    def _small(self, address: str, source: ObjectFolder, name: str, listed: Listed) -> bytes:
        """Return the JSON object of a name."""
        if listed.size is not None and listed.size > LARGEST_MANIFEST:
            raise ArtifactError(f"{source.location}/{name}.json: has {listed.size} bytes, too many for a manifest")
        to = self.cache.state_file(address).with_name(f"manifest.{uuid.uuid4().hex}")
        try:
            source.fetch(f"{name}.json", listed, to)
            return to.read_bytes()
        finally:
            to.unlink(missing_ok=True)

    def _bring(self, address: str, state: State, wanted: Wanted, lease: Lease) -> None:
        """Fetch a version and put it in force, or remember that it cannot be used; raises SourceUnavailable."""
        shown, fence = addresses.shown(address), self.cache.claim(address, lease.token)
        try:
            manifest = decode_manifest(wanted.manifest, shown)
            if wanted.champion is not None:
                wanted.champion.check(manifest, shown)
            content = self._kept(address, state, wanted, manifest, fence)
        except FileNotFoundError:
            raise Fenced(
                f"{shown}: another process went on with what this one had read; it has what it found"
            ) from None
        except ArtifactError as error:
            self._publish(address, fence, replace(state, refused=Refused(wanted.tags, error.reason, error.message)))
            return
        found = State(wanted.tags, content, manifest.version, pointer=wanted.champion is not None)
        self._publish(address, fence, found)
        needed = {self.cache.state(followed).content or "" for followed in self._followed | {address}}
        self.cache.trim(needed)

    def _publish(self, address: str, fence: int, state: State) -> None:
        self.cache.publish(address, fence, state)
        self.told(addresses.shown(address), state)

    def _kept(self, address: str, state: State, wanted: Wanted, manifest: Manifest, fence: int) -> str:
        """Return the content, from the cache where that has it already."""
        content = content_of(wanted.manifest)
        if self.cache.arrays(content).is_file():
            return content
        part = self.cache.part(address, wanted.listed.tag, fence)
        if not self._had(state, manifest, part):
            self._download(wanted, part)
        found = digest_of(part)
        if found != manifest.sha256:
            size = part.stat().st_size
            part.unlink()
            raise ArtifactDigestMismatch(
                f"the arrays at {addresses.shown(address)} ({size} bytes) have sha256 {found[:12]}..., the manifest "
                f"says {manifest.sha256[:12]}...: they are truncated, were changed, or belong to another manifest; "
                "upload both again, the arrays first"
            )
        return self.cache.keep(wanted.manifest, part)

    def _had(self, state: State, manifest: Manifest, part: Path) -> bool:
        """Take the arrays in force where only what is said of them has changed, such as a signature."""
        if state.content is None:
            return False
        arrays = self.cache.arrays(state.content)
        with suppress(OSError, RouteIQError):
            former = decode_manifest(arrays.with_name(MANIFEST).read_bytes(), str(arrays))
            if former.sha256 == manifest.sha256:
                part.unlink(missing_ok=True)
                os.link(arrays, part)
                return True
        return False

    def _download(self, wanted: Wanted, part: Path) -> None:
        """Read the arrays, and go on at once where a read was cut and had brought something."""
        for attempt in range(1, ATTEMPTS + 1):
            before = part.stat().st_size if part.exists() else 0
            try:
                wanted.source.fetch(f"{wanted.arrays}.npz", wanted.listed, part)
                return
            except SourceUnavailable:
                grown = part.exists() and part.stat().st_size > before
                if not grown or attempt == ATTEMPTS:
                    raise

    def _place(self, folder: str) -> ObjectFolder:
        if folder not in self._places:
            self._places[folder] = self.open(folder)
        return self._places[folder]


def _is_known(state: State, tags: tuple[str, ...]) -> bool:
    return tags == state.tags or (state.refused is not None and tags == state.refused.tags)


def _without_refusal(state: State, tags: tuple[str, ...]) -> State | None:
    """Return the state without what was refused, once the version in force has been put back in its place."""
    return replace(state, refused=None) if state.refused is not None and tags == state.tags else None


def _there(source: ObjectFolder, name: str) -> Listed:
    found = source.head(name)
    if found is None:
        raise SourceUnavailable(
            f"{source.location}/{name}: there is no such object; an artifact is NAME.npz with NAME.json beside it"
        )
    return found


def followed_by(names: Sequence[str | Path | None]) -> frozenset[str]:
    """Return those names of artifacts that are addresses."""
    return frozenset(name for name in names if isinstance(name, str) and addresses.is_address(name))
