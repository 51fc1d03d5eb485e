"""Plugin mode: what each worker of an unmodified `litellm --config` starts."""

import asyncio
import atexit
import logging
from typing import Final

from routeiq.config.load import load
from routeiq.config.secrets import Secrets
from routeiq.core.errors import RouteIQError
from routeiq.guard.tasks import Errands
from routeiq.wiring.gateway import Gateway, assemble
from routeiq.wiring.host import candidates_of, register
from routeiq.wiring.live import Live, live_of
from routeiq.wiring.renewing import Renewal

ROUTER_S: Final = 60.0
"""How long LiteLLM may take until it has a router; without a model in its file it has none until its database has."""

logger = logging.getLogger("routeiq.wiring")


def install() -> None:
    """Plugin mode: build the parts and have LiteLLM call us. Without a `routeiq_settings` section nothing happens.

    Raises what `assemble` raises, which ends the worker; the mistake is logged in one line first, because the host
    shows a traceback.
    """
    try:
        _install()
    except RouteIQError as error:
        logger.error("error[%s]: %s", error.reason, error.message)
        raise


def _install() -> None:
    secrets = Secrets.of_process()
    settings = load()
    for warning in settings.warnings:
        logger.warning("%s", warning)
    if not settings.enabled:
        logger.warning("%s has no section routeiq_settings; RouteIQ stays out of the way", settings.path)
        return
    if settings.routeiq.compound:
        logger.warning("compound models need `routeiq serve`; not served: %s", ", ".join(settings.routeiq.compound))
    gateway = assemble(settings, candidates_of(settings), secrets=secrets)
    register(gateway, announces=True)
    live, renewal, background = live_of(gateway), Renewal(gateway), Errands()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        logger.warning("there is no event loop yet, so that a changed configuration takes a restart")
    else:
        background.start(_join(live, renewal))
    atexit.register(_close_at_exit, gateway, background, renewal)


async def _join(live: Live, renewal: Renewal) -> None:
    """Join the others in the background, as LiteLLM does not wait for its plugins; change once it has a router."""
    from routeiq.adapters.litellm.host import live_router

    gateway = live.gateway
    await gateway.shared.start(gateway.flow, forked=True)
    until = gateway.shared.clock.monotonic() + ROUTER_S
    while live_router() is None and gateway.shared.clock.monotonic() < until:
        await asyncio.sleep(0.1)
    await live.start()
    renewal.start(live.reloader)


def _close_at_exit(gateway: Gateway, *_: object) -> None:
    """Close what was built; what ran in the background, kept here until now, ended with LiteLLM's event loop."""
    asyncio.run(gateway.close())
