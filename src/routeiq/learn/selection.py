"""Which average of heads to serve, and how much of it to believe: the default, unless another is clearly better.

Owns the comparison of options on predictions for prompts that were left out. An option replaces the default only when
it is better by more than one standard error of the paired difference, and none is served whose worst whole task, when
left out of training, loses more than 2.5 points to the best fixed model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from routeiq.learn import evaluate, novelty
from routeiq.learn.evaluate import Choices, Judged, Reference
from routeiq.learn.fitting import input_line
from routeiq.learn.heads import FAMILIES
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.learn.novelty import NOTHING
from routeiq.learn.stack import BELIEVED, TOKENS_BELIEVED, Crossed, Stack
from routeiq.routing.table import Floats

BELIEFS = (0.35, 0.5, 0.65, 0.8, 1.0)
TOKEN_BELIEFS = (0.0, 0.5, 0.75, 1.0)
WORST_TASK = -0.025
TASK_PROMPTS = 20
"""Prompts a task must have for its loss to be counted."""

ERRORS = 1.0
DRAWS = 60
SCORE_COUNTS = 0.5
"""What a point of score at lambda 0 counts beside a point of AIQ."""

LAMBDAS = evaluate.LAMBDAS[::3]


@dataclass(frozen=True, slots=True)
class Option:
    """An average of heads, how much of its score is believed, and how much of the predicted answer length."""

    heads: str = "all"
    believed: float = BELIEVED
    tokens: float = TOKENS_BELIEVED

    def __str__(self) -> str:
        return f"{self.heads} {self.believed:g} {self.tokens:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What options are compared on: complete prompts of a stack, by position `at` (n,), and predictions for all.

    `runs` are cross-validations by groups of prompts that ask the same, `tasks` one by whole tasks (None with a single
    task). `novelty` (SIGNS + 1,) weighs the signs of a task that was not trained on; trust in the runs is already what
    such weights leave of it, from other tasks.
    """

    stack: Stack
    at: NDArray[np.intp]
    judged: Judged
    reference: Reference
    runs: tuple[Crossed, ...]
    tasks: Crossed | None
    novelty: Floats = field(default_factory=NOTHING.copy, repr=False)

    @classmethod
    def of(cls, stack: Stack, runs: Sequence[Crossed], tasks: Crossed | None) -> "Field":
        """Return the field of a stack; raises DataError when no prompt has a score of every model."""
        matrix = stack.lesson.matrix
        at = np.flatnonzero(~np.isnan(matrix.score).any(axis=1))
        reference, weights = Reference.of(matrix), NOTHING
        if tasks is not None:
            found = novelty.learn([run.signs for run in runs], tasks.signs, stack.task_folds())
            runs = [replace(run, trust=run.trust * part) for run, part in zip(runs, found.runs, strict=True)]
            tasks, weights = replace(tasks, trust=tasks.trust * found.tasks), found.weights
        return cls(stack, at, Judged.of(matrix, reference), reference, tuple(runs), tasks, weights)

    def choices(self, run: Crossed, option: Option, lambdas: Floats = LAMBDAS) -> Choices:
        """Return what an option chooses at each cost weight (L, n), with the cost that service would expect."""
        cost = expected_cost(self.stack.lesson.matrix, run.predicted.tokens, option.tokens, self.reference)
        score = run.score(option.heads, option.believed)
        return choose(score[self.at], cost[self.at], self.reference, lambdas)

    def worst_task(self, option: Option) -> float:
        """Return the mean loss of the worst task that was left out, in score to the best fixed model; 0 for none."""
        if self.tasks is None:
            return 0.0
        score, rows = self.tasks.score(option.heads, option.believed)[self.at], np.arange(self.at.size)
        best = self.tasks.best[self.at]
        score[rows, best] += 1e-6
        lost = self.judged.score[rows, score.argmax(axis=1)] - self.judged.score[rows, best]
        task = self.stack.tasks[self.at]
        size = np.bincount(task)
        mean = np.bincount(task, lost) / np.maximum(size, 1)
        enough = size >= TASK_PROMPTS
        return float(mean[enough].min()) if enough.any() else float(lost.mean())


