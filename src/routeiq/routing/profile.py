"""A profile is a strategy made ready: filters, weighted scorers, one picker and an objective, bound to a table.

Owns the arithmetic of one decision. Knows nothing of snapshots, aliases or requests beyond the view.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routeiq.core.decision import BREAKER
from routeiq.core.errors import NoCandidate
from routeiq.core.reward import Objective
from routeiq.routing.pickers import best_index
from routeiq.routing.stages import Filter, Pick, Picker, Prediction, Scorer, View
from routeiq.routing.table import TYPICAL_OUTPUT_TOKENS, Bools, Floats

UNKNOWN_PENALTY = 1.0
"""How far behind the worst known candidate one without a prediction is ranked, in score points."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything a decision found out about the candidates, as arrays of shape (n,).

    `filtered_by` names the filter that took a candidate out, "" for the others, whose positions are `left`.
    `probability` is 0 for those taken out. `expected_score` is None unless a scorer predicts quality. `chosen` and
    `best` (highest utility) are positions; they differ when the picker drew a worse one.
    """

    chosen: int
    best: int
    left: list[int]

    utility: Floats
    probability: Floats
    cost_usd: Floats
    filtered_by: tuple[str, ...]
    expected_score: Floats | None
    latency_s: Floats | None
    evidence: Floats | None
    typical_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A named strategy. `scorers` are pairs (scorer, weight); weights are normalised by their sum."""

    strategy: str
    filters: tuple[Filter, ...]
    scorers: tuple[tuple[Scorer, float], ...]
    picker: Picker
    objective: Objective = Objective()
    artifact: str | None = None
    embedder: str | None = None

    def assess(self, view: View, barred: Mapping[str, str], draw: float, turn: int) -> Assessment:
        """Filter, score and pick; raises NoCandidate when nothing is left.

        `barred` maps candidates that the host does not offer (cooling down, not permitted) to the word for it; those
        with the word "breaker" are taken out only while others are left, and are still ranked, behind them. `draw`
        and `turn` are the picker's.
        """
        filtered_by, eligible = self._filter(view, barred)
        predictions = [(scorer.predict(view), weight) for scorer, weight in self.scorers]
        cost = _expected_cost(view, predictions)
        latency = next((p.latency_s for p, _ in predictions if p.latency_s is not None), None)
        score, known = _combine(predictions, len(view.table))
        typical = next((p.typical_cost_usd for p, _ in predictions if p.typical_cost_usd), None)
        relative = _relative(cost, eligible, typical) if self.objective.cost_weight else cost
        utility = self._utility(score, known, relative, latency)
        left = eligible.nonzero()[0]
        offered, price = utility[left], cost[left]
        pick = self._pick(offered, price, _deviation(predictions), left, draw, turn)
        probability = np.zeros(len(view.table))
        probability[left] = pick.probability
        is_best = offered[pick.position] >= offered.max()
        return Assessment(
            chosen=int(left[pick.position]),
            best=int(left[pick.position if is_best else best_index(offered, price)]),
            left=left.tolist(),
            utility=utility,
            probability=probability,
            cost_usd=cost,
            filtered_by=filtered_by,
            expected_score=score if any(p.quality for p, _ in predictions) else None,
            latency_s=latency,
            evidence=next((p.evidence for p, _ in predictions if p.evidence is not None), None),
            typical_cost_usd=typical,
        )

    def _pick(
        self, utility: Floats, cost: Floats, deviation: Floats | None, left: NDArray[np.intp], draw: float, turn: int
    ) -> Pick:
        uncertain = getattr(self.picker, "pick_uncertain", None)
        if deviation is None or uncertain is None:
            return self.picker.pick(utility, cost, draw, turn)
        found: Pick = uncertain(utility, deviation[left], cost, draw, turn)
        return found

    def forbidden(self, view: View) -> dict[str, str]:
        """Return the candidates that a filter of permission takes out, and its name. Raises what the filter raises."""
        found: dict[str, str] = {}
        for stage in self.filters:
            if getattr(stage, "permission", False) and (excluded := stage.exclude(view)) is not None:
                found.update((view.table.names[i], stage.name) for i in np.flatnonzero(excluded))
        return found

    def _filter(self, view: View, barred: Mapping[str, str]) -> tuple[tuple[str, ...], Bools]:
        words = [barred.get(name, "") for name in view.table.names] if barred else [""] * len(view.table)
        resting = [at for at, word in enumerate(words) if word == BREAKER]
        for at in resting:
            words[at] = ""  # filters come first: what may not be used is not to be tried last either
        eligible = np.array([not word for word in words])
        for stage in self.filters:
            excluded = stage.exclude(view)
            if excluded is None:
                continue
            for i in np.flatnonzero(excluded & eligible):
                words[i] = stage.name
            eligible &= ~excluded
        if not eligible.any():
            counted = ", ".join(f"{words.count(word)} by {word}" for word in sorted(set(words)))
            raise NoCandidate(f"every candidate of {view.request.alias!r} was taken out: {counted}")
        if resting and (awake := eligible.copy())[resting].any():
            awake[resting] = False
            if awake.any():
                for at in resting:
                    words[at] = words[at] or BREAKER
                eligible = awake
        return tuple(words), eligible

    def _utility(self, score: Floats, known: Bools, relative_cost: Floats, latency: Floats | None) -> Floats:
        utility = score
        if self.objective.cost_weight:
            utility = utility - self.objective.cost_weight * relative_cost
        if self.objective.latency_weight and latency is not None:
            utility = utility - self.objective.latency_weight * _unknown_as_mean(latency)
        if known.all():
            return utility
        floor = float(utility[known].min()) if known.any() else 0.0
        return np.where(known, utility, floor - UNKNOWN_PENALTY)


