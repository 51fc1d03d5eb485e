"""Plugin mode: what each worker of an unmodified `litellm --config` starts."""

import asyncio
import atexit
import logging

from routeiq.config.load import load
from routeiq.config.secrets import Secrets
from routeiq.core.errors import RouteIQError
from routeiq.wiring.gateway import Gateway, assemble
from routeiq.wiring.host import candidates_of, register

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
    gateway.shared.begin(gateway.flow)
    atexit.register(_close_at_exit, gateway)


def _close_at_exit(gateway: Gateway) -> None:
    asyncio.run(gateway.close())
