"""A/B experiments while they run: what the operator says of them, and their counters.

Owns the one way from a request to the sums that all workers share, and the writing of what an operator decides. Who is
in which arm is `core.experiment`'s, what the sums say is `learn.sequential`'s.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from routeiq.core.arm_counts import cell_of, ended, rejudged
from routeiq.core.decision import Decision
from routeiq.core.errors import StateUnavailable
from routeiq.core.experiment import Phase, Placement, Plan, Steering
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock
from routeiq.core.request import RouteRequest
from routeiq.core.shared import SharedState
from routeiq.guard.behind import WriteBehind
from routeiq.guard.mirror import Mirror

WEIGHTS = "ab.weights"
COUNTERS = "ab.counters"
UNITS = "ab.units"

KEPT_S = 90 * 86_400.0
"""How long the counters of an experiment outlive its last request, in seconds."""

TRIES = 5
"""How often a decision of an operator is tried again when another one's came between."""

RUNS_KEPT = 256


@dataclass(slots=True, eq=False)
class Experiments:
    """The experiments of one worker. Everything but `steer` reads and writes memory only."""

    mirror: Mirror
    state: SharedState
    clock: Clock
    failed: Callable[[str, BaseException], None]
    _seen: "OrderedDict[str, set[int]]" = field(default_factory=OrderedDict)
    _said: dict[str, tuple[bytes, tuple[str, ...], Steering | None]] = field(default_factory=dict)
    _behind: WriteBehind = field(init=False)

    def __post_init__(self) -> None:
        self._behind = WriteBehind(UNITS, self.failed)

    def steering(self, plan: Plan) -> Steering | None:
        """Return what an operator last said of an experiment, None when nobody did."""
        text = self.mirror.get(WEIGHTS, plan.name)
        if text is None:
            return None
        kept = self._said.get(plan.name)
        if kept is None or kept[0] is not text or kept[1] != plan.arms:
            kept = self._said[plan.name] = (text, plan.arms, Steering.decoded(text, plan.arms))
        return kept[2]

    def place(self, plan: Plan, request: RouteRequest) -> Placement | None:
        """Return the arm of a request now, None when it takes the alias's own route."""
        return plan.place(request, self.clock.now(), self.steering(plan))

    def assigned(self, placement: Placement) -> None:
        """Count a request of an arm, and its unit when it is the first of its cell."""
        if not placement.counted:
            return
        run = placement.unit.partition("-")[0]
        self._add(placement.experiment, run, placement.arm, {"assigned": 1.0})
        seen = self._seen.get(run)
        if seen is None:
            seen = self._seen[run] = set()
            if len(self._seen) > RUNS_KEPT:
                self._seen.popitem(last=False)
        if placement.cell not in seen:
            seen.add(placement.cell)
            self._count_unit(placement, run, seen)

    def _count_unit(self, placement: Placement, run: str, seen: set[int]) -> None:
        """Count a unit unless some worker has counted one of its cell already; the shared state decides who was first.

        Cells are independent of arms, so that one unit of each is a fair sample of all units, and is bounded.
        """
        name = f"{placement.experiment}:{run}:{placement.cell}"

        async def write() -> None:
            try:
                first = await self.state.put(UNITS, name, placement.arm.encode(), expires_s=KEPT_S, expect=0)
            except StateUnavailable:
                seen.discard(placement.cell)
                raise
            if first is not None:
                chance = math.log(placement.shares[placement.arm])
                self._add(placement.experiment, run, placement.arm, {"units": 1.0, "log_chance": chance})

        self._behind.add(name, write)

    def ended(self, decision: Decision, outcome: Outcome) -> None:
        """Count how a request of an arm ended; does nothing for other requests."""
        if decision.unit is not None and decision.experiment is not None and decision.arm is not None:
            run, cell = decision.unit.partition("-")[0], cell_of(decision.unit)
            self._add(decision.experiment, run, decision.arm, ended(outcome, cell))

    def judged(self, decision: Decision, before: float | None, after: float | None) -> None:
        """Count feedback: the score of a decision was `before` and is now `after`, None for no score."""
        if decision.unit is not None and decision.experiment is not None and decision.arm is not None:
            run, cell = decision.unit.partition("-")[0], cell_of(decision.unit)
            amounts = rejudged(before, after, cell)
            if amounts:
                self._add(decision.experiment, run, decision.arm, amounts)

    def counts(self, plan: Plan) -> dict[str, Mapping[str, float]]:
        """Return the sums of all workers by arm, as far as this one has heard."""
        return {arm: self.mirror.sums(COUNTERS, _key(plan.name, plan.run, arm)) for arm in plan.arms}

    async def ask(self, plans: Iterable[Plan]) -> None:
        """Bring the counts of these experiments up to date, as far as the shared state answers."""
        for plan in plans:
            self.counts(plan)
        await self.mirror.sync()

    async def steer(self, plan: Plan, change: Callable[[Steering | None], Steering | None]) -> Steering | None:
        """Replace what is said of an experiment by what `change` makes of it, everywhere; None for the settings' own.

        Raises StateUnavailable when the shared state does not answer, or when others keep writing.
        """
        for _ in range(TRIES):
            found = await self.state.get(WEIGHTS, plan.name)
            before = None if found is None else Steering.decoded(found.value, plan.arms)
            after = change(before)
            value = None if after is None else after.encoded()
            version = found.version if found is not None else 0
            if found is None and value is None:
                return None
            if await self.state.put(WEIGHTS, plan.name, value, expect=version) is not None:
                await self.mirror.refresh(WEIGHTS)
                return after
        raise StateUnavailable(f"others are changing experiment {plan.name!r} at the same time; look at it, try again")

    async def close(self) -> None:
        """Write what waits; before the mirror is closed, which sends the counts."""
        await self._behind.close()

    def _add(self, experiment: str, run: str, arm: str, amounts: Mapping[str, float]) -> None:
        self.mirror.add(COUNTERS, _key(experiment, run, arm), amounts, expires_s=KEPT_S)


def moved(plan: Plan, weights: Mapping[str, float], now: float) -> Callable[[Steering | None], Steering]:
    """Return the change that gives the arms other weights from now on; the schedule is suspended."""
    return lambda before: Steering(Phase.RUNNING, plan.allocation(now, before).moved(weights), at=now)


def stopped(plan: Plan, now: float) -> Callable[[Steering | None], Steering]:
    """Return the change that ends an experiment: everybody takes the alias's own route."""
    return lambda before: Steering(Phase.STOPPED, before.allocation if before else None, at=now)


def promoted(plan: Plan, arm: str, now: float) -> Callable[[Steering | None], Steering]:
    """Return the change that gives everybody one arm."""
    return lambda before: Steering(Phase.PROMOTED, before.allocation if before else None, arm, now)


def resumed(before: Steering | None) -> Steering | None:
    """Return the change that takes back a stop or a promotion; of a running experiment, the operator's weights."""
    if before is None or before.phase is Phase.RUNNING or before.allocation is None:
        return None
    return Steering(Phase.RUNNING, before.allocation, at=before.at)


def _key(experiment: str, run: str, arm: str) -> str:
    return f"{experiment}:{run}:{arm}"
