"""Intervals that may be looked at as often as one likes, and the check of how units were divided."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from routeiq.core.arm_counts import GROUPS, cell_of, ended, observed, rejudged
from routeiq.core.outcome import Outcome, Status
from routeiq.learn.sequential import ALPHA, FEWEST, Moments, difference, estimate, half_width, moments, skew

REPEATS = 200
LENGTH = 3_000


def summed(*events: Mapping[str, float]) -> dict[str, float]:
    """Return the counters after these events."""
    total: dict[str, float] = {}
    for event in events:
        for name, amount in event.items():
            total[name] = total.get(name, 0.0) + amount
    return total


def histories(kind: str, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Return LENGTH observations, the group of each, and the true mean."""
    groups = rng.integers(0, GROUPS, LENGTH)
    if kind == "bernoulli":
        return (rng.random(LENGTH) < 0.7).astype(float), groups, 0.7
    if kind == "latency":
        return rng.lognormal(0.0, 0.6, LENGTH), groups, math.exp(0.18)
    users = rng.integers(0, 400, LENGTH)
    # Users differ as much from each other as requests of one user do, and each keeps its group.
    return rng.normal(0.0, 1.0, 400)[users] + rng.normal(0.0, 1.0, LENGTH), rng.integers(0, GROUPS, 400)[users], 0.0


def ever_wrong(values: NDArray[np.float64], groups: NDArray[np.int64], truth: float) -> bool:
    """Return whether an interval excludes the truth at any of many looks."""
    member = np.zeros((LENGTH, GROUPS))
    member[np.arange(LENGTH), groups] = 1.0
    sizes, sums = member.cumsum(0), (member * values[:, None]).cumsum(0)
    total, squares = values.cumsum(), (values * values).cumsum()
    for n in np.unique(np.geomspace(FEWEST, LENGTH, 60).astype(int)):
        counts = {"score.n": float(n), "score.sum": total[n - 1], "score.sq": squares[n - 1]}
        counts |= {f"score.n.{g}": sizes[n - 1, g] for g in range(GROUPS)}
        counts |= {f"score.sum.{g}": sums[n - 1, g] for g in range(GROUPS)}
        found = estimate(moments(counts, "score"))
        if found.low is not None and found.high is not None and not found.low <= truth <= found.high:
            return True
    return False


@pytest.mark.parametrize("kind", ["bernoulli", "latency", "users"])
def test_intervals_hold_at_all_times_together(kind: str) -> None:
    """Looked at sixty times, the interval of a history excludes the truth ever in about alpha of histories at most."""
    rng = np.random.default_rng(7)
    wrong = sum(ever_wrong(*histories(kind, rng)) for _ in range(REPEATS))
    # Three standard errors above alpha: a five percent rule that fails is an ordinary interval, wrong in a quarter.
    assert wrong / REPEATS <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / REPEATS)


