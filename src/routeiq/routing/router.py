"""The decision itself: one request, one snapshot, one answer. Pure and synchronous; time and chance are arguments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import overload

import numpy as np

from routeiq.core.conversation import Conversation
from routeiq.core.decision import BREAKER, Affinity, CandidateReport, Decision, Hold, Reason
from routeiq.core.errors import UnknownCandidate, nearest
from routeiq.core.experiment import Placement
from routeiq.core.request import RouteRequest
from routeiq.routing.affinity import Settled, settle
from routeiq.routing.profile import Assessment
from routeiq.routing.snapshot import Arms, Route, Snapshot
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
        placement: Placement | None = None,
        conversation: Conversation | None = None,
    ) -> Decision:
        """Return the decision for a request to an alias.

        `barred` maps candidates the host does not offer to the word for it; `draw` is a uniform number in [0, 1) that
        settles probabilities; `turn` counts the decisions of the alias; `now` is in seconds since the epoch.
        `placement` is the request's arm in the alias's experiment, `conversation` the last turn of its conversation.
        Raises UnknownCandidate when the alias is not a virtual model, NoCandidate when nothing is left.
        """
        route = self.snapshot.route(request.alias)
        if route is None:
            known = nearest(request.alias, self.snapshot.routes)
            raise UnknownCandidate(f"{request.alias!r} is not a virtual model of RouteIQ; {known}")
        asked = _Asked(request, features, vitals, barred or {}, draw, turn, now, conversation)
        arms = None if placement is None else self.snapshot.experiment(request.alias)
        if arms is not None and placement is not None:
            route = arms.routes[placement.arm]
        settled = asked.of(route)
        found = settled.found
        chosen, reason = _choose(found, route, request.hint)
        if reason is not Reason.HINT and settled.affinity is not None and settled.affinity.hold is Hold.KEPT:
            reason = Reason.AFFINITY
        counted = placement if placement is not None and placement.counted else None
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
            propensity=1.0 if reason is Reason.HINT else asked.propensity(found, chosen, names[chosen], arms, counted),
            reason=reason,
            candidates=Reports(names, found),
            score=None if np.isnan(score) else float(score),
            degraded=features.absent if route.profile.embedder else None,
            artifact=route.profile.artifact,
            embedder=features.embedder,
            snapshot=self.snapshot.version,
            experiment=counted.experiment if counted else None,
            arm=counted.arm if counted else None,
            unit=counted.unit if counted else None,
            affinity=_account(settled, request.hint, names[chosen]),
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request with all that its decision depends on but the route."""

    request: RouteRequest
    features: Features
    vitals: Vitals
    barred: Mapping[str, str]
    draw: float
    turn: int
    now: float
    conversation: Conversation | None

    def of(self, route: Route) -> Settled:
        view = View(self.request, self.features, route.table, self.vitals)
        found = route.profile.assess(view, self.barred, self.draw, self.turn)
        return settle(found, route.profile, route.table, self.request, self.conversation, route.stay, self.now)

    def propensity(
        self, found: Assessment, chosen: int, choice: str, arms: Arms | None, placement: Placement | None
    ) -> float:
        """Return how likely the choice was before the request's arm was known.

        Over several arms that is the sum of their shares, each times the probability with which that arm would have
        chosen the same. Leaving the arm out would make outcomes of one arm count too little for what only it chooses;
        counting its own share only would make them count too much for what several choose. An arm that fails on this
        request would have chosen nothing that is known.
        """
        own = float(found.probability[chosen])
        if arms is None or placement is None:
            return own
        total = placement.shares[placement.arm] * own
        for name, share in placement.shares.items():
            if name != placement.arm:
                total += share * self._elsewhere(arms.routes[name], choice)
        return total

    def _elsewhere(self, route: Route, choice: str) -> float:
        at = route.table.index.get(choice)
        if at is None:
            return 0.0
        try:
            return float(self.of(route).found.probability[at])
        except Exception:  # noqa: BLE001 - an arm that fails must not fail the requests of the others
            return 0.0


def _account(settled: Settled, hint: str | None, choice: str) -> Affinity | None:
    """Return what became of the conversation's model, also where a hint that was honoured decided."""
    account = settled.affinity
    if account is None or hint is None or hint != choice or choice == account.model:
        return account
    return replace(account, hold=Hold.GONE)


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
    """Return the positions to try in order: the choice, then by utility, ties by price, then the operator's order.

    Candidates whose breaker is open come last, in the same order.
    """
    price, utility = found.cost_usd.tolist(), found.utility.tolist()
    resting = [i for i, word in enumerate(found.filtered_by) if word == BREAKER]
    parts = ([i for i in found.left if i != chosen], resting)
    rest = [sorted((-utility[i], price[i] if price[i] == price[i] else inf, i) for i in part) for part in parts]
    return [chosen, *(i for part in rest for _, _, i in part)]


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
