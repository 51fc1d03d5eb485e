"""Built-in pickers: from utilities to the probabilities of being chosen.

Every picker states its probabilities, so every decision has a propensity and can be replayed offline.
"""

from dataclasses import dataclass

import numpy as np

from routeiq.core.decision import Reason
from routeiq.routing.stages import Pick
from routeiq.routing.table import Floats


def best_index(utility: Floats, cost_usd: Floats) -> int:
    """Return the position of the highest utility; among equals the cheapest, then the first in the operator's order.

    Breaking ties by price keeps a router whose scores are all alike from collapsing to the dearest model
    (arXiv 2602.03478).
    """
    top = int(utility.argmax())
    tied = np.flatnonzero(utility == utility[top])
    if tied.size == 1:
        return top
    price = np.nan_to_num(cost_usd[tied], nan=np.inf)
    return int(tied[price.argmin()])


def draw_from(probability: Floats, draw: float) -> Pick:
    """Return the position on which a uniform number in [0, 1) falls."""
    steps = probability.cumsum()
    position = int(steps.searchsorted(draw * steps[-1], side="right"))
    return Pick(min(position, int(probability.nonzero()[0][-1])), probability)


@dataclass(frozen=True, slots=True)
class Best:
    """Always the best utility."""

    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.BEST

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose the best with probability 1."""
        probability = np.zeros(utility.size)
        position = best_index(utility, cost_usd)
        probability[position] = 1.0
        return Pick(position, probability)


@dataclass(frozen=True, slots=True)
class EvenAmongBest:
    """One of the best utilities, each with the same probability: for scores that are often equal, such as load."""

    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.BEST

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose with probability 1 / ties among the best."""
        tied = utility == utility.max()
        return draw_from(tied / np.count_nonzero(tied), draw)


@dataclass(frozen=True, slots=True)
class Proportional:
    """Drawn in proportion to utility (weights); where no utility is positive all are alike."""

    on_best: Reason = Reason.DRAWN
    off_best: Reason = Reason.DRAWN

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose with probability utility / sum of utilities, negative ones counted as 0."""
        weight = np.maximum(utility, 0.0)
        total = weight.sum()
        return draw_from(weight / total if total > 0 else np.full(utility.size, 1.0 / utility.size), draw)


@dataclass(frozen=True, slots=True)
class Rotate:
    """Each candidate in turn, whatever its utility. Over many requests each has the same share, independent of them,
    so the stated probability is 1 / m.
    """

    on_best: Reason = Reason.DRAWN
    off_best: Reason = Reason.DRAWN

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose the candidate whose turn it is."""
        return Pick(turn % utility.size, np.full(utility.size, 1.0 / utility.size))


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """The best, but with probability `epsilon` any of them alike: exploration with a stated budget."""

    epsilon: float
    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.EXPLORATION

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose with probability epsilon / m for each and the rest for the best."""
        probability = np.full(utility.size, self.epsilon / utility.size)
        probability[best_index(utility, cost_usd)] += 1.0 - self.epsilon
        return draw_from(probability, draw)


@dataclass(frozen=True, slots=True)
class Softmax:
    """Probability exp(utility / temperature), normalised: explores most where utilities are close."""

    temperature: float
    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.EXPLORATION

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose from the Boltzmann distribution over utilities."""
        weight = np.exp((utility - utility.max()) / self.temperature)
        return draw_from(np.asarray(weight / weight.sum()), draw)


@dataclass(frozen=True, slots=True)
class Thompson:
    """Each candidate as often as it is likely to be the best, given how uncertain utilities are (Thompson 1933).

    The probabilities are computed and one of them is drawn, where the usual form draws utilities and takes the best:
    the same choice with the same frequency, but with a probability that can be stated.
    """

    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.EXPLORATION

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose the best: nothing says that it might not be."""
        return Best().pick(utility, cost_usd, draw, turn)

    def pick_uncertain(self, utility: Floats, deviation: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Draw from the probabilities of being the best."""
        if utility.size == 1 or not deviation.any():
            return self.pick(utility, cost_usd, draw, turn)
        return draw_from(best_probability(utility, deviation), draw)


@dataclass(frozen=True, slots=True)
class UpperBound:
    """The candidate whose utility could be highest: utility plus `width` standard deviations (LinUCB, arXiv 1003.0146).

    No chance is in it, so the stated probability is 1 and such decisions cannot be replayed for other candidates.
    """

    width: float = 1.0
    on_best: Reason = Reason.BEST
    off_best: Reason = Reason.EXPLORATION

    def pick(self, utility: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose the best."""
        return Best().pick(utility, cost_usd, draw, turn)

    def pick_uncertain(self, utility: Floats, deviation: Floats, cost_usd: Floats, draw: float, turn: int) -> Pick:
        """Choose the highest upper bound."""
        return Best().pick(utility + self.width * deviation, cost_usd, draw, turn)


_STEPS = 64
"""Intervals over which the chance to be the best is summed; it is off by less than 0.005 for two candidates."""


def best_probability(mean: Floats, deviation: Floats) -> Floats:
    """Return the probability of each of m independent normal variables to be the largest, shape (m,), summing to 1.

    It is the integral of one variable's density times the distribution functions of all others, as a sum over the
    intervals in which the largest can lie.
    """
    # One that is much narrower than the others would fall between the edges.
    spread = np.maximum(deviation, max(1e-6, 0.05 * float(deviation.max())))
    low, high = float((mean - 5.0 * spread).max()), float((mean + 5.0 * spread).max())
    edges = np.linspace(low, high, _STEPS + 1)
    below = _normal((edges - mean[:, None]) / spread[:, None])
    inside = np.diff(below, axis=1)
    middle = np.maximum(0.5 * (below[:, 1:] + below[:, :-1]), 1e-300)
    total: Floats = (inside * np.exp(np.log(middle).sum(axis=0) - np.log(middle))).sum(axis=1)
    return np.asarray(total / total.sum())


def _normal(z: Floats) -> Floats:
    """Return the standard normal distribution function, to 1e-7 (Abramowitz and Stegun 1964, 26.2.17)."""
    far = np.abs(z)
    t = 1.0 / (1.0 + 0.2316419 * far)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = series * np.exp(-0.5 * far * far) * 0.3989422804014327
    return np.where(z > 0, 1.0 - tail, tail)
