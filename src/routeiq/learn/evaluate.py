"""How good a router is on recorded outcomes: its cost-quality curve, AIQ, saving, and what it must be compared with.

Owns the definitions, which are those of the field's cost-quality sweep (RouterBench, arXiv 2403.12031) with the best
fixed model chosen on the training prompts:

- curve: for lambda in 0 and 120 values from 1e-4 to 1e3, each prompt goes to the model with the highest predicted score
  minus lambda times the model's mean training cost divided by the pool's mean cost; a point is (mean cost, mean score),
  the curve is the upper hull of the points.
- AIQ: mean of the hull over 400 evenly spaced costs from the cheapest to the dearest single model.
- saving at x: 1 - cost at which the hull reaches x times the best fixed model's score, over that model's cost.
- zero router: the hull of the single models. Oracle: the best score of every prompt, at the lowest cost that gives it.

It does not know how scores are predicted.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from routeiq.core.errors import DataError
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.table import Floats

Choices: TypeAlias = NDArray[np.intp]

LAMBDAS: Floats = np.concatenate([[0.0], np.logspace(-4, 3, 120)])
AIQ_POINTS = 400
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What is known from the training prompts: each model's mean score and mean cost, shape (m,).

    A model without any known cost counts as the dearest: a missing price must not look cheap. One without any score
    counts as 0: nobody would fix on it.
    """

    score: Floats
    cost_usd: Floats

    @classmethod
    def of(cls, train: OutcomeMatrix) -> "Reference":
        """Return the reference of training prompts."""
        cost = train.mean_cost()
        known = cost[~np.isnan(cost)]
        score = np.nan_to_num(train.mean_score(), nan=0.0)
        return cls(score, np.nan_to_num(cost, nan=float(known.max()) if known.size else 0.0))

    @property
    def best(self) -> int:
        """Position of the best fixed model; the cheaper one among equals."""
        return int(np.lexsort((self.cost_usd, -self.score))[0])

    @property
    def cheapest(self) -> int:
        """Position of the model with the lowest mean cost; the better one among equals."""
        return int(np.lexsort((-self.score, self.cost_usd))[0])

    @property
    def relative_cost(self) -> Floats:
        """Mean cost over the pool's mean cost, shape (m,); zeros when everything is free."""
        mean = float(self.cost_usd.mean())
        return self.cost_usd / mean if mean > 0 else np.zeros(self.cost_usd.size)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Prompts on which routers are compared: the ones every model has a score for, with every cost filled in.

    `score` and `cost_usd` have shape (n, m). A cost that was not recorded is the model's mean over these prompts.
    """

    score: Floats
    cost_usd: Floats

    @classmethod
    def of(cls, prompts: OutcomeMatrix, reference: Reference) -> "Judged":
        """Return the complete prompts of a matrix; raises DataError when there is none."""
        complete = prompts.complete()
        if not len(complete):
            raise DataError(
                f"none of {len(prompts)} prompts has a score of every one of {len(prompts.models)} models; "
                "leave out models with --models"
            )
        mean = complete.mean_cost()
        mean = np.where(np.isnan(mean), reference.cost_usd, mean)
        return cls(complete.score, np.where(np.isnan(complete.cost_usd), mean, complete.cost_usd))

    def __len__(self) -> int:
        return int(self.score.shape[0])

    def taken(self, choices: Choices) -> tuple[Floats, Floats]:
        """Return score and cost of chosen models, each of shape (..., n) like `choices`."""
        rows = np.arange(len(self))
        return self.score[rows, choices], self.cost_usd[rows, choices]


@dataclass(frozen=True, slots=True)
class Measures:
    """What a router reaches: mean score and cost at lambda 0, AIQ, and savings.

    AIQ is NaN for a single point, which is no curve; a saving is NaN where the score is never reached.
    """

    score: float
    cost_usd: float
    aiq: float
    saving98: float
    saving100: float
    saving95: float = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A paired difference with the bounds of its 95 % bootstrap interval."""

    difference: float
    low: float
    high: float


