"""Secrets that change while a process serves, joined to the parts that hold them."""

import asyncio
from dataclasses import dataclass, field

from routeiq.config.reload import Reloader
from routeiq.config.rotation import Rotation
from routeiq.core.audit import SECRET_ROTATED
from routeiq.guard.tasks import end
from routeiq.wiring.gateway import Gateway


@dataclass(slots=True)
class Renewal:
    """The secrets of one process, looked at again and again; what changed takes effect."""

    gateway: Gateway
    rotation: Rotation
    _task: "asyncio.Task[None] | None" = field(default=None)

    def start(self, reloader: Reloader) -> None:
        """Look from now on."""
        self.rotation.start(reloader)
        interval, failed = self.gateway.settings.environment.secrets_interval, self.gateway.flow.telemetry.failed
        if self.gateway.secrets.watched:
            looking = self.gateway.secrets.watch(interval, failed)
            self._task = asyncio.create_task(looking, name="routeiq-secrets")

    async def close(self) -> None:
        """Stop; may be called again."""
        task, self._task = self._task, None
        await end(task)
        await self.rotation.close()


def renewal_of(gateway: Gateway) -> Renewal:
    """Build what has changed secrets take effect in a process."""
    from routeiq.adapters.litellm.master_key import change_master_key, has_database

    rotation = Rotation(
        gateway.secrets,
        master_key=change_master_key,
        redis=gateway.shared.readdress,
        database=has_database,
        told=lambda name: gateway.audit.tell(SECRET_ROTATED, name),
        done=gateway.shared.announce,
        failed=gateway.flow.telemetry.failed,
    )
    return Renewal(gateway, rotation)
