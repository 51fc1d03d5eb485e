"""Strategies of other people: entry points of the group `routeiq.strategies`, loaded only when named."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from routeiq.core.errors import ConfigError
from routeiq.routing.strategies import BUILT_IN, Recipe

GROUP = "routeiq.strategies"


def strategies(named: Iterable[str]) -> Mapping[str, Recipe]:
    """Return the recipes of the named strategies that are not built in and that an installed package provides.

    An entry point refers to a `Recipe` of the entry point's name. Raises ConfigError when one cannot be loaded.
    """
    wanted = set(named) - set(BUILT_IN)
    if not wanted:
        return {}
    return {point.name: _recipe(point) for point in entry_points(group=GROUP) if point.name in wanted}


def _recipe(point: EntryPoint) -> Recipe:
    origin = f"strategy {point.name!r} ({point.value}, from {point.dist.name if point.dist else 'an unknown package'})"
    try:
        loaded = point.load()
    except Exception as error:  # somebody else's plugin; reported as a configuration error
        raise ConfigError(f"{origin} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, Recipe):
        raise ConfigError(f"{origin} is a {type(loaded).__name__}; expected a routeiq.routing.strategies.Recipe")
    if loaded.name != point.name:
        raise ConfigError(f"{origin} calls itself {loaded.name!r}; the entry point and the recipe must agree")
    return loaded
