"""Chooses, calibrates and gates a learned router by itself: `routeiq train auto`.

Owns the order of the steps: features once, cross-validation by groups of prompts that ask the same and by whole tasks,
choice (`learn.selection`), comparison with `knn`, gate (`learn.gate`), reliability (`learn.calibration`), and the
artifact. What is written is an artifact of `ensemble`, `knn`, or, when the gate refuses, `fixed`; its manifest
says under `training.auto` what was compared and why it was chosen.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn import ensemble, evaluate, fixed, knn
from routeiq.learn.calibration import reliability
from routeiq.learn.fitting import ENOUGH_TO_TUNE
from routeiq.learn.gate import Verdict, examine
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.objective import Goal
from routeiq.learn.selection import DRAWS, ERRORS, LAMBDAS, Field, Selected, choose, resampled, select, worth
from routeiq.learn.stack import FOLDS, Stack
from routeiq.learn.training import predict, table_of
from routeiq.routing import codec
from routeiq.routing.scorers.neighbours import NeighbourScorer

STRATEGY = "auto"
FEW = 2500
"""Prompts up to which the cross-validation is repeated."""

REPEATS = 3

Progress = Callable[[float], None]


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    goal: Goal | None = None,
    seed: int = 0,
    created: str = "",
    progress: Progress = lambda done: None,
) -> Artifact:
    """Return the artifact of the router that was chosen, or of `fixed`; the same data and seed give the same bytes.

    Raises DataError.
    """
    goal = goal or Goal()
    stack = Stack.of(matrix, vectors, embedder, seed)
    progress(0.1)
    if len(stack) < ENOUGH_TO_TUNE or not len(stack.lesson.matrix.complete()):
        why = f"{len(stack)} prompts are too few to compare on, needed are {ENOUGH_TO_TUNE} with a score of every model"
        return _fixed(stack, {"objective": str(goal), "refused": why}, created)
    different = int(stack.groups.max()) + 1
    if different < FOLDS:
        why = f"the {len(stack)} prompts are {different} different one(s), too few to compare on"
        return _fixed(stack, {"objective": str(goal), "refused": why}, created)
    field = _field(stack, progress)
    selected = select(field)
    progress(0.6)
    verdict = examine(field, selected.option, goal)
    if verdict.refused and selected.option != selected.default:
        selected = replace(selected, option=selected.default, better=0.0)
        verdict = examine(field, selected.option, goal)
    progress(0.8)
    said = _said(field, selected, verdict, goal)
    if verdict.refused:
        return _fixed(stack, said, created)
    neighbours, better = _neighbours(field, selected, progress)
    said["compared"] = {"knn": round(better, 5)}
    progress(1.0)
    if neighbours is not None and better > 0.0:
        return _with(neighbours, {"auto": {**said, "chosen": knn.STRATEGY}, "cost_weight": verdict.cost_weight})
    return _stacked(field, selected, verdict, said, created)


def refusal(artifact: Artifact) -> str | None:
    """Return why `auto` refused to serve a learned router, or None."""
    why = artifact.manifest.training.get("auto", {}).get("refused")
    return None if why is None else str(why)


def _field(stack: Stack, progress: Progress) -> Field:
    repeats = REPEATS if len(stack) <= FEW else 1
    runs = [stack.crossed(stack.folds(i)) for i in range(repeats)]
    progress(0.3)
    tasks = stack.crossed(stack.task_folds()) if int(stack.tasks.max()) > 0 else None
    return Field.of(stack, runs, tasks)


def _said(field: Field, selected: Selected, verdict: Verdict, goal: Goal) -> dict[str, Any]:
    """Return what the manifest says of the choice, in JSON."""
    return {
        "chosen": fixed.STRATEGY if verdict.refused else ensemble.STRATEGY,
        "option": str(selected.option),
        "default": str(selected.default),
        "better_than_default": round(selected.better, 5),
        "worst_task_loss": round(selected.worst_task, 5),
        "objective": str(goal),
        "signal": round(verdict.signal, 3),
        "gain_in": verdict.objective,
        "gain": [round(value, 5) for value in (verdict.gain, verdict.low, verdict.high)],
        "score_low": round(verdict.score_low, 5),
        "refused": verdict.refused,
        "folds": f"{len(field.runs)} x {FOLDS} by groups" + (", and by tasks" if field.tasks else ""),
    }


def _fixed(stack: Stack, said: dict[str, Any], created: str) -> Artifact:
    lesson = stack.lesson
    artifact = fixed.fit(lesson.matrix, lesson.vectors, lesson.embedder, seed=lesson.seed, created=created)
    best = lesson.matrix.models[evaluate.Reference.of(lesson.matrix).best]
    return _with(artifact, {"auto": {**said, "chosen": fixed.STRATEGY, "serves": best}, "cost_weight": 0.0})


def _stacked(field: Field, selected: Selected, verdict: Verdict, said: dict[str, Any], created: str) -> Artifact:
    option = selected.option
    known = np.clip(field.runs[0].score(option.heads, option.believed)[field.at], 0.0, 1.0)
    found = reliability(known, field.judged.score, field.stack.lesson.seed)
    metrics = {
        "ece": found.error, "ece_platt": found.error_platt, "ece_isotonic": found.error_isotonic,
        "signal": verdict.signal,
    }  # fmt: skip
    training = {
        "auto": said,
        "calibration": {"map": "platt", "slope": round(found.platt[0], 4), "offset": round(found.platt[1], 4)},
        "cost_weight": verdict.cost_weight,
    }
    return field.stack.artifact(
        said["chosen"],
        option.heads,
        option.believed,
        training,
        metrics,
        created,
        tokens_believed=option.tokens,
        novelty=field.novelty,
    )


def _neighbours(field: Field, selected: Selected, progress: Progress) -> tuple[Artifact | None, float]:
    """Return `knn` on all prompts, and by how much it is better than what was selected beyond the standard error."""
    lesson = field.stack.lesson
    # A third of the kernels: knowing whether knn is clearly better takes no finer grid.
    artifact = knn.fit(lesson.matrix, lesson.vectors, lesson.embedder, seed=lesson.seed, kernels=knn.GRID[::3])
    kernel = _kernel(artifact)
    table, folds = table_of(lesson.matrix), field.stack.folds()
    score = np.zeros(lesson.matrix.score.shape)
    for fold in range(FOLDS):
        progress(0.85 + 0.03 * fold)
        asked = folds == fold
        part = knn.fit(lesson.matrix.rows(~asked), lesson.vectors[~asked], lesson.embedder, kernels=(kernel,))
        scorer = NeighbourScorer.from_artifact(part, table)
        score[asked] = predict(scorer, table, lesson.vectors[asked], lesson.embedder)
    cost = np.broadcast_to(field.reference.cost_usd, score.shape)
    weights = resampled(len(field.judged), DRAWS, lesson.seed)
    own = worth(field.judged, choose(score[field.at], cost[field.at], field.reference, LAMBDAS), weights)
    chosen = worth(field.judged, field.choices(field.runs[0], selected.option), weights)
    difference = own - chosen
    return artifact, float(difference[0] - ERRORS * difference[1:].std())


def _kernel(artifact: Artifact) -> knn.Kernel:
    said = artifact.manifest.training
    return knn.Kernel(int(said["neighbours"]), float(said["threshold"]), float(said["mass"]))


def _with(artifact: Artifact, training: dict[str, Any]) -> Artifact:
    manifest = artifact.manifest
    return codec.seal(replace(artifact, manifest=replace(manifest, training={**manifest.training, **training})))
