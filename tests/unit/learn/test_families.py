"""The table of strategies that can be trained."""

import pytest

from routeiq.core.errors import UnknownStrategy
from routeiq.learn.families import FAMILIES, family
from routeiq.routing.strategies import BUILT_IN


def test_what_can_be_trained_can_be_served() -> None:
    """Every family of the table is a built-in strategy that needs an artifact."""
    assert {name for name, made_of in BUILT_IN.items() if made_of.needs_artifact} >= set(FAMILIES)


def test_an_unknown_family_is_met_with_the_nearest() -> None:
    """A name that is not in the table is an error that names the one that was meant."""
    with pytest.raises(UnknownStrategy, match="linear"):
        family("liniar")
