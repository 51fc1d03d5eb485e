"""One training run of any learned strategy: read, embed, fit, measure, save, and the report of it.

Owns the order of the steps and which split is used for what: fitted on train, measured on valid and test through the
very scorer that serves requests, so that what is reported is what will be served. How a family fits is its own module.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import DataError
from routeiq.core.ports import ArtifactStore, Embedder
from routeiq.core.request import RouteRequest
from routeiq.learn import evaluate
from routeiq.learn.dataset import read
from routeiq.learn.embeddings import EmbeddingCache, embed
from routeiq.learn.evaluate import Interval, Judged, Measures, Reference
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import TEST, TRAIN, VALID, OutcomeMatrix
from routeiq.learn.objective import Goal
from routeiq.routing.hardness.reading import recorded_tools
from routeiq.routing.stages import Features, Scorer, View
from routeiq.routing.strategies import recipe
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.vitals import Vitals

Progress = Callable[[str, float], None]
"""Called with the stage and the part of the whole run that is done, 0..1."""

Fit = Callable[[OutcomeMatrix, Singles, Callable[[float], None]], Artifact]
"""Prompts with their outcomes, and their embeddings (n, D), to an artifact; told how to report the part done."""

KEPT = (1.0, 0.98, 0.95)
"""Shares of the best fixed model's score for which a report says what they cost."""

_CHARACTERS_PER_TOKEN = 4

_UNTIL = {"read": 0.1, "embed": 0.5, "fit": 0.9, "measure": 0.99, "save": 1.0}
"""The part of a run that is done at the end of each stage, about."""


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How the router and what it is compared with do on one split.

    `measures` has the router under its strategy's name, and "random", "cheapest", "best_fixed", "zero_router" and
    "oracle". `gain` is the paired difference of scores to the best fixed model, `aiq_gain` that of AIQ to the zero
    router's choices by training means. `cost_weight` maps a share of the best fixed model's score
    (1, .98, .95) to the largest `objective.cost_weight` that kept it here; `curve` has the mean score and the mean cost
    at each of `evaluate.LAMBDAS`.
    """

    split: str
    prompts: int
    measures: Mapping[str, Measures]
    gain: Interval
    aiq_gain: Interval
    cost_weight: Mapping[float, float]
    curve: tuple[Floats, Floats] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training run did. `rows` counts prompts by split; `splits` has a report of each that could be judged."""

    strategy: str
    output: str
    version: str
    embedder: str
    suites: tuple[str, ...]
    models: tuple[str, ...]
    rows: Mapping[str, int]
    best_fixed: str
    parameters: Mapping[str, Any]
    splits: tuple[SplitReport, ...]
    seconds: float


def train_family(
    fit: Fit,
    data_dir: str | Path,
    suites: Sequence[str],
    store: ArtifactStore,
    output: str,
    embedder: Embedder,
    *,
    models: Sequence[str] | None = None,
    cache: EmbeddingCache | None = None,
    progress: Progress = lambda stage, done: None,
    goal: Goal | None = None,
) -> TrainReport:
    """Train on the train split, measure on the others, save. Raises DataError, ConfigError, ArtifactError.

    The cost weight that serves `goal` is written into the manifest, unless the family chose one itself.
    """
    with one_thread():
        return _train_family(fit, data_dir, suites, store, output, embedder, models, cache, progress, goal or Goal())


