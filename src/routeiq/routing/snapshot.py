"""An immutable picture of everything a decision depends on, and the one place where it is exchanged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from routeiq.routing.profile import Profile
from routeiq.routing.table import CandidateTable


@dataclass(frozen=True, slots=True)
class Route:
    """One alias: the virtual model that clients name, its candidates in the operator's order, and how one is chosen."""

    alias: str
    table: CandidateTable
    profile: Profile


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All routes of one configuration. `version` identifies it in decisions, logs and status pages."""

    version: str
    routes: Mapping[str, Route]

    def route(self, alias: str) -> Route | None:
        """Return the route of a virtual model, or None when the name is not one."""
        return self.routes.get(alias)


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
