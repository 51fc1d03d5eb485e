"""The counters of an experiment's arm: their names, and what an event adds to them.

Owns the form that `guard.experiments` writes and `learn.sequential` reads. All of them are sums, so that many workers
can add to them in any order.

    assigned, ok, failed, cancelled           requests: placed, and how they ended
    units, log_chance                         units seen first, one for each cell; log of the arm's share at that moment
    METRIC.n, METRIC.sum, METRIC.sq           observations, their sum, their sum of squares
    METRIC.n.G, METRIC.sum.G                  the same of one of GROUPS random groups of units
"""

from collections.abc import Mapping

from routeiq.core.experiment import CELLS, SLOTS
from routeiq.core.outcome import Outcome, Status

GROUPS = 32
"""Into how many random groups units are divided, to see how much the requests of one unit resemble each other."""

METRICS = ("score", "cost", "latency", "failure")
"""What is compared: feedback (0..1), US dollars and seconds of answered requests, and the share of failed ones."""

_ENDS = {Status.SUCCESS: "ok", Status.FAILURE: "failed", Status.CANCELLED: "cancelled"}


def cell_of(unit: str) -> int:
    """Return the cell of a unit as a decision names it (`RUN-HASH`); an unreadable one has cell 0."""
    try:
        return int(unit.rpartition("-")[2], 16) // SLOTS % CELLS
    except ValueError:
        return 0


def observed(metric: str, value: float, cell: int) -> dict[str, float]:
    """Return what one observation adds."""
    group = cell % GROUPS
    return {
        f"{metric}.n": 1.0,
        f"{metric}.sum": value,
        f"{metric}.sq": value * value,
        f"{metric}.n.{group}": 1.0,
        f"{metric}.sum.{group}": value,
    }


def ended(outcome: Outcome, cell: int) -> dict[str, float]:
    """Return what the end of a request adds. What a cancelled or cached one took says nothing about the arm."""
    found = {_ENDS[outcome.status]: 1.0}
    if outcome.status is not Status.CANCELLED:
        found |= observed("failure", float(outcome.status is Status.FAILURE), cell)
    if outcome.status is Status.SUCCESS and not outcome.cached:
        if outcome.cost_usd is not None:
            found |= observed("cost", outcome.cost_usd, cell)
        if outcome.latency_s is not None:
            found |= observed("latency", outcome.latency_s, cell)
    return found


def rejudged(before: float | None, after: float | None, cell: int) -> Mapping[str, float]:
    """Return what feedback adds, when the score of a decision was `before` and is now `after`."""
    if after is None or before == after:
        return {}
    if before is None:
        return observed("score", after, cell)
    more = after - before
    return {"score.sum": more, "score.sq": after * after - before * before, f"score.sum.{cell % GROUPS}": more}
