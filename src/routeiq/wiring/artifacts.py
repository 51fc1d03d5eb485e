"""Where the artifacts of this process come from, files and addresses, and whose word they need."""

import logging
from dataclasses import dataclass

from routeiq.adapters.files.fetched import ArtifactMemory, FetchedArtifactStore
from routeiq.config.artifact_cache import ArtifactCache, State
from routeiq.config.fetch import ArtifactFetcher, followed_by
from routeiq.config.load import Settings
from routeiq.core.audit import ARTIFACT_FETCHED, ARTIFACT_REFUSED, AuditTrail
from routeiq.core.errors import ConfigError, SourceUnavailable
from routeiq.core.objects import ObjectFolder
from routeiq.core.ports import ArtifactStore
from routeiq.core.shared import SharedState
from routeiq.guard.lease import Leases

START_WAIT_S = 600.0
"""How long a process that has nothing to serve with waits for others that fetch."""

FRESH_S = 1.0
START_FRESH_S = 30.0
"""Within this time one look by one process of a host is enough for all of them; for those that start, the second."""

MEGABYTE = 1 << 20
_BOUND_S = 1.0

logger = logging.getLogger("routeiq.wiring")


@dataclass(slots=True)
class Artifacts:
    """The artifacts of one process; what they are told to goes to the log and to `audit`."""

    fetcher: ArtifactFetcher
    memory: ArtifactMemory
    audit: AuditTrail | None = None

    def store(self, settings: Settings, *, strict: bool) -> ArtifactStore:
        """Return where artifacts are loaded from, with the signatures that the settings want; raises ConfigError.

        `strict` is for a process that serves: a version that was refused is not replaced by the one before it.
        """
        wait_s = None if strict else START_WAIT_S
        return _signed(settings, FetchedArtifactStore(self.fetcher, self.memory, strict, wait_s))

    def begin(self, settings: Settings) -> None:
        """Bring what the settings name for a process that starts; with what is here already it starts all the same."""
        try:
            self.fetcher.refresh(followed_by(settings.artifacts), wait_s=START_WAIT_S, fresh_s=START_FRESH_S)
        except SourceUnavailable as error:
            logger.warning("%s; what was fetched before is served, if it is here", error.message)

    def refresh(self, settings: Settings) -> int:
        """Bring what the settings name up to date; return how many artifacts have an address. Blocks.

        Raises SourceUnavailable, and then all is as it was.
        """
        self.fetcher.leases = _leases(settings)
        followed = followed_by(settings.artifacts)
        self.fetcher.refresh(followed, fresh_s=FRESH_S)
        return len(followed)

    def _told(self, address: str, state: State) -> None:
        refused = state.refused
        fields = {"routeiq": {"artifact": state.version, "reason": None if refused is None else refused.reason}}
        if refused is None:
            logger.info("Artifact fetched: %s is %s now", address, state.version, extra=fields)
        else:
            logger.error("Artifact refused, %s goes on: %s", state.version, refused.message, extra=fields)
        if self.audit is None:
            return
        if refused is None:
            self.audit.tell(ARTIFACT_FETCHED, address, after=state.version)
        else:
            self.audit.tell(ARTIFACT_REFUSED, address, before=state.version, result="refused", reason=refused.reason)


def artifacts_of(settings: Settings) -> Artifacts:
    """Return the artifacts of a process that is configured like this."""
    said = settings.routeiq.artifact_cache
    cache = ArtifactCache(settings.artifact_cache, int(said.max_disk_mb * MEGABYTE))
    fetcher = ArtifactFetcher(cache, _place, _leases(settings), said.lease_s)
    found = Artifacts(fetcher, ArtifactMemory(int(said.max_memory_mb * MEGABYTE)))
    fetcher.told = found._told
    return found


def _place(address: str) -> ObjectFolder:
    from routeiq.adapters.object_store import open_folder

    return open_folder(address, names=("",))


def _leases(settings: Settings) -> Leases | None:
    """Return the locks of the whole cluster, None without Redis; each holder has connections of its own."""
    address = settings.environment.redis if settings.enabled else None
    if address is None:
        return None

    def connect() -> SharedState:
        from routeiq.adapters.redis import RedisLink, RedisSharedState

        return RedisSharedState(RedisLink(address), _BOUND_S)

    return Leases(connect, settings.routeiq.artifact_cache.lease_s)


def _signed(settings: Settings, inner: ArtifactStore) -> ArtifactStore:
    wanted = settings.routeiq.signatures
    if not wanted.trusted_keys:
        return inner
    try:
        from routeiq.adapters.signing import SignedArtifactStore, TrustedKeys
    except ModuleNotFoundError as error:
        raise ConfigError(f"signatures need {error.name}; run: pip install 'routeiq-router[proxy]'") from None
    try:
        trusted = TrustedKeys(wanted.trusted_keys)
    except ConfigError as error:
        raise ConfigError(f"{settings.where('signatures', 'trusted_keys')}: {error.message}") from None
    return SignedArtifactStore(inner, trusted, wanted.required)
