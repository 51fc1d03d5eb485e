"""A changed configuration takes effect while requests are served, or changes nothing and says why.

Owns the order: look, read, compile, rehearse, tell LiteLLM of new models, swap, tell LiteLLM of models that are gone,
report. Everything that can fail does so before the swap. What a source, LiteLLM or a report is, it is given.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from routeiq.config.bringing import Bringing
from routeiq.config.load import Settings
from routeiq.config.rehearsal import rehearse
from routeiq.config.sync import Syncer
from routeiq.config.turns import Turns
from routeiq.core.errors import ConfigError, RouteIQError, SourceUnavailable, UnknownVersion
from routeiq.core.ports import Clock, Embedder
from routeiq.routing.snapshot import Snapshot, SnapshotHolder

logger = logging.getLogger(__name__)

KEPT = 5
"""How many versions are kept for a way back, the present one included."""

SHORTEST_PAUSE = 0.8
"""How much of the interval the shortest pause between two looks is."""

LIVE = frozenset(
    {"strategy", "artifact", "aliases", "allow_list", "experiments", "signatures", "policy", "llm_candidates"}
)
"""Keys of `routeiq_settings` that take effect without a restart: those that a snapshot is compiled from."""


class Watched(Protocol):
    """The files a configuration is made of; looking at them blocks."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are looked at."""
        ...

    def replace(self, paths: Sequence[Path]) -> None:
        """Look at these files from now on."""
        ...

    def digest(self) -> str:
        """Return a digest of their contents."""
        ...


