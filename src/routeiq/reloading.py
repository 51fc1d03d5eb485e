"""The reloader of a process that serves: what it looks at, whom it tells, and when it looks.

Owns building it from running parts, and the first fetch of a configuration that is elsewhere. What a reload is stands
in `config.reload`.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeiq.adapters.files.watched import WatchedFiles
from routeiq.adapters.litellm.host import LiveModels
from routeiq.config.bringing import Bring, Bringing
from routeiq.config.environment import config_path, read_environment
from routeiq.config.load import Settings
from routeiq.config.outbound import check_addresses
from routeiq.config.reload import Reloader, SyncStatus
from routeiq.config.sync import Syncer
from routeiq.core.audit import SIGNAL, acts
from routeiq.core.errors import SourceUnavailable
from routeiq.flow import NAMED_STRATEGY, RequestFlow
from routeiq.guard.degraded import OBJECT_STORE
from routeiq.guard.tasks import Errands
from routeiq.routing.snapshot import Snapshot

if TYPE_CHECKING:
    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry

logger = logging.getLogger("routeiq.wiring")


def fetch_configuration(path: Path | None = None) -> str | None:
    """Bring the configuration here before it is read for the first time, where the environment says from where.

    Returns a warning when it cannot be had but one of before is here; raises SourceUnavailable when there is none.
    """
    environment, _ = read_environment()
    if environment.config_source is not None:
        check_addresses(environment, {"environment variable ROUTEIQ_CONFIG_SOURCE": environment.config_source})
    to = config_path(environment, path)
    syncer = _syncer(environment.config_source, to)
    if syncer is None:
        return None
    try:
        syncer.sync(wait=True)
    except SourceUnavailable as error:
        if not to.is_file():
            raise
        return f"{error.message}; what was fetched before is served"
    return None


def _syncer(address: str | None, to: Path) -> Syncer | None:
    if address is None:
        return None
    from routeiq.adapters.object_store import open_folder

    return Syncer(open_folder(address), to.absolute().parent)


def reloader_of(
    settings: Settings,
    flow: RequestFlow,
    metrics: "PrometheusTelemetry",
    read: Callable[[], tuple[Settings, Snapshot]],
    bring: Bring | None = None,
) -> Reloader:
    """Return what has a changed configuration take effect in this process; `read` loads and compiles it.

    `bring` fetches the artifacts that have an address.
    """

    def report(status: SyncStatus) -> None:
        metrics.configured(status.state)
        told = {"config_version": status.version, "digest": status.seen[:12], "duration_ms": status.duration_ms}
        if status.state == "rejected":
            fields = {"routeiq": {**told, "reason": status.reason}}
            logger.error("Config rejected, %s goes on: %s", status.version, status.message, extra=fields)
            return
        snapshot = flow.holder.current
        models = {name for route in snapshot.routes.values() for name in route.table.names}
        experiments = {found.plan.name for found in snapshot.experiments}
        metrics.allow({NAMED_STRATEGY, *snapshot.strategies}, models, experiments)
        logger.info("Config reloaded: %s", status.version, extra={"routeiq": told})
        if status.restart_needed:
            logger.warning("restart needed for: %s", ", ".join(status.restart_needed))

    def fetched(ok: bool) -> None:
        if degraded is not None:
            degraded.report(OBJECT_STORE, ok)

    syncer, degraded = _syncer(settings.environment.config_source, settings.path), flow.degraded
    if syncer is not None and degraded is not None:
        degraded.expect(OBJECT_STORE)
    return Reloader(
        settings,
        flow.holder,
        flow.embedder,
        watched=WatchedFiles(),
        files=lambda settings: settings.files,
        read=read,
        models=LiveModels(),
        clock=flow.clock,
        report=report,
        syncer=syncer,
        fetched=fetched,
        artifacts=None if bring is None else Bringing(bring, fetched),
    )


async def keep_reloading(
    reloader: Reloader,
    settings: Settings,
    failed: Callable[[str, BaseException], None],
    nudged: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    """Look for changes until cancelled, and have `nudged` done when the process is sent SIGHUP."""
    loop = asyncio.get_running_loop()
    nudges = Errands()

    def nudge() -> None:
        with acts(SIGNAL):
            nudges.start(nudged())

    with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread: files are still looked at
        loop.add_signal_handler(signal.SIGHUP, nudge)
    if settings.environment.hot_reload:
        poll_s, chance = settings.environment.reload_interval, random.Random()  # noqa: S311 - no secret
        async with asyncio.TaskGroup() as loops:
            loops.create_task(reloader.run(poll_s, failed, chance), name="routeiq-reload-files")
            loops.create_task(reloader.follow(poll_s, failed, chance), name="routeiq-reload-artifacts")
