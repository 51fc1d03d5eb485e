"""The routers that are compared, each as its choices for the test prompts: ours, argmax labels, LiteLLM's own.

Owns how each is trained (on train), how it is turned into a curve, and nothing of how it is judged.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.errors import RouteIQError
from routeiq.learn import auto, baselines, evaluate
from routeiq.learn.decisions import by_artifact
from routeiq.learn.evaluate import Choices, Judged, Reference
from routeiq.learn.families import FAMILIES
from routeiq.learn.matrix import TEST, TRAIN, VALID, OutcomeMatrix
from routeiq.learn.training import predict, table_of
from routeiq.routing.strategies import BUILT_IN, recipe

HERE = Path(__file__).resolve().parent
ADAPTIVE_QUALITY = (0.7, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0)
"""Weights of quality of the adaptive router, its default first."""

AUTO = auto.STRATEGY
"""The default, which the others are compared with."""

NATIVE_LIMIT_S = 300
LABELS = {"knn": "kNN-5", "svm": "SVM", "logistic": "logistic"}
TIERS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A router: `choices` has shape (points, n), the first point being what it does when quality is all that counts.

    `valid_aiq` is set for ours: the AIQ on the valid split.
    """

    name: str
    group: str
    choices: Choices
    seconds: float = 0.0
    valid_aiq: float | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A router that could not be run, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One suite: the prompts of each split with their embeddings, the train reference, and the judged test prompts."""

    name: str
    train: OutcomeMatrix
    valid: OutcomeMatrix
    test: OutcomeMatrix
    vectors: dict[str, Any]
    reference: Reference
    judged: Judged
    embedder: str
    fingerprint: str

    @classmethod
    def of(cls, name: str, matrix: OutcomeMatrix, vectors: Any, embedder: str) -> "Field":
        parts = {}
        for split in (TRAIN, VALID, TEST):
            rows = np.array([s == split for s in matrix.splits])
            parts[split] = rows if split == TRAIN else rows & ~np.isnan(matrix.score).any(axis=1)
        train, valid, test = (matrix.rows(parts[split]) for split in (TRAIN, VALID, TEST))
        reference = Reference.of(train)
        return cls(
            name=name,
            train=train,
            valid=valid,
            test=test,
            vectors={split: vectors[rows] for split, rows in parts.items()},
            reference=reference,
            judged=Judged.of(test, reference),
            embedder=embedder,
            fingerprint=matrix.fingerprint(),
        )


def learned(field: Field, seed: int) -> Iterator[Contender | Absent]:
    """Yield every strategy that is fitted to outcomes and embeddings, and name the others that need an artifact."""
    for name in (made.name for made in BUILT_IN.values() if made.needs_artifact):
        fit = FAMILIES.get(name)
        if fit is None:
            yield Absent(name, "not fitted to outcomes and embeddings alone")
            continue
        started = time.perf_counter()
        try:
            artifact = fit(field.train, field.vectors[TRAIN], field.embedder, seed=seed)
            table = table_of(field.train)
            scorer = recipe(name).scorer(table, artifact)
            parts = ((VALID, field.valid), (TEST, field.test))
            asked = [predict(scorer, table, field.vectors[split], field.embedder, part) for split, part in parts]
        except RouteIQError as error:
            yield Absent(name, f"{type(error).__name__}: {error}")
            continue
        seconds = time.perf_counter() - started
        judged = Judged.of(field.valid, field.reference)
        valid = evaluate.measure(asked[0], judged, field.reference).aiq
        yield Contender(name, "RouteIQ", evaluate.choose(asked[1], field.reference), seconds, valid)


def automatic(field: Field, seed: int) -> Contender:
    """Return `auto`, which chooses by itself on train, as it decides: with the cost that it expects of each prompt."""
    started = time.perf_counter()
    artifact = auto.fit(field.train, field.vectors[TRAIN], field.embedder, seed=seed)
    valid, test = (
        by_artifact(artifact, part, field.vectors[split], field.reference, evaluate.LAMBDAS).choices
        for split, part in ((VALID, field.valid), (TEST, field.test))
    )
    seconds = time.perf_counter() - started
    judged = Judged.of(field.valid, field.reference)
    found = evaluate.measure_choices(valid, judged, field.reference).aiq
    return Contender(AUTO, "RouteIQ", test, seconds, found)


def argmax_labels(field: Field) -> Iterator[Contender]:
    """Yield the argmax-label recipe; each is one point, it has no way to trade cost.

    Each classifier is trained twice, with the models in the order of their names and in the reverse one.
    """
    kinds: tuple[baselines.Classifier, ...] = ("knn", "svm", "logistic")
    asked, models = field.vectors[TEST], np.arange(len(field.train.models))
    for kind in kinds:
        for order, how in ((models, "models A to Z"), (models[::-1], "models Z to A")):
            started = time.perf_counter()
            score = field.train.score[:, order]
            choices = order[baselines.argmax_label_choices(kind, score, field.vectors[TRAIN], asked)]
            name = f"argmax label, {LABELS[kind]}, {how}"
            yield Contender(name, "LLMRouter's recipe", choices[None, :], time.perf_counter() - started)


def native(field: Field, seed: int) -> Iterator[Contender | Absent]:
    """Yield LiteLLM's complexity, quality and adaptive router, as configured by hand and as well as train allows."""
    for router in ("complexity", "quality"):
        found, why = _ask({"router": router, "prompts": [*field.train.texts, *field.test.texts], "seed": seed})
        if found is None:
            yield Absent(f"LiteLLM {router} router", why)
            continue
        train, tier = np.array(found[: len(field.train)]), np.array(found[len(field.train) :])
        by_price = np.array(_ladder(field.reference))
        yield Contender(f"LiteLLM {router} router, tiers by price", "LiteLLM", by_price[tier][None, :])
        yield Contender(f"LiteLLM {router} router, tiers tuned on train", "LiteLLM", _tuned(field, train, tier))
    yield _adaptive(field, seed)