def _train_family(
    fit: Fit,
    data_dir: str | Path,
    suites: Sequence[str],
    store: ArtifactStore,
    output: str,
    embedder: Embedder,
    models: Sequence[str] | None,
    cache: EmbeddingCache | None,
    progress: Progress,
    goal: Goal,
) -> TrainReport:
    started = perf_counter()
    stage = _stages(progress)
    matrix = read(data_dir, suites, models)
    vectors = embed(embedder, matrix.texts, cache, stage("embed"))
    parts = {name: np.array([split == name for split in matrix.splits]) for name in (TRAIN, VALID, TEST)}
    if parts[TRAIN].sum() < 2:
        raise DataError(
            f"{data_dir}: {int(parts[TRAIN].sum())} prompt(s) have split 'train'; mark at least two as such, "
            "about 500 are needed to beat a fixed model"
        )
    train = matrix.rows(parts[TRAIN])
    if len(set(train.texts)) < 2:
        raise DataError(
            f"{data_dir}: all {len(train)} prompts with split 'train' have the same text; there is nothing to learn of "
            "other prompts from it"
        )
    artifact = fit(train, vectors[parts[TRAIN]], stage("fit"))
    reference = Reference.of(train)
    reports: list[SplitReport] = []
    done = stage("measure")
    for name in (VALID, TEST):
        rows = parts[name] & ~np.isnan(matrix.score).any(axis=1)
        if rows.any():
            reports.append(measure_split(name, artifact, matrix.rows(rows), vectors[rows], reference))
        done(len(reports) / 2)
    artifact = _with_metrics(
        _with_means(artifact, matrix.models, reference), reports, matrix.models[reference.best], goal
    )
    saved = store.save(output, artifact).manifest
    stage("save")(1.0)
    return TrainReport(
        strategy=saved.strategy,
        output=output,
        version=saved.version,
        embedder=embedder.id,
        suites=tuple(sorted(set(matrix.suites))),
        models=matrix.models,
        rows={name: int(part.sum()) for name, part in parts.items()},
        best_fixed=matrix.models[reference.best],
        parameters=saved.training,
        splits=tuple(reports),
        seconds=perf_counter() - started,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep linear algebra on this thread, where threadpoolctl (which comes with scikit-learn) is installed.

    The products of a training run are small: threads that wait for each other make it several times slower on a machine
    that has other work, and little faster on one that has not.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(limits=1):
        yield


def _stages(progress: Progress) -> Callable[[str], Callable[[float], None]]:
    """Return what gives each stage a way to report its own part, 0..1, as a part of the whole run."""
    progress("read", 0.0)
    order = list(_UNTIL)

    def stage(name: str) -> Callable[[float], None]:
        start, end = _UNTIL[order[order.index(name) - 1]], _UNTIL[name]
        progress(name, start)
        return lambda part: progress(name, start + part * (end - start))

    return stage


def measure_split(
    name: str, artifact: Artifact, prompts: OutcomeMatrix, vectors: Singles, reference: Reference
) -> SplitReport:
    """Return how an artifact does on prompts that every model has a score for, with their embeddings (n, D)."""
    judged = Judged.of(prompts, reference)
    table = table_of(prompts)
    strategy = artifact.manifest.strategy
    scorer = recipe(strategy).scorer(table, artifact)
    predicted = predict(scorer, table, vectors, artifact.manifest.embedder, prompts)
    choices = evaluate.choose(predicted, reference)
    plain = evaluate.choose(np.tile(reference.score, (len(judged), 1)), reference)
    measures = {
        strategy: evaluate.measure_choices(choices, judged, reference),
        **evaluate.baselines(judged, reference),
    }
    fixed = np.full((1, len(judged)), reference.best)
    scores, costs = judged.taken(choices)
    return SplitReport(
        split=name,
        prompts=len(judged),
        measures=measures,
        gain=evaluate.paired(choices[:1], fixed, judged, reference),
        aiq_gain=evaluate.paired(choices[::4], plain[::4], judged, reference, lambda m: m.aiq, resamples=400),
        cost_weight={share: evaluate.cost_weight(choices, judged, reference, share) for share in KEPT},
        curve=(scores.mean(axis=1), costs.mean(axis=1)),
    )


def table_of(matrix: OutcomeMatrix) -> CandidateTable:
    """Return the models of a matrix as candidates, with their list prices."""
    return CandidateTable(
        tuple(
            Candidate(
                name=name,
                usd_per_input_token=None if np.isnan(matrix.input_price[j]) else float(matrix.input_price[j]),
                usd_per_output_token=None if np.isnan(matrix.output_price[j]) else float(matrix.output_price[j]),
            )
            for j, name in enumerate(matrix.models)
        )
    )


def predict(
    scorer: Scorer,
    table: CandidateTable,
    vectors: Singles,
    embedder: str | None,
    prompts: OutcomeMatrix | None = None,
) -> Floats:
    """Return what a scorer expects each candidate to score, shape (n, m), asked prompt by prompt as in serving.

    A scorer that reads texts and tools needs the `prompts` that the vectors (n, D) are embeddings of.
    """
    vitals, silent = Vitals(), RouteRequest(id="", alias="")
    asked = [silent] * len(vectors) if prompts is None else [request_of(prompts, i) for i in range(len(prompts))]
    views = (View(asked[i], Features(vector, embedder), table, vitals) for i, vector in enumerate(vectors))
    return np.stack([scorer.predict(view).score for view in views])


def request_of(prompts: OutcomeMatrix, i: int) -> RouteRequest:
    """Return a recorded prompt as the request it would be; its length is estimated where it was not recorded."""
    text, tokens = prompts.texts[i], prompts.prompt_tokens[i]
    length = len(text) // _CHARACTERS_PER_TOKEN + 1 if np.isnan(tokens) else int(tokens)
    tools = recorded_tools(prompts.tools[i])
    return RouteRequest(id=prompts.ids[i], alias="", text=text, prompt_tokens=length, tools=tools)


def _with_means(artifact: Artifact, models: Sequence[str], reference: Reference) -> Artifact:
    """Return the artifact with what lambda refers to, for decisions where the training prompts are not at hand."""
    means = {
        name: {"score": float(reference.score[j]), "cost_usd": float(reference.cost_usd[j])}
        for j, name in enumerate(models)
    }
    training = {**artifact.manifest.training, "means": means}
    return replace(artifact, manifest=replace(artifact.manifest, training=training))


def _with_metrics(artifact: Artifact, reports: Sequence[SplitReport], best_fixed: str, goal: Goal) -> Artifact:
    """Return the artifact with what was measured on valid; test figures stay out, so that nobody tunes to them."""
    found = dict(artifact.manifest.metrics)
    for report in reports:
        if report.split != VALID:
            continue
        own, fixed = report.measures[artifact.manifest.strategy], report.measures["best_fixed"]
        values = {
            "valid_score": own.score, "valid_aiq": own.aiq, "valid_saving98": own.saving98,
            "valid_saving100": own.saving100, "valid_best_fixed_score": fixed.score,
            "valid_zero_router_aiq": report.measures["zero_router"].aiq,
            "valid_cost_weight98": report.cost_weight[0.98],
        }  # fmt: skip
        found |= {key: round(value, 6) for key, value in values.items() if not np.isnan(value)}
    training = {**artifact.manifest.training, "best_fixed": best_fixed}
    serves = [goal.cost_weight(evaluate.LAMBDAS, *report.curve) for report in reports if report.split == VALID]
    if serves and goal != Goal() and "cost_weight" not in training:
        training |= {"objective": str(goal), "cost_weight": serves[0]}
    return replace(artifact, manifest=replace(artifact.manifest, metrics=found, training=training))
