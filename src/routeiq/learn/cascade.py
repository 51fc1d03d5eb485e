"""Trains the compound model `cascade` by expected score: an artifact, and the threshold that serves the objective.

Owns the sweep over thresholds on prompts that were left out of training, and the measurement of the chosen one. The
expectations are those of strategy `ensemble`; which candidate a threshold leads to is the method's own rule
(`routing.compound.cascade`): the cheapest whose expected score reaches it, else the dearest. One call is made, so that
a request costs what the candidate's answer does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.core.errors import DataError
from routeiq.core.ports import ArtifactStore, Embedder
from routeiq.learn import ensemble
from routeiq.learn.dataset import read
from routeiq.learn.embeddings import EmbeddingCache, embed
from routeiq.learn.evaluate import Judged, Reference
from routeiq.learn.fitting import ENOUGH_TO_TUNE
from routeiq.learn.geometry import Singles
from routeiq.learn.heads import FAMILIES
from routeiq.learn.matrix import TEST, TRAIN, VALID, OutcomeMatrix
from routeiq.learn.objective import Goal, Wanted
from routeiq.learn.selection import BELIEFS, resampled
from routeiq.learn.stack import SIGNAL, Crossed, Stack
from routeiq.learn.training import Progress, one_thread, predict, table_of
from routeiq.routing.compound.cascade import by_price
from routeiq.routing.strategies import recipe
from routeiq.routing.table import Floats

STRATEGY = "cascade"
KEPT = 0.98
"""Share of the best fixed model's score that is kept when no objective was named."""

THRESHOLDS: Floats = np.round(np.linspace(0.0, 1.0, 201), 3)
DRAWS = 400
TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Measured:
    """What a threshold gives on some prompts: mean score and mean cost in US dollars, and those of the best fixed
    model; the difference of the scores with its 95 % interval; the share of prompts that each candidate answers.
    """

    prompts: int
    score: float
    cost_usd: float
    fixed_score: float
    fixed_cost_usd: float
    difference: tuple[float, float, float]
    shares: dict[str, float]

    @property
    def saving(self) -> float:
        """Part of the best fixed model's cost that is saved; below 0 where more is spent."""
        return 1.0 - self.cost_usd / self.fixed_cost_usd if self.fixed_cost_usd > 0 else 0.0


def asked(expected: Floats, order: NDArray[np.intp], thresholds: Floats) -> NDArray[np.intp]:
    """Return who is asked at each threshold (t, n): positions, from expected scores (n, m) and the order by price."""
    reaches = expected[:, order][None] >= thresholds[:, None, None]
    return np.asarray(order[np.where(reaches.any(axis=2), reaches.argmax(axis=2), len(order) - 1)], dtype=np.intp)


