"""The decision itself: one request, one snapshot, one answer. Pure and synchronous; time and chance are arguments."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import overload

import numpy as np

from routeiq.core.decision import CandidateReport, Decision, Reason
from routeiq.core.errors import UnknownCandidate, nearest
from routeiq.core.request import RouteRequest
from routeiq.routing.profile import Assessment
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features, View
from routeiq.routing.table import Floats
from routeiq.routing.vitals import Vitals


class Router:
    """Decides over one snapshot. Makes no copy of it and keeps nothing of a request."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def decide(
        self,
        request: RouteRequest,
        features: Features,
        vitals: Vitals,
        *,
        decision_id: str,
        barred: Mapping[str, str] | None = None,
        draw: float = 0.0,
        turn: int = 0,
        now: float = 0.0,
    ) -> Decision:
        """Return the decision for a request to an alias.

        `barred` maps candidates the host does not offer to the word for it; `draw` is a uniform number in [0, 1) that
        settles probabilities; `turn` counts the decisions of the alias; `now` is in seconds since the epoch.
        Raises UnknownCandidate when the alias is not a virtual model, NoCandidate when nothing is left.
        """
        route = self.snapshot.route(request.alias)
        if route is None:
            known = nearest(request.alias, self.snapshot.routes)
            raise UnknownCandidate(f"{request.alias!r} is not a virtual model of RouteIQ; {known}")
        view = View(request, features, route.table, vitals)
        found = route.profile.assess(view, barred or {}, draw, turn)
        chosen, reason = _choose(found, route, request.hint)
        names = route.table.names
        score = (found.utility if found.expected_score is None else found.expected_score)[chosen]
        return Decision(
            id=decision_id,
            request_id=request.id,
            at=now,
            alias=request.alias,
            strategy=route.profile.strategy,
            choice=names[chosen],
            ranking=tuple(names[i] for i in _ranking(found, chosen)),
            propensity=1.0 if reason is Reason.HINT else float(found.probability[chosen]),
            reason=reason,
            candidates=Reports(names, found),
            score=None if np.isnan(score) else float(score),
            degraded=features.absent if route.profile.embedder else None,
            artifact=route.profile.artifact,
            embedder=features.embedder,
            snapshot=self.snapshot.version,
        )


def _choose(found: Assessment, route: Route, hint: str | None) -> tuple[int, Reason]:
    if hint is not None:
        wanted = route.table.index.get(hint)
        if wanted is not None and not found.filtered_by[wanted]:
            return wanted, Reason.HINT
    if len(found.left) == 1:
        return found.chosen, Reason.ONLY
    picker = route.profile.picker
    is_best = found.chosen == found.best or found.utility[found.chosen] == found.utility[found.best]
    return found.chosen, picker.on_best if is_best else picker.off_best


def _ranking(found: Assessment, chosen: int) -> list[int]:
    """Return the positions to try in order: the choice, then by utility, ties by price, then the operator's order."""
    price, utility = found.cost_usd.tolist(), found.utility.tolist()
    rest = [(-utility[i], price[i] if price[i] == price[i] else inf, i) for i in found.left if i != chosen]
    rest.sort()
    return [chosen, *(i for _, _, i in rest)]


class Reports(Sequence[CandidateReport]):
    """Candidate reports over the arrays of an assessment, built when they are read and not during the decision."""

    __slots__ = ("_found", "_names")

    def __init__(self, names: tuple[str, ...], found: Assessment) -> None:
        self._names = names
        self._found = found

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> CandidateReport: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[CandidateReport]: ...
    def __getitem__(self, at: int | slice) -> CandidateReport | Sequence[CandidateReport]:
        if isinstance(at, slice):
            return [self._report(i) for i in range(*at.indices(len(self)))]
        return self._report(range(len(self))[at])

    def __iter__(self) -> Iterator[CandidateReport]:
        return (self._report(i) for i in range(len(self)))

    def _report(self, i: int) -> CandidateReport:
        found = self._found
        return CandidateReport(
            name=self._names[i],
            probability=float(found.probability[i]),
            utility=_number(found.utility, i),
            expected_score=_number(found.expected_score, i),
            expected_cost_usd=_number(found.cost_usd, i),
            expected_latency_s=_number(found.latency_s, i),
            evidence=_number(found.evidence, i),
            filtered_by=found.filtered_by[i] or None,
        )


def _number(column: Floats | None, i: int) -> float | None:
    if column is None or np.isnan(column[i]):
        return None
    return float(column[i])
