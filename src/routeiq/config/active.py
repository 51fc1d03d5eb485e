"""Strategies chosen while the gateway runs, laid over those of the configuration file.

Owns which wins: what an admin chose for an alias, until that is taken back. Where the choice is kept is `sharing`'s.
"""

from collections.abc import Mapping
from dataclasses import replace

from routeiq.config.load import Settings


def with_strategies(settings: Settings, active: Mapping[str, str]) -> Settings:
    """Return the settings with the chosen strategy for each alias; a choice for an alias that is gone does nothing."""
    section = settings.routeiq
    changed = {
        name: alias.model_copy(update={"strategy": active[name]})
        for name, alias in section.aliases.items()
        if name in active
    }
    if not changed:
        return settings
    return replace(settings, routeiq=section.model_copy(update={"aliases": {**section.aliases, **changed}}))
