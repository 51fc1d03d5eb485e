"""What the operator wants of a router: a trade, a floor under the quality, or a budget; and what a router gains by it.

Owns how an objective is written, the cost weight that serves it, and the gain over what needs no router: the best fixed
model, or the best mixture of fixed models (the zero router). Prediction and choice are elsewhere; this module looks at
points of (score, cost) only.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from routeiq.core.errors import ConfigError, nearest
from routeiq.learn import evaluate
from routeiq.learn.evaluate import Reference
from routeiq.routing.table import Floats


class Wanted(StrEnum):
    """The kinds of objectives.

    When none was named a router may be better in either of two ways: score at equal cost, over the whole `CURVE`, or
    cost at equal score, at the share of the best fixed model's score that is `KEPT`.
    """

    CURVE = "score at equal cost"
    KEPT = "cost at equal score"
    TRADEOFF = "tradeoff"
    QUALITY_FLOOR = "quality_floor"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective.

    `amount` is lambda of a trade-off, a mean score of a floor, US dollars a request of a budget, or the share kept.
    """

    wanted: Wanted = Wanted.CURVE
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> "Goal":
        """Return the objective of `tradeoff=LAMBDA`, `quality_floor=SCORE` or `budget=USD`; raises ConfigError."""
        if not text:
            return cls()
        name, _, value = text.partition("=")
        known = [w.value for w in Wanted if w not in (Wanted.CURVE, Wanted.KEPT)]
        if name not in known:
            raise ConfigError(f"--objective {text!r}: unknown objective {name!r}; {nearest(name, known)}")
        try:
            amount = float(value)
        except ValueError:
            amount = float("nan")
        top = 1.0 if name == Wanted.QUALITY_FLOOR else float("inf")
        if not 0.0 <= amount <= top or amount == float("inf"):
            expected = "a mean score between 0 and 1" if top == 1.0 else "a number of at least 0"
            raise ConfigError(f"--objective {text!r}: {name} is {value!r}, expected {expected}")
        return cls(Wanted(name), amount)

    def __str__(self) -> str:
        named = self.wanted not in (Wanted.CURVE, Wanted.KEPT)
        return f"{self.wanted.value}={self.amount:g}" if named else self.wanted.value

    def lambdas(self) -> Floats:
        """Return the cost weights at which a router must be looked at for this objective, ascending."""
        own = [self.amount] if self.wanted is Wanted.TRADEOFF else []
        return np.unique(np.concatenate([evaluate.LAMBDAS[::3], own]))

    def cost_weight(self, lambdas: Floats, score: Floats, cost: Floats) -> float:
        """Return the cost weight that serves the objective, given mean score and cost at each (L,).

        For a floor it is the largest up to which every one keeps the score, for a budget the smallest that keeps it.
        """
        if self.wanted is Wanted.TRADEOFF:
            return self.amount
        if self.wanted is Wanted.QUALITY_FLOOR:
            reached = int(np.argmin(np.append(score >= self.amount, False)))
            return float(lambdas[reached - 1]) if reached else 0.0
        if self.wanted is Wanted.BUDGET:
            within = cost <= self.amount
            return float(lambdas[int(np.argmax(within))] if within.any() else lambdas[-1])
        return 0.0

    def gain(self, lambdas: Floats, router: tuple[Floats, Floats], fixed: tuple[Floats, Floats], reference: Reference,
             ) -> float:  # fmt: skip
        """Return what a router gains over fixed models.

        `router` are its mean scores and costs at each cost weight (L,), `fixed` those of every model (m,). The gain is
        in AIQ for the curve, in score less cost for a trade-off, in score for a budget, and for a score that is kept
        the part of the cost that is saved (1 where only the router reaches it, -1 where only fixed models do).
        """
        if self.wanted is Wanted.TRADEOFF:
            at = int(np.searchsorted(lambdas, self.amount))
            price = self.amount / max(float(reference.cost_usd.mean()), 1e-300)
            best = int((reference.score - price * reference.cost_usd).argmax())
            return float(router[0][at] - price * router[1][at] - (fixed[0][best] - price * fixed[1][best]))
        own, zero = evaluate.hull(router[1], router[0]), evaluate.hull(fixed[1], fixed[0])
        if self.wanted is Wanted.QUALITY_FLOOR:
            return _cheaper(self.amount, own, zero)
        if self.wanted is Wanted.KEPT:
            return _cheaper(self.amount * float(fixed[0][reference.best]), own, zero)
        if self.wanted is Wanted.BUDGET:
            return _affordable(*own, self.amount) - _affordable(*zero, self.amount)
        low, high = float(fixed[1].min()), float(fixed[1].max())
        return evaluate.aiq(*own, low, high) - evaluate.aiq(*zero, low, high)


def _cheaper(score: float, own: tuple[Floats, Floats], zero: tuple[Floats, Floats]) -> float:
    """Return the part of the cost that a hull saves at a score, of what another one costs."""
    reached, plain = (score <= hull[1][-1] for hull in (own, zero))
    if not (reached and plain):
        return float(reached) - float(plain)
    spent, usual = (float(np.interp(score, hull[1], hull[0])) for hull in (own, zero))
    return 1.0 - spent / usual if usual > 0 else 0.0


def _affordable(cost: Floats, score: Floats, budget: float) -> float:
    """Return the score that a hull reaches within a budget; 0 when even its cheapest point is dearer."""
    return float(np.interp(budget, cost, score)) if budget >= cost[0] else 0.0
