"""`routeiq workers`."""

from routeiq.config.load import Settings


def recommended(settings: Settings) -> int:
    return 2
