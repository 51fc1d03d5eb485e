"""What changes a process while it serves: its reloader, chosen strategies, the way back, and keeping up with others."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from routeiq.config.active import with_strategies
from routeiq.config.load import Settings, load
from routeiq.config.outbound import check_outbound
from routeiq.config.reload import Reloader
from routeiq.converging import Convergence
from routeiq.core.errors import ConfigError
from routeiq.guard.rolling import RollingRestart
from routeiq.guard.tasks import end
from routeiq.http.rollback import RollbackEndpoint
from routeiq.reloading import keep_reloading, reloader_of
from routeiq.routing.snapshot import Snapshot
from routeiq.sharing import StrategySwitch
from routeiq.wiring.auditing import telling_of
from routeiq.wiring.gateway import Gateway
from routeiq.wiring.host import candidates_of
from routeiq.wiring.learning import snapshot_of

if TYPE_CHECKING:
    from routeiq.http.foreman import Foreman
    from routeiq.http.siblings import Siblings


@dataclass(slots=True)
class Live:
    """The parts of one process that change it, joined."""

    gateway: Gateway
    reloader: Reloader
    switch: StrategySwitch
    rollback: RollbackEndpoint
    convergence: Convergence
    restart: RollingRestart
    _background: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start(self) -> None:
        """Take up what was chosen elsewhere, look for changes, and keep up; shared state has started before."""
        await self.switch.start()
        self.rollback.start()
        self.convergence.start()
        self.restart.start()
        settings, failed = self.gateway.settings, self.gateway.flow.telemetry.failed
        looking = keep_reloading(self.reloader, settings, failed, self.convergence.nudged)
        self._background.append(asyncio.create_task(looking, name="routeiq-reload"))

    async def close(self) -> None:
        """Stop; may be called again."""
        background, self._background = self._background, []
        await end(*background)
        await self.convergence.close()
        await self.restart.close()


def live_of(
    gateway: Gateway, siblings: "Siblings | None" = None, foreman: "Foreman | None" = None, *, lonely: bool = False
) -> Live:
    """Build what changes a process; `lonely` says that its replica has other workers."""
    shared, holder, settings = gateway.shared, gateway.flow.holder, gateway.settings
    read, bring = (lambda: _read(gateway, shared.strategies())), partial(_bring, gateway)
    reloader = reloader_of(settings, gateway.flow, gateway.metrics, read, bring)
    reloader.hear(telling_of(gateway.audit, reloader.status.version))
    shared.lonely = lonely
    return Live(
        gateway,
        reloader,
        StrategySwitch(shared, reloader, holder, lambda active: _read(gateway, active)),
        RollbackEndpoint(reloader, shared.mirror),
        Convergence(
            shared,
            reloader,
            siblings,
            follows=settings.environment.hot_reload,
            supervised=foreman is not None,
            parts=gateway.standing,
        ),
        RollingRestart(
            shared.state,
            shared.mirror,
            shared.clock,
            shared.worker,
            replica=lambda: shared.replica,
            workers=shared.workers,
            supervisor=foreman,
            everywhere=shared.everywhere,
            failed=gateway.flow.telemetry.failed,
        ),
    )


def _read(gateway: Gateway, active: Mapping[str, str]) -> tuple[Settings, Snapshot]:
    """Return the configuration as the files are now, with the strategies that admins chose, and what it compiles to."""
    settings = with_strategies(load(gateway.settings.path), active)
    gateway.secrets.concealed.learn_settings(settings)
    compiled = snapshot_of(settings, candidates_of(settings), gateway.flow.embedder, gateway.artifacts, serving=True)
    return settings, compiled


def _bring(gateway: Gateway, settings: Settings | None) -> int:
    """Fetch the artifacts that settings name, or the files as they are now: whether those are right is for a reload."""
    try:
        if settings is None:
            settings = load(gateway.settings.path)
            check_outbound(settings)
        return gateway.artifacts.refresh(settings)
    except ConfigError:
        return 0