def choose(predicted: Floats, reference: Reference, lambdas: Floats = LAMBDAS) -> Choices:
    """Return the model chosen for each prompt at each lambda, shape (len(lambdas), n); the cheapest among equals.

    `predicted` has shape (n, m); NaN, for no opinion, is never chosen.
    """
    by_cost = np.argsort(reference.cost_usd, kind="stable")
    predicted, price = np.nan_to_num(predicted[:, by_cost], nan=-np.inf), reference.relative_cost[by_cost]
    return np.stack([by_cost[(predicted - weight * price).argmax(axis=1)] for weight in lambdas])


def hull(cost: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return the vertices of the upper, rising hull of points, ordered by cost; any mixture of points lies below it."""
    kept: list[tuple[float, float]] = []
    for c, s in sorted(zip(cost.tolist(), score.tolist(), strict=True), key=lambda p: (p[0], -p[1])):
        if kept and s <= kept[-1][1]:
            continue
        while len(kept) > 1 and _turns_up(kept[-2], kept[-1], (c, s)):
            kept.pop()
        kept.append((c, s))
    points = np.array(kept)
    return points[:, 0], points[:, 1]


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def aiq(cost: Floats, score: Floats, low: float, high: float) -> float:
    """Return the mean height of a hull between two costs; outside its vertices the hull is level."""
    return float(np.interp(np.linspace(low, high, AIQ_POINTS), cost, score).mean())


def saving(cost: Floats, score: Floats, wanted: float, price: float) -> float:
    """Return 1 - (cost at which a hull reaches a score) / price; NaN where it never does or the price is 0."""
    if wanted > score[-1] or price <= 0:
        return float("nan")
    return float(1.0 - np.interp(wanted, score, cost) / price)


def measure(predicted: Floats, judged: Judged, reference: Reference) -> Measures:
    """Return the measures of a router that predicts scores of shape (n, m) for the judged prompts."""
    return measure_choices(choose(predicted, reference), judged, reference)


def measure_choices(choices: Choices, judged: Judged, reference: Reference) -> Measures:
    """Return the measures of choices of shape (points, n), the first of which is quality alone (lambda 0)."""
    scores, costs = judged.taken(choices)
    return _measures(costs.mean(axis=1), scores.mean(axis=1), judged.cost_usd.mean(axis=0), judged.score.mean(axis=0),
                     reference)  # fmt: skip


def _measures(cost: Floats, score: Floats, fixed_cost: Floats, fixed_score: Floats, reference: Reference) -> Measures:
    top, price = float(fixed_score[reference.best]), float(fixed_cost[reference.best])
    vertices = hull(cost, score)
    return Measures(
        score=float(score[0]),
        cost_usd=float(cost[0]),
        aiq=aiq(*vertices, float(fixed_cost.min()), float(fixed_cost.max())) if cost.size > 1 else float("nan"),
        saving98=saving(*vertices, 0.98 * top, price),
        saving100=saving(*vertices, top, price),
        saving95=saving(*vertices, 0.95 * top, price),
    )


def cost_weight(choices: Choices, judged: Judged, reference: Reference, share: float) -> float:
    """Return the largest lambda up to which every lambda keeps a share of the best fixed model's score.

    `choices` has shape (len(LAMBDAS), n). The answer is 0 when quality alone does not reach that much. It is what
    `objective.cost_weight` has to be for the same trade in service.
    """
    scores, _ = judged.taken(choices)
    enough = scores.mean(axis=1) >= share * float(judged.score[:, reference.best].mean())
    reached = int(np.argmin(enough)) if not enough.all() else enough.size
    return float(LAMBDAS[reached - 1]) if reached else 0.0


def fixed(position: int, judged: Judged, reference: Reference) -> Measures:
    """Return the measures of sending everything to one model."""
    return measure_choices(np.full((1, len(judged)), position), judged, reference)


def zero_router(judged: Judged, reference: Reference) -> Measures:
    """Return the measures of the best mixture of fixed models; score and cost are those of the best fixed one."""
    models = judged.score.shape[1]
    order = [reference.best, *(j for j in range(models) if j != reference.best)]
    return measure_choices(np.tile(np.array(order)[:, None], (1, len(judged))), judged, reference)


def random_choice(judged: Judged, reference: Reference) -> Measures:
    """Return the expected measures of choosing any model with the same probability."""
    cost, score = judged.cost_usd.mean(axis=0), judged.score.mean(axis=0)
    return _measures(cost.mean(keepdims=True), score.mean(keepdims=True), cost, score, reference)


def oracle(judged: Judged, reference: Reference) -> Measures:
    """Return the measures of knowing every score and cost; no router can be better."""
    price = reference.relative_cost * reference.cost_usd.mean()
    unit = judged.cost_usd / price.mean() if price.mean() > 0 else np.zeros(judged.cost_usd.shape)
    tie_break = np.maximum(unit, 0.0) / (1.0 + unit.max()) * 1e-9
    choices = np.stack([(judged.score - weight * unit - tie_break).argmax(axis=1) for weight in LAMBDAS])
    return measure_choices(choices, judged, reference)


def baselines(judged: Judged, reference: Reference) -> dict[str, Measures]:
    """Return what every router is compared with, by name."""
    return {
        "random": random_choice(judged, reference),
        "cheapest": fixed(reference.cheapest, judged, reference),
        "best_fixed": fixed(reference.best, judged, reference),
        "zero_router": zero_router(judged, reference),
        "oracle": oracle(judged, reference),
    }


def paired(
    first: Choices,
    second: Choices,
    judged: Judged,
    reference: Reference,
    statistic: Callable[[Measures], float] = lambda m: m.score,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> Interval:
    """Return the difference first - second of a measure, with a percentile interval over resampled prompts.

    Both routers and the fixed models are measured on the same resample, so that what is common to them cancels out.
    """
    sides = [judged.taken(choices) for choices in (first, second)]
    chance, n = np.random.default_rng(seed), len(judged)

    def difference(weight: Floats) -> float:
        fixed_cost, fixed_score = weight @ judged.cost_usd, weight @ judged.score
        values = [statistic(_measures(costs @ weight, scores @ weight, fixed_cost, fixed_score, reference))
                  for scores, costs in sides]  # fmt: skip
        return values[0] - values[1]

    draws = [difference(chance.multinomial(n, np.full(n, 1.0 / n)) / n) for _ in range(resamples)]
    return Interval(difference(np.full(n, 1.0 / n)), *_bounds(draws))


def spread(
    choices: Choices, judged: Judged, reference: Reference, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Interval]:
    """Return every measure of choices (points, n) by name, with a percentile interval over resampled prompts.

    The bounds of a saving are those over the resamples in which the score was reached; NaN where it was in fewer than
    half of them.
    """
    scores, costs = judged.taken(choices)
    chance, n = np.random.default_rng(seed), len(judged)

    def measured(weight: Floats) -> dict[str, float]:
        return asdict(_measures(costs @ weight, scores @ weight, weight @ judged.cost_usd, weight @ judged.score,
                                reference))  # fmt: skip

    draws = [measured(chance.multinomial(n, np.full(n, 1.0 / n)) / n) for _ in range(resamples)]
    return {
        name: Interval(value, *_bounds([draw[name] for draw in draws]))
        for name, value in measured(np.full(n, 1.0 / n)).items()
    }


def _bounds(draws: Sequence[float]) -> tuple[float, float]:
    known = np.asarray(draws)[~np.isnan(draws)]
    if 2 * known.size < len(draws):
        return float("nan"), float("nan")
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)
