"""What the counts of an experiment say, in numbers that may be looked at as often as one likes.

Owns the statistics: intervals that hold at all times together, differences to the control, and the check that units
were divided as they were meant to be. Counting is `guard.experiments`'s.

Intervals are asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021, arXiv 2103.06476,
theorem 2.2; the boundary is Robbins' normal mixture). An ordinary interval that is looked at until it excludes zero
does so sooner or later whatever the truth; these do with probability `alpha` at most, however long one looks.

Requests of one unit resemble each other, so requests are not independent. Units are therefore divided into random
groups of which each has some, and the variance of a mean is taken between groups (the random group method, Wolter 2007,
chapter 2), unless the variance between requests says more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routeiq.core.arm_counts import GROUPS, METRICS
from routeiq.core.experiment import Plan

ALPHA = 0.05
"""Chance that an interval is ever wrong."""

SKEW_ALPHA = 0.001
"""Chance that a sound experiment is ever said to be skewed."""

BEST_AT = 1_000
"""For how many observations intervals are narrowest; at any other number they are somewhat wider than they could be."""

FEWEST = 100
"""Below how many observations there is no interval: the theory is one of large numbers."""

FEWEST_GROUPS = 10
"""Below how many groups with any unit in them there is no interval: the variance between them would be a guess."""

PRIOR = 20.0
"""How many units the alternative of the skew check is worth before any is counted."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval; `low` and `high` are None while there is too little to say. `n` observations."""

    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def decided(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


@dataclass(frozen=True, slots=True)
class Moments:
    """A mean, the variance of that mean, and the variance of a single observation; unknown ones are NaN."""

    n: int
    mean: float
    of_mean: float
    of_one: float

    @property
    def known(self) -> bool:
        """Whether there is enough for an interval."""
        return self.n >= FEWEST and math.isfinite(self.of_mean)


@dataclass(frozen=True, slots=True)
class Skew:
    """Whether units were divided as meant. `evidence` is an e-value; its inverse bounds the p-value at all times."""

    units: int
    evidence: float
    alarm: bool

    @property
    def p(self) -> float:
        """A p-value that holds however often one looks."""
        return min(1.0, 1.0 / self.evidence) if self.evidence > 0 else 1.0


def moments(counts: Mapping[str, float], metric: str) -> Moments:
    """Return the moments of a metric (`score`, `cost`, `latency`, `failure`) from the counts of one arm."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; one of {', '.join(METRICS)}")
    n, total, squares = (counts.get(f"{metric}.{part}", 0.0) for part in ("n", "sum", "sq"))
    if n < 1:
        return Moments(0, math.nan, math.nan, math.nan)
    mean = total / n
    if n < 2:
        return Moments(1, mean, math.nan, math.nan)
    of_one = max(0.0, squares / n - mean * mean) * n / (n - 1)
    between = _between_groups(counts, metric, mean, n)
    return Moments(int(n), mean, math.nan if math.isnan(between) else max(of_one / n, between), of_one)


def _between_groups(counts: Mapping[str, float], metric: str, mean: float, n: float) -> float:
    """Return the variance of a mean as the random groups show it, NaN when there are too few."""
    found = [(counts.get(f"{metric}.n.{g}", 0.0), counts.get(f"{metric}.sum.{g}", 0.0)) for g in range(GROUPS)]
    deviations = [total - mean * size for size, total in found if size > 0]
    k = len(deviations)
    if k < FEWEST_GROUPS:
        return math.nan
    return k / (k - 1) * math.fsum(d * d for d in deviations) / (n * n)


def half_width(of_mean: float, of_one: float, alpha: float = ALPHA) -> float:
    """Return half the width of a confidence sequence at a moment.

    With V the variance of the mean and t2 that of the mixing distribution of the effect it is
    sqrt(V (V + t2) / t2 * log((V + t2) / (V alpha^2))), which for V = s2 / n is the boundary of the paper.
    """
    if of_mean <= 0.0 or of_one <= 0.0:
        return 0.0
    log = -2.0 * math.log(alpha)
    mixing = of_one * (log + math.log(log) + 1.0) / BEST_AT
    ratio = (of_mean + mixing) / mixing
    return math.sqrt(of_mean * ratio * math.log((of_mean + mixing) / (of_mean * alpha * alpha)))


def estimate(found: Moments, alpha: float = ALPHA) -> Estimate:
    """Return the mean of an arm with its confidence sequence."""
    if found.n == 0:
        return Estimate(0)
    if not found.known:
        return Estimate(found.n, found.mean)
    half = half_width(found.of_mean, found.of_one, alpha)
    return Estimate(found.n, found.mean, found.mean - half, found.mean + half)


def difference(arm: Moments, control: Moments, alpha: float = ALPHA) -> Estimate:
    """Return how much higher the mean of an arm is than the control's, with its confidence sequence."""
    n = min(arm.n, control.n)
    if n == 0:
        return Estimate(0)
    mean = arm.mean - control.mean
    if not (arm.known and control.known):
        return Estimate(n, mean)
    half = half_width(arm.of_mean + control.of_mean, arm.of_one + control.of_one, alpha)
    return Estimate(n, mean, mean - half, mean + half)


def skew_of(plan: Plan, counts: Mapping[str, Mapping[str, float]]) -> Skew:
    """Return whether the units of an experiment were divided as meant; `counts` are the counters by arm."""
    units = [counts[arm].get("units", 0.0) for arm in plan.arms]
    chance = math.fsum(counts[arm].get("log_chance", 0.0) for arm in plan.arms)
    shares = plan.stages[0][1].shares
    return skew(units, chance, [shares.get(arm, 0.0) for arm in plan.arms])


def skew(units: Sequence[float], log_chance: float, shares: Sequence[float], alpha: float = SKEW_ALPHA) -> Skew:
    """Return whether the units of the arms, counted once each, are those that the shares make likely.

    `units` are the counts by arm, `log_chance` the sum over all units of the logarithm of the share that the unit's arm
    had when it was counted, `shares` those with which the experiment began. The test is the sequential multinomial one
    of Lindon and Malek (2022, arXiv 2011.03567): the likelihood of a Dirichlet mixture over that of the shares, a
    martingale while these are true, also when they move, because each unit counts with the shares of its moment.
    """
    prior = [1.0 + PRIOR * share for share in shares]
    total, n = math.fsum(prior), math.fsum(units)
    log = math.lgamma(total) - math.lgamma(total + n) - log_chance
    log += math.fsum(math.lgamma(a + x) - math.lgamma(a) for a, x in zip(prior, units, strict=True))
    evidence = math.exp(min(log, 700.0))
    return Skew(int(n), evidence, evidence >= 1.0 / alpha)
