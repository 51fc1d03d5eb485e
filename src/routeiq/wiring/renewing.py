"""Secrets that change while a process serves, joined to the parts that hold them."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from routeiq.config.reload import Reloader
from routeiq.config.rotation import Rotation
from routeiq.core.audit import SECRET_ROTATED
from routeiq.guard.tasks import end
from routeiq.wiring.gateway import Gateway

if TYPE_CHECKING:
    from routeiq.http.traffic import Traffic

SETTLED_WITHIN_S: Final = 60.0
"""After this a call that was begun with a former secret and is not answered yet is taken to be with its provider."""

LOOKED_S: Final = 0.05


@dataclass(slots=True)
class Renewal:
    """The secrets of one process, looked at again and again; what changed takes effect."""

    gateway: Gateway
    rotation: Rotation = field(init=False)
    _traffic: "Traffic | None" = None
    _task: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        from routeiq.adapters.litellm.master_key import change_master_key, has_database

        gateway = self.gateway
        self.rotation = Rotation(
            gateway.secrets,
            master_key=change_master_key,
            redis=gateway.shared.readdress,
            database=has_database,
            spans=gateway.renew_spans,
            told=lambda name: gateway.audit.tell(SECRET_ROTATED, name),
            settled=self._settled,
            done=gateway.shared.announce,
            failed=gateway.flow.telemetry.failed,
        )

    def start(self, reloader: Reloader, traffic: "Traffic | None" = None) -> None:
        """Look from now on; `traffic` is what this process has under way, as far as it is known."""
        self._traffic = traffic
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

    async def _settled(self) -> None:
        """Wait until every request that is under way now is being answered, or over: none has yet to take a secret."""
        if self._traffic is None:
            return
        waiting = {exchange for exchange in self._traffic.under_way if not exchange.begun}
        clock, under_way = self.gateway.flow.clock, self._traffic.under_way
        until = clock.monotonic() + SETTLED_WITHIN_S
        while any(not one.begun for one in waiting & under_way) and clock.monotonic() < until:
            await asyncio.sleep(LOOKED_S)
