"""What a changed secret does to a process that serves, and what it cannot do without a restart.

Owns which part is told of which name: LiteLLM's models, its master key, Redis, settings that refer to a variable.
Whether a value is believed is `config.secrets`'s business; how a part changes over is its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from routeiq.config.document import KeyPath, dotted
from routeiq.config.environment import secret
from routeiq.config.reload import Reloader
from routeiq.config.secrets import Secrets
from routeiq.config.settings import SECTION
from routeiq.core.errors import RouteIQError
from routeiq.guard.tasks import Errands

MASTER_KEY: Final = "LITELLM_MASTER_KEY"
SALT_KEY: Final = "LITELLM_SALT_KEY"
DATABASE: Final = "DATABASE_URL"
OUR_DATABASE: Final = "ROUTEIQ_DATABASE_URL"
OUR_REDIS: Final = "ROUTEIQ_REDIS_URL"
OTLP_HEADERS: Final = frozenset({"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"})
REDIS: Final = "REDIS_URL"

_REFERENCE: Final = "os.environ/"
_AT_EACH_CALL: Final = ("_API_KEY", "_ACCESS_KEY_ID", "_SECRET_ACCESS_KEY", "_SESSION_TOKEN")
"""Ends of the names that LiteLLM looks up at every call of a model that names no key."""

logger = logging.getLogger(__name__)

Failed = Callable[[str, BaseException], None]


class Rotation:
    """Has changed secrets take effect in one worker, one change after the other.

    `master_key` has the host accept another one, and returns False where that takes a restart; `redis` has shared state
    go to another address, and returns False where nothing is shared; `database` says whether the host has one of its
    own; `spans` has our spans sent with the headers of now, and returns False where we send none; `told` hears of every
    name that changed. `settled` waits until no request is left that may still use a former value for the first time;
    then `done` hears that the change is in effect.
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        master_key: Callable[[str, bool], Awaitable[bool]],
        redis: Callable[[str], bool],
        database: Callable[[], bool],
        spans: Callable[[], bool] = lambda: False,
        told: Callable[[str], None],
        settled: Callable[[], Awaitable[None]],
        done: Callable[[], None],
        failed: Failed,
    ) -> None:
        self._secrets, self._master_key, self._redis = secrets, master_key, redis
        self._database, self._told, self._failed = database, told, failed
        self._settled, self._done, self._spans = settled, done, spans
        self._errands = Errands()
        self._turn = asyncio.Lock()
        self._stale: dict[str, None] = {}

    def start(self, reloader: Reloader) -> None:
        """Follow from now on."""

        def changed(names: frozenset[str]) -> None:
            self._errands.start(self._follow(names, reloader))

        self._secrets.on_change(changed)

    async def close(self) -> None:
        """Stop; what is half done is broken off."""
        await self._errands.end()

    @property
    def busy(self) -> bool:
        """Whether a change is still being told to the parts."""
        return self._errands.busy

    def stale(self) -> tuple[str, ...]:
        """Return what goes on with a former value until a restart: a key of the configuration, or a variable."""
        return tuple(self._stale)

    async def _follow(self, names: frozenset[str], reloader: Reloader) -> None:
        async with self._turn:
            for name in sorted(names):
                self._told(name)
            for part in (self._models, self._shared_state, self._settings, self._keys, self._headers):
                try:
                    await part(names, reloader)
                except Exception as error:  # noqa: BLE001 - background: what cannot change over goes on as before
                    self._failed("secrets", error)
                    logger.error("secrets %s took no effect: %s", ", ".join(sorted(names)), _said(error))
                    self._stale.update(dict.fromkeys(sorted(names)))
            reloader.also_stale(self.stale())
            if self._stale:
                logger.warning("restart needed for: %s", ", ".join(self._stale))
        await self._settled()
        self._secrets.in_effect += 1
        self._done()

    async def _models(self, names: frozenset[str], reloader: Reloader) -> None:
        await reloader.renew()
        for name in sorted(names - _ours(reloader) - {OUR_DATABASE}):
            self._stale.update(dict.fromkeys(self._beyond(name, reloader.settings.litellm)))

    async def _shared_state(self, names: frozenset[str], _: Reloader) -> None:
        name = OUR_REDIS if secret(OUR_REDIS) is not None else REDIS
        if name in names and not self._redis(self._secrets.current(name) or ""):
            self._stale[name] = None

    async def _settings(self, names: frozenset[str], reloader: Reloader) -> None:
        if names & _ours(reloader):
            await reloader.check(force=True)

    async def _keys(self, names: frozenset[str], reloader: Reloader) -> None:
        name = _master_key(reloader.settings.litellm)
        if name in names and not await self._master_key(
            self._secrets.current(name) or "", secret(SALT_KEY) is not None
        ):
            self._stale[name] = None

    async def _headers(self, names: frozenset[str], reloader: Reloader) -> None:
        changed = sorted(names & OTLP_HEADERS)
        if changed and (not self._spans() or _traces(reloader.settings.litellm)):
            self._stale.update(dict.fromkeys(changed))

    def _beyond(self, name: str, litellm: Mapping[str, Any]) -> Iterator[str]:
        """Yield what goes on with the former value of a variable, whatever is done here."""
        places = [path for path, found in _named(litellm) if found == name]
        master = ("general_settings", "master_key")
        yield from (dotted(path) for path in places if path[0] != "model_list" and path != master)
        if name == REDIS and (litellm.get("litellm_settings") or {}).get("cache"):
            yield "litellm_settings.cache"
        if name == DATABASE:
            yield from (DATABASE,) if self._database() else ()
        elif not places and name not in (_master_key(litellm), REDIS, OUR_REDIS, *OTLP_HEADERS):
            yield from () if name.endswith(_AT_EACH_CALL) else (name,)


def _ours(reloader: Reloader) -> frozenset[str]:
    """Return the variables that our section refers to."""
    return frozenset(name for _, name in _named(reloader.settings.document.data.get(SECTION)))


def _master_key(litellm: Mapping[str, Any]) -> str:
    """Return the variable that the master key comes from, empty when it stands in the file itself."""
    written = (litellm.get("general_settings") or {}).get("master_key")
    if written is None:
        return MASTER_KEY
    return str(written).removeprefix(_REFERENCE) if str(written).startswith(_REFERENCE) else ""


def _traces(litellm: Mapping[str, Any]) -> bool:
    """Return whether the host sends spans of its own, with the headers that it was started with."""
    said = litellm.get("litellm_settings") or {}
    return any("otel" in str(said.get(key)) for key in ("callbacks", "success_callback", "failure_callback"))


def _named(value: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield where something refers to a variable, and to which."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named(item, (*at, str(key)))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _named(item, (*at, i))
    elif isinstance(value, str) and value.startswith(_REFERENCE):
        yield at, value.removeprefix(_REFERENCE)


def _said(error: Exception) -> str:
    return error.message if isinstance(error, RouteIQError) else type(error).__name__
