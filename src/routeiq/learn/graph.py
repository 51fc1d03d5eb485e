"""Fits strategy `graph`: messages passed between prompts, tasks and models.

Owns the graph and the two rounds of messages. Prediction is `routing.scorers.graph`. The nodes are those of GraphRouter
(arXiv 2410.03834); its learned message functions are replaced by normalised sums, which need no descent and, at this
size of data, lose nothing to it.

A prompt is linked to each task with a weight that falls with its distance from the task (a softmax), and to each model
that answered it with the score it got, less the model's mean. In the first round a task gathers the scores of its
prompts: what each model is good at, by task. In the second a prompt receives that from its tasks, and a model gathers,
from the prompts it answered, where it did better or worse than its tasks would have had it: a direction in the space of
prompts. A new prompt is a node without links to models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.fitting import Lesson, cross_validated
from routeiq.learn.geometry import Singles, fit_subspace, prototypes, sums
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.ridge import Spectrum, token_arrays
from routeiq.routing.table import Bools, Floats

STRATEGY = "graph"
DIMENSIONS, WHITENING = 64, 0.5
FEWEST = 8
"""Prompts a labelled task needs; prompts of smaller tasks, or without a label, are grouped by similarity."""

UNLABELLED = 16
"""Tasks made by similarity where there are no labels."""

SHARPNESS = (2.0, 5.0, 10.0)
MASSES = (20.0, 60.0)
REACHES = (0.0, 0.3, 1.0)
"""How much of a model's second round counts, in units of what the prompts' own variance would make of it."""


@dataclass(frozen=True, slots=True)
class Links:
    """How messages flow: sharpness of links to tasks, prior mass in prompts, reach of the second round."""

    sharpness: float
    mass: float
    reach: float


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """The prompts' space (basis (d, D) over `Lesson.inputs`, mean squared length 1) and the tasks' places (t, d)."""

    basis: Floats
    tasks: Floats

    def coordinates(self, inputs: Floats) -> Floats:
        return np.asarray(inputs @ self.basis.T)

    def affinity(self, h: Floats) -> Floats:
        """Return the logits of the links of prompts (n, d) to tasks, for sharpness 1, shape (n, t)."""
        return np.asarray(h @ self.tasks.T - 0.5 * (self.tasks**2).sum(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What the nodes hold after both rounds: tasks (t, m) and models (m, d)."""

    tasks: Floats
    models: Floats


def fit(
    matrix: OutcomeMatrix,
    vectors: Singles,
    embedder: str,
    *,
    seed: int = 0,
    created: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> Artifact:
    """Return the artifact of strategy `graph`; the same data and seed give the same bytes. Raises DataError.

    Tasks are the categories of the prompts, or the suites of those that have none.
    """
    lesson = Lesson.of(matrix, vectors, embedder, seed)
    links, believed = _choose(lesson, progress)
    everyone = np.ones(len(lesson), dtype=np.bool_)
    nodes = _nodes(lesson, everyone)
    state = _pass(nodes, lesson, everyone, links)
    functions = np.vstack([links.sharpness * nodes.tasks, believed * links.reach * state.models]) @ nodes.basis
    constant = np.concatenate(
        [-0.5 * links.sharpness * (nodes.tasks**2).sum(axis=1), np.zeros(len(lesson.matrix.models))]
    )
    raw, offset = lesson.raw(functions, constant)
    t = len(nodes.tasks)
    arrays = {
        "task_weights": raw[:t],
        "task_offset": offset[:t],
        "task_scores": believed * state.tasks,
        "model_weights": raw[t:],
        "model_offset": offset[t:],
        **token_arrays(lesson, Spectrum.of(lesson.inputs)),
    }
    progress(1.0)
    training = {"tasks": t, "sharpness": links.sharpness, "mass": links.mass, "reach": links.reach,
                "believed": round(believed, 4)}  # fmt: skip
    return lesson.artifact(STRATEGY, arrays, training, {}, created)


def _choose(lesson: Lesson, progress: Callable[[float], None]) -> tuple[Links, float]:
    """Return how messages flow and how much of what they say to believe, by cross-validation."""
    options = sorted(
        (Links(*option) for option in product(SHARPNESS, MASSES, REACHES)),
        key=lambda o: (o.reach, -o.mass, o.sharpness),
    )

    def held_out(learned: Bools) -> Iterator[Floats]:
        nodes = _nodes(lesson, learned)
        h = nodes.coordinates(lesson.inputs[~learned])
        for links in options:
            state = _pass(nodes, lesson, learned, links)
            told = _softmax(links.sharpness * nodes.affinity(h)) @ state.tasks
            yield told + links.reach * (h @ state.models.T)

    chosen, believed = cross_validated(lesson, len(options), held_out, progress)
    return options[chosen], believed


def _nodes(lesson: Lesson, rows: Bools) -> _Nodes:
    """Return the space and the tasks of some prompts."""
    space = fit_subspace(lesson.inputs[rows].astype(np.float32), DIMENSIONS, WHITENING)
    basis = space.basis.astype(np.float64)
    h = lesson.inputs[rows] @ basis.T
    length = float(np.sqrt((h**2).sum(axis=1).mean())) or 1.0
    h, basis = h / length, basis / length
    members = _tasks(lesson, rows, h)
    _, belongs = np.unique(members, return_inverse=True)
    count = int(belongs.max()) + 1
    return _Nodes(basis, sums(h, belongs, count) / np.bincount(belongs, minlength=count)[:, None])


def _tasks(lesson: Lesson, rows: Bools, h: Floats) -> list[str]:
    """Return the task of each of some prompts: its category or suite, or where these tell nothing a group."""
    labels = [
        category or suite
        for category, suite, kept in zip(lesson.matrix.categories, lesson.matrix.suites, rows, strict=True)
        if kept
    ]
    large = {label for label in set(labels) if labels.count(label) >= FEWEST}
    if len(large) > 1:
        return [label if label in large else "" for label in labels]
    directions = (h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    count = max(1, min(UNLABELLED, len(h) // 20))
    return [f"{group:03d}" for group in prototypes(directions, count, np.random.default_rng(lesson.seed))]


def _pass(nodes: _Nodes, lesson: Lesson, rows: Bools, links: Links) -> _State:
    """Return what tasks and models hold after two rounds of messages from some prompts."""
    h, residual, known = nodes.coordinates(lesson.inputs[rows]), lesson.residual[rows], lesson.known[rows]
    linked = _softmax(links.sharpness * nodes.affinity(h))
    tasks = (linked.T @ residual) / (linked.T @ known + links.mass)
    unexplained = np.where(known, residual - linked @ tasks, 0.0)
    models = (unexplained.T @ h) / (known.sum(axis=0)[:, None] + links.mass)
    return _State(tasks, models * h.shape[1] / max(float((h**2).sum(axis=1).mean()), 1e-9))


def _softmax(logits: Floats) -> Floats:
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
