"""Whether a learned router may be served at all, or the best fixed model is.

Owns the verdict and its words. Three things must hold, all on prompts that were left out: the heads tell models apart
(they lower the squared error of row-centred scores by more than three standard errors; on shuffled outcomes it stayed
below two), the gain under the operator's objective has a lower bound above zero, and the score at lambda 0 is not
worse than the best fixed model's by more than a point.
"""

from dataclasses import dataclass, replace

import numpy as np

from routeiq.learn.objective import Goal, Wanted
from routeiq.learn.selection import Field, Option, resampled
from routeiq.learn.stack import SIGNAL

DRAWS = 400
TAIL = 0.025
LOSS = -0.01
KEPT = 0.98
"""Share of the best fixed model's score at which costs are compared when no objective was named."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `refused` is None, or says in words why the best fixed model is served instead.

    `gain` is in the unit of the objective it was examined under, with the bounds of its 95 % interval; `cost_weight`
    serves the objective.
    """

    objective: str
    signal: float
    gain: float
    low: float
    high: float
    score_low: float
    cost_weight: float
    refused: str | None = None


def examine(field: Field, option: Option, goal: Goal) -> Verdict:
    """Return the verdict on an option under an objective.

    Without one, either score at equal cost or cost at equal score must be better; both are tried, each at half the
    chance of error.
    """
    found = _verdict(field, option, goal)
    if found.refused and goal.wanted is Wanted.CURVE:
        kept = _verdict(field, option, Goal(Wanted.KEPT, KEPT))
        found = kept if kept.refused is None else found
    return found


def _verdict(field: Field, option: Option, goal: Goal) -> Verdict:
    lambdas, n = goal.lambdas(), len(field.judged)
    weights = resampled(n, DRAWS, field.stack.lesson.seed + 1)
    fixed_score, fixed_cost = weights @ field.judged.score, weights @ field.judged.cost_usd
    gains, lead = np.zeros(len(weights)), np.zeros(len(weights))
    curve = np.zeros((2, lambdas.size))
    for run in field.runs:
        scores, costs = (part @ weights.T for part in field.judged.taken(field.choices(run, option, lambdas)))
        curve += np.stack([scores[:, 0], costs[:, 0]]) / len(field.runs)
        lead += (scores[0] - fixed_score[:, field.reference.best]) / len(field.runs)
        for w in range(len(weights)):
            fixed = (fixed_score[w], fixed_cost[w])
            gains[w] += goal.gain(lambdas, (scores[:, w], costs[:, w]), fixed, field.reference) / len(field.runs)
    low, high = np.quantile(gains[1:], [TAIL, 1.0 - TAIL])
    signal = min(field.stack.signal(run, option.heads, option.believed) for run in field.runs)
    found = Verdict(
        objective=str(goal),
        signal=signal,
        gain=float(gains[0]),
        low=float(low),
        high=float(high),
        score_low=float(np.quantile(lead[1:], TAIL)),
        cost_weight=goal.cost_weight(lambdas, *curve),
    )
    why = _objection(found, goal)
    return found if why is None else replace(found, cost_weight=0.0, refused=why)


def _objection(found: Verdict, goal: Goal) -> str | None:
    if not found.signal > SIGNAL:
        return (
            f"nothing in the prompts tells which model will do well: expected scores are nearer to the true ones than "
            f"the training means by {found.signal:.1f} standard errors, needed are {SIGNAL:g}"
        )
    if not found.low > 0.0:
        return (
            f"the gain under objective {goal} over fixed models is {found.gain:+.4f}, 95 % between {found.low:+.4f} "
            f"and {found.high:+.4f}: it is not shown to be above zero"
        )
    if found.score_low < LOSS:
        return f"the score may be up to {-100 * found.score_low:.1f} points below the best fixed model's"
    return None
