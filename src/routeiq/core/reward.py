"""One definition of how good an answer was, used when deciding, when learning and when evaluating."""

from collections.abc import Iterable
from dataclasses import dataclass

from routeiq.core.outcome import Feedback, Outcome, Status


@dataclass(frozen=True, slots=True)
class Objective:
    """What the operator trades against quality.

    `cost_weight` is score points per US dollar of a request relative to the mean cost of the candidates: utility is
    score - cost_weight * cost / mean cost - latency_weight * seconds. A weight of 0 means "quality only".
    """

    cost_weight: float = 0.0
    latency_weight: float = 0.0


def reward(
    score: float, cost_usd: float | None, latency_s: float | None, mean_cost_usd: float, objective: Objective
) -> float:
    """Return the utility of an answer under an objective; unknown cost or latency counts as nothing.

    `mean_cost_usd` is the mean over the candidates of what the request would have cost, in US dollars; where it is 0
    (free models) cost does not count.
    """
    value = score
    if cost_usd is not None and mean_cost_usd > 0:
        value -= objective.cost_weight * cost_usd / mean_cost_usd
    if latency_s is not None:
        value -= objective.latency_weight * latency_s
    return value


def ended_score(outcome: Outcome, answered: float | None) -> float | None:
    """Return the quality (0..1) that the end of a request stands for while nobody has judged the answer, or None.

    `answered` is what an answer counts as, None when it says nothing; then a failure says nothing either, because of
    failures alone every model would be learned to be bad. A request that the caller gave up on says nothing.
    """
    if answered is None or outcome.status is Status.CANCELLED:
        return None
    return answered if outcome.status is Status.SUCCESS else 0.0


def judged_score(effective: Iterable[Feedback], unjudged: float | None) -> float | None:
    """Return the quality of an answer: the mean of the scores that count, `unjudged` without any.

    What it cost and how long it took are not in it: a learner predicts quality, and `reward` takes cost and latency
    off when deciding.
    """
    scores = [given.score for given in effective if given.score is not None]
    return sum(scores) / len(scores) if scores else unjudged
