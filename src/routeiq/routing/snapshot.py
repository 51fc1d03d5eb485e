"""An immutable picture of everything a decision depends on, and the one place where it is exchanged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routeiq.core.experiment import Plan
from routeiq.routing.affinity import Stay
from routeiq.routing.profile import Profile
from routeiq.routing.table import CandidateTable

if TYPE_CHECKING:
    from routeiq.routing.compound.methods import Compound


@dataclass(frozen=True, slots=True)
class Route:
    """One alias: the virtual model that clients name, its candidates in the operator's order, and how one is chosen.

    `stay` says when conversations change their model, None where each turn is chosen for itself.
    """

    alias: str
    table: CandidateTable
    profile: Profile
    stay: Stay | None = None


@dataclass(frozen=True, slots=True)
class Arms:
    """An experiment of one alias: its plan, and the route of each arm over candidates of the alias."""

    plan: Plan
    routes: Mapping[str, Route]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All routes and compound models of one configuration.

    `version` identifies it in decisions, logs and status pages.
    """

    version: str
    routes: Mapping[str, Route]
    compounds: "Mapping[str, Compound]" = field(default_factory=dict)
    experiments: tuple[Arms, ...] = ()

    def route(self, alias: str) -> Route | None:
        """Return the route of a virtual model, or of what a compound model may call; None when the name is neither."""
        found = self.routes.get(alias)
        if found is None and alias in self.compounds:
            return self.compounds[alias].route
        return found

    @property
    def strategies(self) -> frozenset[str]:
        """The names of all strategies that serve, in arms of experiments and as compound models too."""
        arms = (route for found in self.experiments for route in found.routes.values())
        named = {route.profile.strategy for route in (*self.routes.values(), *arms)}
        return frozenset(named | {compound.method.name for compound in self.compounds.values()})

    def stays(self, alias: str) -> bool:
        """Return whether conversations of an alias, in whichever arm, stay on their model."""
        arms = self.experiment(alias)
        routes = (self.routes.get(alias), *(arms.routes.values() if arms is not None else ()))
        return any(route is not None and route.stay is not None for route in routes)

    def experiment(self, alias: str) -> Arms | None:
        """Return the experiment that an alias takes part in, or None; there is one at most."""
        return next((found for found in self.experiments if found.plan.alias == alias), None)


class SnapshotHolder:
    """Holds the snapshot that new requests start with; a request keeps the one it started with to its end.

    `adopt` makes a compiled snapshot ready to be served, for example by joining it with what was learned meanwhile.
    """

    def __init__(self, snapshot: Snapshot, adopt: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot) -> None:
        self._adopt = adopt
        self._current = adopt(snapshot)

    @property
    def current(self) -> Snapshot:
        """The snapshot in force."""
        return self._current

    def swap(self, snapshot: Snapshot) -> Snapshot:
        """Put a new snapshot in force and return the former one; one reference assignment, so readers need no lock."""
        former, self._current = self._current, self._adopt(snapshot)
        return former
