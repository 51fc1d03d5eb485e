"""Measures beside the cost-quality curve: two-model pools, the arena score, calibration, the table by category.

Owns their definitions, each with its source; docs/reference/measures.md says them in words. The curve, AIQ and savings
are `learn.evaluate`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeiq.learn.evaluate import Choices, Judged, Reference
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.table import Floats

ARENA_BETA = 0.1
ARENA_DEAREST, ARENA_CHEAPEST = 200.0, 0.0044
"""US dollars per thousand prompts between which the arena score places a router's cost."""

BINS = 10


def arena_score(score: float, cost_usd: float) -> float:
    """Return RouterArena's score (arXiv 2510.00202) of a mean score and a mean cost per prompt in US dollars.

    1.1 A C / (.1 A + C) with C = (log2 200 - log2 c) / (log2 200 - log2 .0044), c in dollars per thousand prompts,
    cut to 0..1.
    """
    per_thousand = min(max(cost_usd * 1000, ARENA_CHEAPEST), ARENA_DEAREST)
    cheapness = float(np.log2(ARENA_DEAREST / per_thousand) / np.log2(ARENA_DEAREST / ARENA_CHEAPEST))
    below = ARENA_BETA * score + cheapness
    return (1 + ARENA_BETA) * score * cheapness / below if below > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TwoModels:
    """RouteLLM's measures (arXiv 2406.18665) of a pool of two; shares of calls to the strong model, 0..1.

    `curve` has (share, PGR), PGR being the part of the way from the weak model's score to the strong one's.
    """

    weak: int
    strong: int
    apgr: float
    cpt50: float
    cpt80: float
    curve: tuple[tuple[float, float], ...]


def two_models(choices: Choices, predicted: Floats | None, judged: Judged, reference: Reference) -> TwoModels | None:
    """Return the measures for two models, None for another number.

    The strong model is the one with the higher score on training prompts. With predicted scores (n, 2) prompts go to it
    in the order of the predicted gain, equal ones together; without, the points are the choices (points, n). Both ends
    (no call, every call) belong to the curve, which is straight between points. All NaN where neither is better here.
    """
    if judged.score.shape[1] != 2:
        return None
    strong = reference.best
    weak = 1 - strong
    low, high = judged.score[:, weak].mean(), judged.score[:, strong].mean()
    gain = judged.score[:, strong] - judged.score[:, weak]
    if predicted is None or np.isnan(predicted).any():
        to_strong = choices == strong
        share, risen = to_strong.mean(axis=1), (to_strong * gain).mean(axis=1)
    else:
        share, risen = _by_threshold(predicted[:, strong] - predicted[:, weak], gain)
    if high <= low:
        return TwoModels(weak, strong, float("nan"), float("nan"), float("nan"), ())
    points = sorted({(0.0, 0.0), (1.0, 1.0), *zip(share.tolist(), (risen / (high - low)).tolist(), strict=True)})
    x, y = np.array(points).T
    area = float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())
    return TwoModels(weak, strong, area, _first(x, y, 0.5), _first(x, y, 0.8), tuple(points))


def _by_threshold(expected: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Return share of calls to the strong model and mean gain, for every threshold on the expected gain."""
    order = np.argsort(-expected, kind="stable")
    last = np.append(np.diff(expected[order]) != 0, True)
    n = gain.size
    return ((np.arange(n) + 1) / n)[last], (np.cumsum(gain[order]) / n)[last]


def _first(x: Floats, y: Floats, wanted: float) -> float:
    """Return the least x at which the straight lines between points reach a height."""
    at = int(np.argmax(y >= wanted))
    if at == 0 or y[at] == y[at - 1]:
        return float(x[at])
    return float(x[at - 1] + (wanted - y[at - 1]) / (y[at] - y[at - 1]) * (x[at] - x[at - 1]))


@dataclass(frozen=True, slots=True)
class Bin:
    """Prompts whose choice was expected to score between two bounds: how many, what was expected, what came."""

    low: float
    high: float
    prompts: int
    expected: float
    came: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far expected scores of the choices are from what came: expected calibration error, and the bins."""

    error: float
    bins: tuple[Bin, ...]


def calibration(expected: Floats, came: Floats) -> Calibration | None:
    """Return the calibration of expected scores (n,) against scores (n,); None where nothing was expected.

    The error is the mean over prompts of |mean expected - mean score| of their bin, ten bins of equal width
    (Guo et al. 2017, arXiv 1706.04599, with the predicted score in the place of the confidence).
    """
    known = ~np.isnan(expected)
    if not known.any():
        return None
    expected, came = expected[known], came[known]
    bin_of = np.clip((expected * BINS).astype(np.intp), 0, BINS - 1)
    bins = []
    for b in np.unique(bin_of).tolist():
        inside = bin_of == b
        bins.append(Bin(b / BINS, (b + 1) / BINS, int(inside.sum()), float(expected[inside].mean()),
                        float(came[inside].mean())))  # fmt: skip
    error = sum(one.prompts * abs(one.expected - one.came) for one in bins) / expected.size
    return Calibration(error, tuple(bins))


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of task: mean scores and costs (US dollars) of the router and of what it is compared with.

    `error` is the standard error of the paired difference to the best fixed model; `most` the model chosen most often,
    `share` how often.
    """

    name: str
    prompts: int
    score: float
    cost_usd: float
    best_fixed: float
    oracle: float
    difference: float
    error: float
    most: str
    share: float


def by_category(choice: Choices, judged: Judged, prompts: OutcomeMatrix, reference: Reference) -> tuple[Category, ...]:
    """Return a row per category, by name, of one choice (n,) per judged prompt; `prompts` are the same, in order."""
    score, cost = judged.taken(choice)
    fixed, best = judged.score[:, reference.best], judged.score.max(axis=1)
    label, found = labels(prompts), []
    for name in sorted(set(label)):
        inside = np.array([one == name for one in label])
        gap = score[inside] - fixed[inside]
        taken, count = np.unique(choice[inside], return_counts=True)
        error = float(gap.std(ddof=1) / np.sqrt(gap.size)) if gap.size > 1 else float("nan")
        found.append(
            Category(
                name=name, prompts=int(inside.sum()), score=float(score[inside].mean()),
                cost_usd=float(cost[inside].mean()), best_fixed=float(fixed[inside].mean()),
                oracle=float(best[inside].mean()), difference=float(gap.mean()), error=error,
                most=prompts.models[int(taken[count.argmax()])], share=float(count.max() / inside.sum()),
            )
        )  # fmt: skip
    return tuple(found)


def labels(prompts: OutcomeMatrix) -> Sequence[str]:
    """Return the category of each prompt, with its suite before it where there are several suites."""
    several = len(set(prompts.suites)) > 1
    named = [category or "(none)" for category in prompts.categories]
    return [f"{suite}/{name}" for suite, name in zip(prompts.suites, named, strict=True)] if several else named


def category_table(train: OutcomeMatrix, prompts: OutcomeMatrix, reference: Reference) -> Floats:
    """Return each model's mean training score in each prompt's category, shape (n, m): what a data set's name tells.

    A category without a training score of a model gives the model's mean over all training prompts.
    """
    table: dict[str, Floats] = {}
    label = np.array(labels(train), dtype=object)
    for name in set(label.tolist()):
        inside = train.rows(np.asarray(label == name, dtype=np.bool_)).mean_score()
        table[name] = np.where(np.isnan(inside), reference.score, inside)
    return np.stack([table.get(name, reference.score) for name in labels(prompts)])
