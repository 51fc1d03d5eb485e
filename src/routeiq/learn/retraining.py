"""A family trained again on less: without one kind of task, or on fewer prompts.

Owns leave-one-task-out and the learning curve. Both fit the family of an artifact anew with its default settings and
measure it through the scorer that serves; both stop when their time is up and say so by what is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn import auto, evaluate
from routeiq.learn.decisions import by_artifact
from routeiq.learn.evaluate import Judged, Reference
from routeiq.learn.families import family
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import TRAIN, OutcomeMatrix
from routeiq.learn.measures import labels
from routeiq.learn.training import one_thread

Fit: TypeAlias = Callable[..., Artifact]
"""A matrix, embeddings, an embedder's id and a seed to an artifact, as `fitting.FitFamily` says."""

ENOUGH = 20
"""Prompts a category needs to be left out: with fewer the difference is noise."""

SIZES = (100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A category that was not trained on: the router's score on all its prompts against the best fixed model's.

    The best fixed model is the one of the other categories. `error` is the standard error of `difference`.
    """

    category: str
    prompts: int
    score: float
    best_fixed: float
    difference: float
    error: float


@dataclass(frozen=True, slots=True)
class Size:
    """A point of the learning curve: training prompts, and measures on the split."""

    prompts: int
    score: float
    aiq: float
    saving98: float


def fit_again(artifact: Artifact) -> Fit:
    """Return how an artifact was fitted, `auto` where it was chosen by that.

    Raises UnknownStrategy for one that cannot be fitted from outcomes alone.
    """
    return auto.fit if "auto" in artifact.manifest.training else family(artifact.manifest.strategy)


def leave_out(
    artifact: Artifact,
    everything: OutcomeMatrix,
    vectors: Singles,
    *,
    seconds: float,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[LeftOut, ...]:
    """Return the family's result on each category when nothing of it was trained on, the largest categories first.

    `vectors` (n, D) are the embeddings of all prompts. It trains on the other categories' train split and measures on
    all prompts of the category, whatever their split. Raises DataError, UnknownStrategy.
    """
    fit, until = fit_again(artifact), monotonic() + seconds
    label = np.array(labels(everything), dtype=object)
    train = np.array([split == TRAIN for split in everything.splits])
    whole = ~np.isnan(everything.score).any(axis=1)
    count = {name: int((whole & (label == name)).sum()) for name in sorted(set(label.tolist()))}
    order = sorted((name for name in count if count[name] >= ENOUGH), key=lambda name: -count[name])
    found: list[LeftOut] = []
    for at, name in enumerate(order):
        rest, held = train & (label != name), whole & (label == name)
        if monotonic() > until:
            break
        if rest.sum() >= 2:
            found.append(_left_out(name, fit, artifact, everything, vectors, rest, held))
        progress((at + 1) / len(order))
    return tuple(found)


def _left_out(
    name: str, fit: Fit, artifact: Artifact, everything: OutcomeMatrix, vectors: Singles,
    rest: np.ndarray, held: np.ndarray,
) -> LeftOut:  # fmt: skip
    known, asked = everything.rows(rest), everything.rows(held)
    again, reference = _again(fit, artifact, known, vectors[rest]), Reference.of(known)
    judged = Judged.of(asked, reference)
    choice = by_artifact(again, asked, vectors[held], reference, np.zeros(1)).choices[0]
    score, fixed = judged.taken(choice)[0], judged.score[:, reference.best]
    gap = score - fixed
    return LeftOut(name, len(judged), float(score.mean()), float(fixed.mean()), float(gap.mean()),
                   float(gap.std(ddof=1) / np.sqrt(gap.size)))  # fmt: skip


def learning_curve(
    artifact: Artifact,
    everything: OutcomeMatrix,
    vectors: Singles,
    split: str,
    *,
    seconds: float,
    seed: int = 0,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Size, ...]:
    """Return the family's measures on a split when trained on 100, 200, 500 ... prompts, and on all.

    The reference (best fixed model, mean costs) is that of all training prompts throughout, so that the points compare.
    Smaller samples are parts of larger ones. Raises DataError, UnknownStrategy.
    """
    fit, until = fit_again(artifact), monotonic() + seconds
    train = np.flatnonzero([one == TRAIN for one in everything.splits])
    whole = ~np.isnan(everything.score).any(axis=1)
    held = whole & np.array([one == split for one in everything.splits])
    asked, reference = everything.rows(held), Reference.of(everything.rows(train))
    judged = Judged.of(asked, reference)
    shuffled = train[np.random.default_rng(seed).permutation(train.size)]
    sizes = [*(size for size in SIZES if size < train.size), train.size]
    found: list[Size] = []
    for at, size in enumerate(sizes):
        if monotonic() > until:
            break
        part = np.sort(shuffled[:size])
        again = _again(fit, artifact, everything.rows(part), vectors[part])
        decided = by_artifact(again, asked, vectors[held], reference, evaluate.LAMBDAS)
        measured = evaluate.measure_choices(decided.choices, judged, reference)
        found.append(Size(size, measured.score, measured.aiq, measured.saving98))
        progress((at + 1) / len(sizes))
    return tuple(found)


def _again(fit: Fit, artifact: Artifact, known: OutcomeMatrix, vectors: Singles) -> Artifact:
    seed = artifact.manifest.training.get("seed", 0)
    with one_thread():
        return fit(known, vectors, str(artifact.manifest.embedder), seed=seed if isinstance(seed, int) else 0)