def _ladder(reference: Reference) -> list[int]:
    """Return a model for each of four tiers: along the models that no cheaper one beats, cheapest to best."""
    by_cost = np.lexsort((-reference.score, reference.cost_usd))
    front: list[int] = []
    for at in by_cost.tolist():
        if not front or reference.score[at] > reference.score[front[-1]]:
            front.append(at)
    return [front[round(i * (len(front) - 1) / (TIERS - 1))] for i in range(TIERS)]


def _tuned(field: Field, train: Any, test: Any) -> Choices:
    """Return the choices with the best model of each tier by training scores, at each lambda."""
    means = np.tile(field.reference.score, (TIERS, 1))
    for tier in range(TIERS):
        if (train == tier).any():
            known = field.train.rows(train == tier).mean_score()
            means[tier] = np.where(np.isnan(known), means[tier], known)
    return evaluate.choose(means[test], field.reference)


def _adaptive(field: Field, seed: int) -> Contender | Absent:
    third = np.argsort(np.argsort(field.reference.score)) * 3 // field.reference.score.size
    job = {
        "router": "adaptive",
        "models": list(field.train.models),
        "costs": field.reference.relative_cost.tolist(),
        "tiers": (third + 1).tolist(),
        "taught": field.train.texts,
        "scores": [[None if np.isnan(cell) else float(cell) for cell in row] for row in field.train.score],
        "quality_weights": ADAPTIVE_QUALITY,
        "prompts": field.test.texts,
        "seed": seed,
    }
    found, why = _ask(job)
    if found is None:
        return Absent("LiteLLM adaptive router", why)
    return Contender("LiteLLM adaptive router, taught train", "LiteLLM", np.array(found))


def _ask(job: dict[str, Any]) -> tuple[Any, str]:
    """Return LiteLLM's choices from a process of its own, or None and why not."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "sidebyside.native"]
    try:
        ended = subprocess.run(
            command, cwd=HERE.parent, env=environment, input=json.dumps(job), capture_output=True, text=True,
            timeout=NATIVE_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"no answer within {NATIVE_LIMIT_S} s"
    if ended.returncode:
        return None, (ended.stderr.strip().splitlines() or ["no message"])[-1][:200]
    return json.loads(ended.stdout.strip().splitlines()[-1])["choices"], ""