@dataclass(frozen=True, slots=True)
class Selected:
    """The option that is served, the default it was compared with, and by how much it is better (0 for itself)."""

    option: Option
    default: Option
    better: float
    worst_task: float


def choose(score: Floats, cost: Floats, reference: Reference, lambdas: Floats) -> Choices:
    """Return argmax of score - lambda x cost / mean training cost of the pool, for (n, m) of each, shape (L, n)."""
    by_cost = np.argsort(reference.cost_usd, kind="stable")
    ordered, price = score[:, by_cost], (cost / max(float(reference.cost_usd.mean()), 1e-300))[:, by_cost]
    return np.stack([by_cost[(ordered - weight * price).argmax(axis=1)] for weight in lambdas])


def expected_cost(matrix: OutcomeMatrix, log_tokens: Floats, believed: float, reference: Reference) -> Floats:
    """Return what each prompt would cost on each model (n, m), as service expects it; mean cost where no price is."""
    tokens = mean_of_known(matrix.output_tokens) * np.exp(believed * np.clip(log_tokens, -3.0, 3.0))
    length = np.where(np.isnan(matrix.prompt_tokens), 0.0, matrix.prompt_tokens)[:, None]
    slope, extra = input_line(matrix)
    cost = matrix.input_price * np.maximum(slope * length + extra, 0.0) + matrix.output_price * tokens
    return np.where(np.isnan(cost), reference.cost_usd, cost)


def resampled(n: int, draws: int, seed: int) -> Floats:
    """Return weights of prompts (1 + draws, n): all alike first, then bootstrap resamples."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), draws) / n
    return np.concatenate([np.full((1, n), 1.0 / n), drawn])


def select(field: Field, options: Sequence[Option] | None = None) -> Selected:
    """Return the option to serve."""
    weights = resampled(len(field.judged), DRAWS, field.stack.lesson.seed)
    safe = {(h, b): field.worst_task(Option(h, b)) for h in FAMILIES for b in BELIEFS}
    default = next(
        (o for b in BELIEFS[::-1] if b <= BELIEVED and safe[(o := Option(believed=b)).heads, b] >= WORST_TASK),
        Option(believed=BELIEFS[0]),
    )
    plain = _value(field, default, weights)
    best = Selected(default, default, 0.0, safe[default.heads, default.believed])
    every = options or [Option(h, b, t) for h in FAMILIES for b in BELIEFS for t in TOKEN_BELIEFS]
    for option in every:
        loss = safe.get((option.heads, option.believed), 0.0)
        if loss < WORST_TASK or option == default:
            continue
        difference = _value(field, option, weights) - plain
        better = float(difference[0] - ERRORS * difference[1:].std())
        if better > best.better:
            best = Selected(option, default, better, loss)
    return best


def worth(judged: Judged, choices: Choices, weights: Floats) -> Floats:
    """Return AIQ and half the score of choices (L, n), lambda 0 first, under each weighting of the prompts, (w,)."""
    scores, costs = (part @ weights.T for part in judged.taken(choices))
    fixed_cost = weights @ judged.cost_usd
    found = np.empty(len(weights))
    for w in range(len(weights)):
        vertices = evaluate.hull(costs[:, w], scores[:, w])
        low, high = float(fixed_cost[w].min()), float(fixed_cost[w].max())
        found[w] = evaluate.aiq(*vertices, low, high) + SCORE_COUNTS * scores[0, w]
    return found


def _value(field: Field, option: Option, weights: Floats) -> Floats:
    """Return what an option is worth under each weighting of the prompts, the mean over the runs, (w,)."""
    found = [worth(field.judged, field.choices(run, option), weights) for run in field.runs]
    return np.asarray(np.mean(found, axis=0))