def test_an_ordinary_interval_does_not_hold() -> None:
    """The same looks at intervals of 1.96 standard errors are wrong far more often, so the test above can fail."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(REPEATS):
        values, _, truth = histories("bernoulli", rng)
        n = np.arange(1, LENGTH + 1)
        mean = values.cumsum() / n
        error = np.sqrt(np.maximum(mean * (1 - mean), 1e-12) / n)
        wrong += bool((np.abs(mean - truth) > 1.96 * error)[FEWEST - 1 :].any())
    assert wrong / REPEATS > 3 * ALPHA


def test_a_real_difference_is_found() -> None:
    """Twenty points of quality between two arms are decided after some hundred judgements each, with the right sign."""
    rng = np.random.default_rng(3)

    def arm(rate: float) -> Moments:
        events = (observed("score", float(rng.random() < rate), int(rng.integers(0, 4_096))) for _ in range(600))
        return moments(summed(*events), "score")

    found = difference(arm(0.8), arm(0.6))
    assert found.decided
    assert found.low is not None
    assert found.low > 0.0


@settings(deadline=None)
@given(st.floats(1e-9, 1e3), st.floats(1.0, 1e6))
def test_the_width_is_that_of_the_paper(of_one: float, n: float) -> None:
    """For independent observations it is sigma * sqrt(2 (n r2 + 1) / (n2 r2) * log(sqrt(n r2 + 1) / alpha))."""
    log = -2 * math.log(ALPHA)
    r2 = (log + math.log(log) + 1) / 1_000
    paper = math.sqrt(of_one * 2 * (n * r2 + 1) / (n * n * r2) * math.log(math.sqrt(n * r2 + 1) / ALPHA))
    assert half_width(of_one / n, of_one) == pytest.approx(paper, rel=1e-9)


def test_too_little_has_no_interval() -> None:
    """Without observations there is no mean; with few of them, or of few units, there is no interval."""
    assert estimate(moments({}, "cost")).mean is None
    few = summed(*(observed("cost", float(i), i) for i in range(FEWEST - 1)))
    assert (estimate(moments(few, "cost")).mean, estimate(moments(few, "cost")).low) == ((FEWEST - 2) / 2, None)
    one_unit = summed(*(observed("cost", float(i), 5) for i in range(1_000)))
    assert estimate(moments(one_unit, "cost")).low is None
    with pytest.raises(ValueError, match="unknown metric 'price'"):
        moments({}, "price")


def test_units_divided_as_meant_raise_no_alarm() -> None:
    """In 200 experiments whose shares move half-way, looked at all the time, none is said to be skewed."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(200):
        units, chance = np.zeros(3), 0.0
        for shares, n in ((np.array([0.5, 0.3, 0.2]), 60), (np.array([0.1, 0.3, 0.6]), 60)):
            for _ in range(n):
                drawn = rng.multinomial(20, shares)
                units += drawn
                chance += float(drawn @ np.log(shares))
                alarms += skew(units.tolist(), chance, [0.5, 0.3, 0.2]).alarm
    assert alarms == 0


def test_a_skew_is_noticed() -> None:
    """Units that arrive 45 to 55 where they should be even raise the alarm before there are four thousand."""
    found = skew([1_800.0, 2_200.0], 4_000 * math.log(0.5), [0.5, 0.5])
    assert (found.alarm, found.units) == (True, 4_000)
    assert found.p < 1e-6
    assert not skew([0.0, 0.0], 0.0, [0.5, 0.5]).alarm


def outcome(status: Status, **changes: object) -> Outcome:
    """Return the end of a request."""
    fields = {"cost_usd": 0.25, "latency_s": 2.0, **changes}
    return Outcome("d", "r", 0.0, "small", status, **fields)  # type: ignore[arg-type]


def test_what_the_end_of_a_request_adds() -> None:
    """An answer counts with cost and latency, a failure as such, a cancelled or cached one only as having been."""
    done = ended(outcome(Status.SUCCESS), 33)
    assert {done[name] for name in ("ok", "cost.sum", "cost.sum.1", "latency.sq")} == {1.0, 0.25, 4.0}
    assert done["failure.sum"] == 0.0
    failed = ended(outcome(Status.FAILURE), 0)
    assert (failed["failed"], failed["failure.sum"], "cost.n" in failed) == (1.0, 1.0, False)
    assert ended(outcome(Status.CANCELLED), 0) == {"cancelled": 1.0}
    assert "latency.n" not in ended(outcome(Status.SUCCESS, cached=True), 0)
    assert "cost.n" not in ended(outcome(Status.SUCCESS, cost_usd=None), 0)


def test_a_changed_mind_is_counted_once() -> None:
    """A score that is corrected leaves the counters as if it had been right from the start."""
    told = summed(rejudged(None, 0.2, 7), rejudged(0.2, 0.8, 7), rejudged(0.8, 0.8, 7), rejudged(None, None, 7))
    assert told == pytest.approx(dict(rejudged(None, 0.8, 7)))


def test_the_cell_of_an_unreadable_unit_is_the_first() -> None:
    """A decision from another version counts in some group rather than nowhere."""
    assert cell_of("odd") == cell_of("") == 0
