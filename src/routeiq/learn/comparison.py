"""One router against everything a router must be compared with, on one split: all figures of `routeiq eval`.

Owns which comparisons are made. What a figure means is `learn.evaluate` and `learn.measures`; how it is shown is
`learn.report` and `learn.page`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from routeiq.core.errors import DataError
from routeiq.learn import evaluate
from routeiq.learn.decisions import Decisions
from routeiq.learn.evaluate import Choices, Interval, Judged, Measures, Reference
from routeiq.learn.leakage import Leakage
from routeiq.learn.matrix import TRAIN, OutcomeMatrix
from routeiq.learn.measures import (
    Calibration,
    Category,
    TwoModels,
    arena_score,
    by_category,
    calibration,
    category_table,
    two_models,
)
from routeiq.learn.retraining import LeftOut, Size
from routeiq.learn.robustness import Stability
from routeiq.routing.table import Floats

ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the cost-quality plane; `lambda_` is the cost weight that gives it, `share` of each model chosen."""

    lambda_: float
    cost_usd: float
    score: float
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FixedModel:
    """One model alone: its means on the split and on the training prompts, and how often the router chose it."""

    name: str
    score: float
    cost_usd: float
    train_score: float
    train_cost_usd: float
    share: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was measured. `rows` are measures by name: "router", "random", "cheapest", "best_fixed",
    "zero_router", "dataset_oracle", "oracle"; `arena` the arena score of the same; `intervals` the router's measures
    with their bounds; `gains` paired differences. `all_models` is the order of `Point.shares`; `models` goes from the
    best to the worst. Parts that were not asked for, or do not apply, are None or empty.
    """

    router: str
    suites: tuple[str, ...]
    split: str
    prompts: int
    incomplete: int
    fingerprint: str
    best_fixed: str
    cheapest: str
    all_models: tuple[str, ...]
    models: tuple[FixedModel, ...]
    points: tuple[Point, ...]
    hull: tuple[tuple[float, float], ...]
    zero_hull: tuple[tuple[float, float], ...]
    rows: Mapping[str, Measures]
    arena: Mapping[str, float]
    arena_best: tuple[float, float]
    intervals: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    cost_weight: Mapping[float, float]
    calibration: Calibration | None
    two_models: TwoModels | None
    categories: tuple[Category, ...]
    leakage: Leakage | None = None
    stability: tuple[Stability, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    learning_curve: tuple[Size, ...] = ()
    notes: tuple[str, ...] = ()


def compare(
    decided: Decisions, everything: OutcomeMatrix, split: str, reference: Reference, *, seed: int = 0,
    resamples: int = 1000,
) -> Evaluation:  # fmt: skip
    """Return what decisions on one split are worth; `everything` has the prompts of all splits.

    Prompts that lack a score of any model are left out, as routers cannot be compared on them. Raises DataError when
    none is left.
    """
    prompts = everything.split(split)
    whole = ~np.isnan(prompts.score).any(axis=1)
    judged = Judged.of(prompts, reference)
    if decided.prompt_ids != prompts.ids:
        raise DataError(f"the decisions of {decided.router!r} are about other prompts than split {split!r}")
    asked, choices = prompts.rows(np.flatnonzero(whole)), decided.choices[:, whole]
    expected = None if decided.score is None else decided.score[whole]
    train = everything.split(TRAIN)
    table = category_table(train, asked, reference)
    informed = evaluate.choose(table, reference, decided.lambdas)
    plain = evaluate.choose(np.tile(reference.score, (len(judged), 1)), reference, decided.lambdas)
    rows = {
        ROUTER: evaluate.measure_choices(choices, judged, reference),
        **evaluate.baselines(judged, reference),
        "dataset_oracle": evaluate.measure_choices(evaluate.choose(table, reference), judged, reference),
    }
    points = _points(choices, judged, decided.lambdas, len(decided.models))
    arenas = [arena_score(point.score, point.cost_usd) for point in points]
    return Evaluation(
        router=decided.router,
        suites=tuple(sorted(set(prompts.suites))),
        split=split,
        prompts=len(judged),
        incomplete=int((~whole).sum()),
        fingerprint=everything.fingerprint(),
        best_fixed=decided.models[reference.best],
        cheapest=decided.models[reference.cheapest],
        all_models=decided.models,
        models=_models(decided.models, points[0].shares, judged, reference),
        points=points,
        hull=_hull(np.array([p.cost_usd for p in points]), np.array([p.score for p in points])),
        zero_hull=_hull(judged.cost_usd.mean(axis=0), judged.score.mean(axis=0)),
        rows=rows,
        arena={name: arena_score(found.score, found.cost_usd) for name, found in rows.items()},
        arena_best=(max(arenas), points[int(np.argmax(arenas))].lambda_),
        intervals=evaluate.spread(choices, judged, reference, seed=seed, resamples=resamples),
        gains=_gains(choices, informed, plain, judged, reference, seed=seed, resamples=resamples),
        cost_weight=_cost_weight(choices, decided.lambdas, judged, reference),
        calibration=_calibration(expected, choices[0], judged),
        two_models=two_models(choices, expected, judged, reference),
        categories=by_category(choices[0], judged, asked, reference),
    )


def _points(choices: Choices, judged: Judged, lambdas: Floats, models: int) -> tuple[Point, ...]:
    scores, costs = judged.taken(choices)
    return tuple(
        Point(
            float(lambdas[at]), float(costs[at].mean()), float(scores[at].mean()),
            tuple((np.bincount(choices[at], minlength=models) / len(judged)).tolist()),
        )
        for at in range(lambdas.size)
    )  # fmt: skip


def _models(
    names: tuple[str, ...], shares: tuple[float, ...], judged: Judged, reference: Reference
) -> tuple[FixedModel, ...]:
    score, cost = judged.score.mean(axis=0), judged.cost_usd.mean(axis=0)
    found = [
        FixedModel(name, float(score[j]), float(cost[j]), float(reference.score[j]), float(reference.cost_usd[j]),
                   shares[j])
        for j, name in enumerate(names)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one.score, one.cost_usd, one.name)))


def _hull(cost: Floats, score: Floats) -> tuple[tuple[float, float], ...]:
    return tuple(zip(*(axis.tolist() for axis in evaluate.hull(cost, score)), strict=True))


def _gains(
    choices: Choices, informed: Choices, plain: Choices, judged: Judged, reference: Reference, *, seed: int,
    resamples: int,
) -> dict[str, Interval]:  # fmt: skip
    """Return paired differences: scores at lambda 0, and AIQ where the router has a curve."""
    fixed = np.full((1, len(judged)), reference.best)

    def gain(first: Choices, second: Choices, statistic: Callable[[Measures], float]) -> Interval:
        return evaluate.paired(first, second, judged, reference, statistic, seed=seed, resamples=resamples)

    found = {
        "score_vs_best_fixed": gain(choices[:1], fixed, lambda m: m.score),
        "score_vs_dataset_oracle": gain(choices[:1], informed[:1], lambda m: m.score),
    }
    if len(choices) > 1:
        found["aiq_vs_training_means"] = gain(choices, plain, lambda m: m.aiq)
        found["aiq_vs_dataset_oracle"] = gain(choices, informed, lambda m: m.aiq)
    return found


def _cost_weight(choices: Choices, lambdas: Floats, judged: Judged, reference: Reference) -> dict[float, float]:
    """Return the largest lambda up to which each share of the best fixed model's score is kept; NaN for none."""
    scores, _ = judged.taken(choices)
    mean, top = scores.mean(axis=1), float(judged.score[:, reference.best].mean())
    found = {}
    for share in (1.0, 0.98, 0.95):
        enough = mean >= share * top
        reached = int(np.argmin(enough)) if not enough.all() else enough.size
        found[share] = float(lambdas[reached - 1]) if reached else float("nan")
    return found


def _calibration(expected: Floats | None, choice: Choices, judged: Judged) -> Calibration | None:
    if expected is None:
        return None
    return calibration(expected[np.arange(len(judged)), choice], judged.taken(choice)[0])
