"""One definition of how good an answer was, used when deciding, when learning and when evaluating."""

from dataclasses import dataclass


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