class Models(Protocol):
    """The models of the host, changed by difference."""

    async def admit(self, litellm: Mapping[str, Any]) -> "Collection[str]":
        """Add what is new and apply settings; return the ids that the file no longer has. Undone when it raises."""
        ...

    async def dismiss(self, ids: Collection[str]) -> None:
        """Take models out by id."""
        ...

    def needs_restart(self, former: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the key paths whose change the host cannot take up while it runs."""
        ...


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What became of the last look that found something, and what serves since when.

    `state` is `ok`, `rejected`, or `rolled_back` when an older version was put back; `digest` is that of the files that
    serve, `seen` that of the files as they are. `former` are the versions that can be put back, the newest first;
    `source` is where the files are fetched from, `source_error` why that went wrong the last time. Times are seconds
    since the epoch.
    """

    state: str
    version: str
    digest: str
    seen: str
    since: float
    checked: float
    duration_ms: float = 0.0
    reason: str | None = None
    message: str | None = None
    restart_needed: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    source: str | None = None
    source_error: str | None = None
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Version:
    """What it takes to put a version back."""

    settings: Settings
    snapshot: Snapshot
    digest: str


Report = Callable[[SyncStatus], None]


def _ignore(_: bool) -> None:
    return


class Reloader:
    """Reloads one worker's configuration; one reload at a time.

    `read` loads the settings and compiles a snapshot, in a thread. `files` names what a configuration is made of.
    `report` hears of every reload that was accepted or rejected. `syncer` brings the files here first if they come
    from elsewhere; `fetched` hears of each try whether that place answered. `artifacts` brings those that have an
    address.
    """

    def __init__(
        self,
        settings: Settings,
        holder: SnapshotHolder,
        embedder: Embedder | None,
        *,
        watched: Watched,
        files: Callable[[Settings], Sequence[Path]],
        read: Callable[[], tuple[Settings, Snapshot]],
        models: Models,
        clock: Clock,
        report: Report,
        syncer: Syncer | None = None,
        fetched: Callable[[bool], None] = _ignore,
        artifacts: Bringing | None = None,
    ) -> None:
        self.settings = settings
        self._holder = holder
        self._embedder = embedder
        self._watched = watched
        self._files = files
        self._read = read
        self._models = models
        self._clock = clock
        self._report = report
        self._syncer = syncer
        self._fetched = fetched
        self._artifacts = artifacts
        self._turns = Turns()
        self._fetching, self._busy = asyncio.Lock(), asyncio.Lock()
        self._trouble: str | None = None
        self._try_again = False
        self._also_stale: tuple[str, ...] = ()
        watched.replace(files(settings))
        digest, now = watched.digest(), clock.now()
        self._at_start = settings
        self._history: OrderedDict[str, _Version] = OrderedDict()
        source = None if syncer is None else syncer.source.location
        self.status = SyncStatus("ok", holder.current.version, digest, digest, now, now, source=source)
        self._keep(_Version(settings, holder.current, digest))

    def hear(self, call: Report) -> None:
        """Have `call` hear, after those before it, of every reload that was accepted or rejected."""
        first = self._report

        def both(status: SyncStatus) -> None:
            first(status)
            call(status)

        self._report = both

    async def run(self, poll_s: float, failed: Callable[[str, BaseException], None], chance: random.Random) -> None:
        """Look every `poll_s` seconds at the latest until cancelled.

        The first look is at any time before, and no two pauses are equal, so that many workers that were started
        together do not ask the same store together.
        """
        pause = chance.uniform(0.0, poll_s)
        while True:
            await asyncio.sleep(pause)
            pause = chance.uniform(SHORTEST_PAUSE * poll_s, poll_s)
            try:
                await self._fetch()
                await self._look(force=False)
            except Exception as error:  # noqa: BLE001 - background loop: the next look may well succeed
                failed("reload", error)

    async def follow(self, poll_s: float, failed: Callable[[str, BaseException], None], chance: random.Random) -> None:
        """Look for new artifacts as `run` does for new files, beside it: a store that is slow keeps nothing up."""
        while self._artifacts is not None:
            await asyncio.sleep(chance.uniform(SHORTEST_PAUSE * poll_s, poll_s))
            try:
                await self._bring(self.settings)
                if self._artifacts.followed:
                    await self._look(force=False)
            except Exception as error:  # noqa: BLE001 - background loop: the next look may well succeed
                failed("reload", error)

    async def check(self, force: bool = False, *, fetch: bool = True) -> SyncStatus:
        """Look, and reload when something changed since the last look, or whenever `force`. Never raises RouteIQError.

        With `fetch` it looks at where files and artifacts come from, too. A version that was rejected is not tried
        again until it changes, unless something of it could not be fetched.
        """
        if fetch:
            await self._fetch()
            await self._bring(self.settings)
        return await self._look(force)

    async def _look(self, force: bool) -> SyncStatus:
        if self._artifacts is not None and (await self._differs() or self._try_again):
            with self._turns.short():
                await self._bring(None)  # while this worker is not busy: what is new may take long to come
        async with self._busy:
            seen = await asyncio.to_thread(self._watched.digest)
            self.status = replace(self.status, checked=self._clock.now())
            if force or seen != self.status.seen or self._try_again:
                await self._reload(seen)
            return self.status

    async def _differs(self) -> bool:
        async with self._busy:
            return await asyncio.to_thread(self._watched.digest) != self.status.seen

    async def renew(self) -> None:
        """Have the host look up again what its models refer to, with the version that serves; raises what it raises."""
        async with self._busy:
            await self._models.dismiss(await self._models.admit(self.settings.litellm))

    def also_stale(self, names: Sequence[str]) -> None:
        """Show these among what takes a restart: they changed, but in no file of the configuration."""
        self._also_stale = tuple(names)
        stale = (*_ours(self._at_start, self.settings), *self._hosts(self.settings))
        self.status = replace(self.status, restart_needed=stale)

    async def rollback(self, to: str | None = None) -> SyncStatus:
        """Put a version back that served before, by default the one before the present one; until the files change.

        Raises UnknownVersion when this process does not have it, or what `models` raises when the host refuses it.
        """
        async with self._busy:
            former = self._former()
            wanted = to or next(iter(former), None)
            if wanted is None or wanted not in self._history:
                known = ", ".join(former) or "none: this process has served no other"
                raise UnknownVersion(f"version {wanted or 'before this one'} cannot be put back; known: {known}")
            version = self._history[wanted]
            await self._serve(version, await self._models.admit(version.settings.litellm))
            self.status = replace(
                self.status,
                state="rolled_back",
                version=wanted,
                digest=version.digest,
                since=self._clock.now(),
                reason=None,
                message=None,
                former=self._former(),
            )
            self._report(self.status)
            return self.status

    async def _serve(self, version: _Version, gone: Collection[str]) -> None:
        """Have a version serve whose models the host has admitted; `gone` are those that it does not have."""
        self._holder.swap(version.snapshot)
        await self._models.dismiss(gone)
        self.settings = version.settings
        self._keep(version)

    def _keep(self, version: _Version) -> None:
        """Remember a version that serves from now on, and forget the oldest."""
        self._history[version.snapshot.version] = version
        self._history.move_to_end(version.snapshot.version)
        while len(self._history) > KEPT:
            self._history.popitem(last=False)

    def _former(self) -> tuple[str, ...]:
        present = self._holder.current.version
        return tuple(version for version in reversed(self._history) if version != present)

    async def _bring(self, settings: Settings | None) -> None:
        """Bring the artifacts that have an address, of these settings or of the files as they are."""
        if self._artifacts is not None:
            await self._artifacts.now(settings)
            self._tell_trouble()

    def _tell_trouble(self) -> None:
        artifacts = None if self._artifacts is None else self._artifacts.trouble
        self.status = replace(self.status, source_error=self._trouble or artifacts)

    async def _fetch(self) -> None:
        """Bring the files here, if they come from elsewhere; when that fails, those that are here go on."""
        if self._syncer is None:
            return
        async with self._fetching:
            await self._synced(self._syncer)

    async def _synced(self, syncer: Syncer) -> None:
        trouble = None
        try:
            await asyncio.to_thread(syncer.sync)
            self._fetched(True)
        except RouteIQError as error:
            trouble = error.message
            if isinstance(error, SourceUnavailable):
                self._fetched(False)
        except OSError as error:
            trouble = f"{syncer.to}: cannot be written: {error.strerror}"
        if trouble is not None and trouble != self._trouble:
            logger.warning("the configuration could not be fetched, what is here goes on: %s", trouble)
        self._trouble = trouble
        self._tell_trouble()

    async def _reload(self, seen: str) -> None:
        begun = self._clock.monotonic()
        try:
            with self._turns.short():
                version = await asyncio.to_thread(self._prepared, seen)
                seen = version.digest
                gone = await self._models.admit(version.settings.litellm)
        except RouteIQError as error:
            self._rejected(self._watching(error.file, seen), begun, error.reason, error.message)
        except Exception as error:  # noqa: BLE001 - whatever keeps a version from serving, the old one goes on
            self._rejected(seen, begun, "internal", f"{type(error).__name__}; the log has more")
        else:
            await self._serve(version, gone)
            self._accepted(version, begun)

    def _watching(self, file: Path | None, seen: str) -> str:
        """Watch a file that keeps a version from serving, so that it is tried again when that is mended."""
        if file is None or file in self._watched.paths:
            return seen
        self._watched.replace((*self._watched.paths, file))
        return self._watched.digest()

    def _prepared(self, seen: str) -> _Version:
        """Read and try the configuration; return it with the digest its files had before they were read.

        A configuration that is made of other files than the last one is read again once those are watched, so that no
        change in between is missed.
        """
        settings, snapshot = self._read()
        files = tuple(self._files(settings))
        if files != self._watched.paths:
            self._watched.replace(files)
            seen = self._watched.digest()
            settings, snapshot = self._read()
        if self.settings.model_names and not settings.model_names:
            raise ConfigError(f"{settings.path}: the model_list is empty or missing, and every call would fail")
        rehearse(snapshot, self._embedder)
        return _Version(settings, snapshot, seen)

    def _accepted(self, version: _Version, begun: float) -> None:
        self._try_again = False
        self.status = replace(
            self.status,
            state="ok",
            version=version.snapshot.version,
            digest=version.digest,
            seen=version.digest,
            since=self._clock.now(),
            duration_ms=(self._clock.monotonic() - begun) * 1000.0,
            reason=None,
            message=None,
            former=self._former(),
            restart_needed=(*_ours(self._at_start, version.settings), *self._hosts(version.settings)),
            accepted=self.status.accepted + 1,
        )
        self._report(self.status)

    def _hosts(self, settings: Settings) -> tuple[str, ...]:
        return (*self._models.needs_restart(self._at_start.litellm, settings.litellm), *self._also_stale)

    def _rejected(self, seen: str, begun: float, reason: str, message: str) -> None:
        again, self._try_again = self._try_again, reason == SourceUnavailable.reason
        if again and (seen, reason) == (self.status.seen, self.status.reason):
            return  # it still is not here; that has been said
        self.status = replace(
            self.status,
            state="rejected",
            seen=seen,
            duration_ms=(self._clock.monotonic() - begun) * 1000.0,
            reason=reason,
            message=message,
            rejected=self.status.rejected + 1,
        )
        self._report(self.status)


def _ours(former: Settings, present: Settings) -> tuple[str, ...]:
    """Return the keys of our section that differ from what this process was started with and cannot change in it."""
    before, now = former.routeiq.model_dump(), present.routeiq.model_dump()
    changed = sorted(key for key in now if key not in LIVE and before.get(key) != now[key])
    return tuple(f"routeiq_settings.{key}" for key in changed)