def choose(score: Floats, cost: Floats, goal: Goal, reference: Reference, fixed_score: float) -> int:
    """Return the position of the threshold that serves a goal, from mean score and mean cost at each (t,).

    A trade-off: the highest score less lambda times the cost over the candidates' mean cost. A floor, or the share that
    is kept: the cheapest that reaches it, else the one with the highest score. A budget: the highest score within it,
    else the cheapest.
    """
    if goal.wanted is Wanted.TRADEOFF:
        return int((score - goal.amount * cost / max(float(reference.cost_usd.mean()), 1e-300)).argmax())
    if goal.wanted is Wanted.BUDGET:
        within = cost <= goal.amount
        return int(np.where(within, score, -1.0).argmax() if within.any() else cost.argmin())
    floor = goal.amount if goal.wanted is Wanted.QUALITY_FLOOR else KEPT * fixed_score
    reached = score >= floor
    return int(np.where(reached, cost, np.inf).argmin() if reached.any() else score.argmax())


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run wrote: the threshold, the candidates from the cheapest to the dearest, and what was measured.

    `measured` is by split: "left out" are the training prompts, each with expectations that have not seen it.
    """

    output: str
    version: str
    objective: str
    threshold: float
    candidates: tuple[str, ...]
    best_fixed: str
    measured: Mapping[str, Measured]


def train(
    data_dir: str | Path,
    suites: Sequence[str],
    store: ArtifactStore,
    output: str,
    embedder: Embedder,
    *,
    models: Sequence[str],
    goal: Goal | None = None,
    cache: EmbeddingCache | None = None,
    seed: int = 0,
    created: str = "",
    progress: Progress = lambda stage, done: None,
) -> Trained:
    """Train on the train split, measure on the others, save. Raises DataError, ConfigError, ArtifactError."""
    with one_thread():
        progress("read", 0.0)
        matrix = read(data_dir, suites, models)
        vectors = embed(embedder, matrix.texts, cache, lambda part: progress("embed", 0.1 + 0.4 * part))
        parts = {name: np.flatnonzero(np.array(matrix.splits) == name) for name in (TRAIN, VALID, TEST)}
        lesson = matrix.rows(parts[TRAIN])
        artifact, found = fitted(
            lesson, vectors[parts[TRAIN]], embedder.id, goal=goal, seed=seed, created=created,
            progress=lambda part: progress("fit", 0.5 + 0.4 * part),
        )  # fmt: skip
        reference, measured = Reference.of(lesson), {"left out": found}
        progress("measure", 0.9)
        for name in (VALID, TEST):
            prompts = matrix.rows(parts[name])
            if len(prompts.complete()):
                measured[name] = replay(artifact, prompts, vectors[parts[name]], reference)
        saved = store.save(output, artifact).manifest
        progress("save", 1.0)
    facts = saved.training["cascade"]
    return Trained(
        output=output, version=saved.version, objective=facts["objective"], threshold=saved.training["threshold"],
        candidates=tuple(facts["candidates"]), best_fixed=matrix.models[reference.best], measured=measured,
    )  # fmt: skip


def fitted(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    goal: Goal | None = None,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Artifact, Measured]:
    """Return an artifact of `ensemble` whose manifest holds the threshold, and what it gives on left-out prompts.

    The same data and seed give the same bytes. Raises DataError when too few prompts have a score of every model.
    """
    goal = goal or Goal()
    stack = Stack.of(matrix, vectors, embedder, seed)
    lesson = stack.lesson.matrix
    complete = np.flatnonzero(~np.isnan(lesson.score).any(axis=1))
    if complete.size < ENOUGH_TO_TUNE:
        raise DataError(
            f"{complete.size} prompts have a score of every one of {len(lesson.models)} candidates, a threshold needs "
            f"{ENOUGH_TO_TUNE}; record more, or name the candidates that have scores with --models"
        )
    heads, believed, left_out, signal = _nearest(stack, stack.crossed(stack.folds(), progress), complete)
    expected = np.clip(left_out, 0.0, 1.0)[complete]
    reference, order = Reference.of(lesson), by_price(table_of(lesson))
    judged = Judged.of(lesson, reference)
    choices = asked(expected, order, THRESHOLDS)
    score, cost = (part.mean(axis=1) for part in judged.taken(choices))
    at = choose(score, cost, goal, reference, float(judged.score[:, reference.best].mean()))
    measured = _measured(choices[at], judged, reference, lesson.models, seed)
    said = {
        "threshold": float(THRESHOLDS[at]),
        "cascade": {
            "objective": str(goal) if goal != Goal() else f"kept={KEPT:g}",
            "candidates": [lesson.models[j] for j in order],
            "left_out": _facts(measured),
        },
    }
    progress(1.0)
    return stack.artifact(ensemble.STRATEGY, heads, believed, said, {"signal": signal}, created), measured


def _nearest(stack: Stack, found: Crossed, complete: NDArray[np.intp]) -> tuple[str, float, Floats, float]:
    """Return the average of heads whose expectations are nearest to the scores, how much of it is believed, what it
    expects of left-out prompts (n, m), and by how many standard errors it is nearer than the means.

    Unlike a choice between models, a threshold needs the level itself, so scores are not centred by prompt; the
    chance differences of the folds' means are taken out, or they would pass for knowledge.
    """
    score, mean = stack.lesson.score, stack.lesson.score.mean(axis=0)

    def miss(expected: Floats) -> Floats:
        return np.asarray(((expected - score)[complete] ** 2).mean(axis=1))

    tried = {(h, b): found.score(h, b) - found.mean + mean for h in FAMILIES for b in BELIEFS}
    heads, believed = min(tried, key=lambda option: float(miss(tried[option]).mean()))
    nearer = miss(np.tile(mean, (len(score), 1))) - miss(tried[heads, believed])
    spread = float(nearer.std()) / len(nearer) ** 0.5
    signal = float(nearer.mean()) / spread if spread > 0 else 0.0
    if signal > SIGNAL:
        return heads, believed, tried[heads, believed], signal
    return heads, 0.0, np.tile(mean, (len(score), 1)), signal


def replay(artifact: Artifact, prompts: OutcomeMatrix, vectors: Singles, reference: Reference) -> Measured:
    """Return what an artifact's threshold gives on recorded prompts, with expectations as service has them.

    Raises DataError when the artifact has no threshold, or no prompt has a score of every candidate.
    """
    if artifact.threshold is None:
        raise DataError("the artifact has no threshold; train one with `routeiq train cascade`")
    whole = np.flatnonzero(~np.isnan(prompts.score).any(axis=1))
    prompts, vectors = prompts.rows(whole), vectors[whole]
    table = table_of(prompts)
    scorer = recipe(artifact.manifest.strategy).scorer(table, artifact)
    judged = Judged.of(prompts, reference)
    expected = predict(scorer, table, vectors, artifact.manifest.embedder, prompts)
    choices = asked(expected, by_price(table), np.array([artifact.threshold]))
    return _measured(choices[0], judged, reference, prompts.models, 0)


def _measured(
    choices: NDArray[np.intp], judged: Judged, reference: Reference, models: tuple[str, ...], seed: int
) -> Measured:
    score, cost = judged.taken(choices)
    fixed, price = judged.score[:, reference.best], judged.cost_usd[:, reference.best]
    lead = resampled(len(judged), DRAWS, seed) @ (score - fixed)
    low, high = np.quantile(lead[1:], [TAIL, 1.0 - TAIL])
    share = np.bincount(choices, minlength=len(models)) / len(choices)
    return Measured(
        prompts=len(judged),
        score=float(score.mean()),
        cost_usd=float(cost.mean()),
        fixed_score=float(fixed.mean()),
        fixed_cost_usd=float(price.mean()),
        difference=(float(lead[0]), float(low), float(high)),
        shares=dict(zip(models, share.tolist(), strict=True)),
    )


def _facts(found: Measured) -> dict[str, Any]:
    return {
        "prompts": found.prompts,
        "score": round(found.score, 5),
        "cost_usd": round(found.cost_usd, 9),
        "best_fixed_score": round(found.fixed_score, 5),
        "saving": round(found.saving, 4),
        "difference": [round(value, 5) for value in found.difference],
    }
