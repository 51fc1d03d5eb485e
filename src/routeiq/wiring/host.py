"""LiteLLM, told of the gateway."""

from collections.abc import Sequence

from routeiq.config.load import Settings
from routeiq.core.candidate import Candidate
from routeiq.wiring.gateway import Gateway


def register(gateway: Gateway, announces: bool) -> None:
    """Have LiteLLM call the gateway's flow; `announces` as for `RouteIQHook`."""
    from routeiq.adapters.litellm import host
    from routeiq.adapters.litellm.hook import RouteIQHook

    host.register(RouteIQHook(gateway.flow, announces=announces))


def candidates_of(settings: Settings) -> Sequence[Candidate]:
    from routeiq.adapters.litellm import host, translate

    host.refuse_bad_version()
    return translate.candidates(settings.described_models, host.listed_prices())