def _relative(cost: Floats, eligible: Bools, typical: float | None) -> Floats:
    """Return cost over the typical one, or else over the mean of the eligible candidates.

    1 where unknown; zeros when everything is free.
    """
    if typical:
        return np.where(np.isnan(cost), 1.0, cost / typical)
    known = cost[eligible & ~np.isnan(cost)]
    mean = float(known.mean()) if known.size else 0.0
    return np.where(np.isnan(cost), 1.0, cost / mean) if mean > 0 else np.zeros(cost.size)


def _unknown_as_mean(amount: Floats) -> Floats:
    known = amount[~np.isnan(amount)]
    return np.where(np.isnan(amount), known.mean() if known.size else 0.0, amount)


def _combine(predictions: list[tuple[Prediction, float]], n: int) -> tuple[Floats, Bools]:
    """Return the weighted mean of scores, shape (n,), and where any scorer has an opinion."""
    if len(predictions) == 1:
        score = predictions[0][0].score
        return score, ~np.isnan(score)
    total, mass = np.zeros(n), np.zeros(n)
    for prediction, weight in predictions:
        has = ~np.isnan(prediction.score)
        total[has] += weight * prediction.score[has]
        mass[has] += weight
    known = mass > 0
    return np.divide(total, mass, out=np.full(n, np.nan), where=known), known


def _deviation(predictions: list[tuple[Prediction, float]]) -> Floats | None:
    """Return the standard deviation of the score, shape (n,), as the first scorer that states one has it."""
    for prediction, _ in predictions:
        if prediction.variance is not None:
            return np.asarray(np.sqrt(np.nan_to_num(np.maximum(prediction.variance, 0.0))))
    return None


def _expected_cost(view: View, predictions: list[tuple[Prediction, float]]) -> Floats:
    for prediction, _ in predictions:
        if prediction.cost_usd is not None:
            return prediction.cost_usd
    limit = view.request.output_tokens
    length = TYPICAL_OUTPUT_TOKENS if limit is None else min(limit, TYPICAL_OUTPUT_TOKENS)
    return view.table.cost(view.request.prompt_tokens, length)
