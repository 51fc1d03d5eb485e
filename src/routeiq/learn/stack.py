"""What the stacked families are fitted from, and what their heads expect of prompts that were left out.

Owns the preparation of a training set for `learn.heads` (inputs, categories, lengths, groups of prompts that ask the
same) and its cross-validation: by groups, and by whole categories. The features are fitted once on all prompts, as no
outcome enters them; everything that has seen an outcome is fitted anew for each fold.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from routeiq.core.artifact import Artifact
from routeiq.learn import hardness
from routeiq.learn.evaluate import Reference
from routeiq.learn.fitting import Lesson, input_line, row_error
from routeiq.learn.geometry import Singles
from routeiq.learn.hardness import Inputs
from routeiq.learn.heads import FAMILIES, Heads, Predicted, categories_of
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.learn.novelty import NOTHING
from routeiq.routing.hardness.novelty import SIGNS, signs
from routeiq.routing.table import Floats

FOLDS = 5
TASK_FOLDS = 8
BELIEVED = 0.65
"""How much of what the heads expect beyond the mean is believed, unless the data say otherwise."""

TOKENS_BELIEVED = 0.75
SIGNAL = 3.0
"""Standard errors by which the heads must lower the error of the training means to be believed at all."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A training set of n prompts and m models, ready for heads.

    `categories` (n,) are the ones heads learn to tell apart, `tasks` (n,) those that stand in the data (all 0 where
    there is none), `groups` (n,) the same number for prompts that ask the same. `log_tokens` (n, m) is the logarithm of
    output tokens over the model's mean, 0 where unknown.
    """

    lesson: Lesson
    inputs: Inputs
    categories: NDArray[np.intp]
    tasks: NDArray[np.intp]
    groups: NDArray[np.intp]
    log_tokens: Floats

    @classmethod
    def of(cls, matrix: OutcomeMatrix, vectors: Singles, embedder: str, seed: int, *, bent: bool = True) -> "Stack":
        """Prepare a matrix and its embeddings (n, D), with inputs in which heads bend or not; raises DataError."""
        lesson = Lesson.of(matrix, vectors, embedder, seed)
        inputs, names = hardness.inputs_of(lesson), lesson.matrix.categories
        return cls(
            lesson=lesson,
            inputs=inputs.bent(seed) if bent else inputs,
            categories=categories_of(names, inputs.rows, seed),
            tasks=np.asarray(np.unique(np.array(names), return_inverse=True)[1], dtype=np.intp),
            groups=hardness.stems(lesson.matrix),
            log_tokens=_log_tokens(lesson.matrix.output_tokens),
        )

    def __len__(self) -> int:
        return len(self.lesson)

    def folds(self, repeat: int = 0) -> NDArray[np.intp]:
        """Return a fold per prompt, groups kept together, shape (n,)."""
        chance = np.random.default_rng([self.lesson.seed, repeat])
        return np.asarray((chance.permutation(int(self.groups.max()) + 1) % FOLDS)[self.groups], dtype=np.intp)

    def task_folds(self) -> NDArray[np.intp]:
        """Return a fold per prompt, tasks kept together and folds about even, shape (n,)."""
        size, filled = np.bincount(self.tasks), np.zeros(TASK_FOLDS)
        fold_of = np.zeros(size.size, dtype=np.intp)
        for task in np.argsort(-size, kind="stable"):
            fold_of[task] = filled.argmin()
            filled[fold_of[task]] += size[task]
        return np.asarray(np.unique(fold_of[self.tasks], return_inverse=True)[1], dtype=np.intp)

    def heads(self, keep: NDArray[np.bool_] | None = None) -> Heads:
        """Return the heads fitted to some prompts, or to all."""
        at = np.arange(len(self)) if keep is None else np.flatnonzero(keep)
        present = np.unique(self.categories[at], return_inverse=True)[1]
        return Heads.fit(self.inputs.rows[at], self.lesson.score[at], np.asarray(present, np.intp), self.log_tokens[at])

    def crossed(self, folds: NDArray[np.intp], progress: Progress = lambda done: None) -> "Crossed":
        """Return what heads expect of each prompt that were fitted without its fold."""
        score, vectors = self.lesson.score, self.lesson.vectors.astype(np.float64)
        cells = {f.name: np.zeros(score.shape) for f in fields(Predicted)}
        mean, trust, best = np.zeros(score.shape), np.zeros(len(self)), np.zeros(len(self), dtype=np.intp)
        told, plain, words = np.zeros((len(self), SIGNS)), self.inputs.plain, self.inputs.words
        last = int(folds.max()) + 1
        for fold in range(last):
            progress(fold / last)
            asked = folds == fold
            heads = self.heads(~asked)
            predicted = heads.predict(self.inputs.rows[asked])
            for name, values in cells.items():
                values[asked] = getattr(predicted, name)
            mean[asked], best[asked] = heads.mean, int(heads.mean.argmax())
            trust[asked], near = hardness.trust(vectors[asked], vectors[~asked], self.lesson.seed)
            near_words = np.zeros(len(near))
            if words:
                known = hardness.word_anchors(plain[~asked], words, self.lesson.seed)
                near_words = hardness.nearness(hardness.unit(plain[asked, -words:]), known)
            told[asked] = signs(heads.logits(self.inputs.rows[asked]), near, near_words)
        return Crossed(Predicted(**cells), mean, trust, best, told)

    def signal(self, found: "Crossed", family: str = "all", believed: float = BELIEVED) -> float:
        """Return by how many standard errors predictions lower the squared error of row-centred scores.

        Compared with the training means, over prompts, out of fold. Noise stays below 2; see `learn.gate`.
        """
        lesson = self.lesson
        plain = row_error(found.mean - lesson.prior, lesson.residual, lesson.known)
        own = row_error(found.score(family, believed) - lesson.prior, lesson.residual, lesson.known)
        fall = plain - own
        spread = float(fall.std()) / len(fall) ** 0.5
        return float(fall.mean()) / spread if spread > 0 else 0.0

    def artifact(
        self, strategy: str, family: str, believed: float, training: dict[str, object], metrics: dict[str, float],
        created: str = "", tokens_believed: float = TOKENS_BELIEVED, novelty: Floats = NOTHING,
    ) -> Artifact:  # fmt: skip
        """Return the sealed artifact of `ensemble`, or of `linear` where inputs do not bend, with heads fitted to all
        prompts.
        """
        heads, (category, ridge, residual) = self.heads(), FAMILIES[family]
        linear = ridge * heads.ridge + residual * heads.residual
        inputs = self.inputs

        def raw(weights: Floats, offset: Floats) -> tuple[Singles, Floats]:
            return inputs.raw(weights, offset - weights @ heads.centre)

        weights, offset = raw(linear, ridge * heads.mean)
        token_weights, token_offset = raw(heads.tokens, heads.token_offset)
        arrays = {
            **inputs.arrays,
            "weights": weights,
            "offset": offset,
            "token_weights": token_weights,
            "token_offset": token_offset,
            "input_line": input_line(self.lesson.matrix),
            "believed": np.array([believed, tokens_believed]),
            "typical_cost": np.array([float(Reference.of(self.lesson.matrix).cost_usd.mean())]),
        }
        if inputs.turn is not None:
            category_weights, category_offset = raw(heads.category, heads.category_offset)
            arrays |= {
                "category_weights": category_weights,
                "category_offset": category_offset,
                "category_score": category * heads.table,
                "piece_anchor": hardness.word_anchors(inputs.plain, inputs.words, self.lesson.seed).astype(np.float32),
                "novelty": novelty,
            }
        said = {
            "heads": family,
            "believed": round(believed, 4),
            "inputs": int(weights.shape[1]),
            "cost_rule": "predicted",
            **training,
        }
        return self.lesson.artifact(strategy, arrays, said, metrics, created)


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """What was expected of left-out prompts: by the heads, by the means (n, m); trust and the best fixed model (n,);
    the signs (n, SIGNS) of a new task.
    """

    predicted: Predicted
    mean: Floats
    trust: Floats
    best: NDArray[np.intp]
    signs: Floats

    def score(self, family: str, believed: float) -> Floats:
        """Return the expected scores (n, m) of an average of heads of which so much is believed."""
        return self.mean + believed * self.trust[:, None] * (self.predicted.average(family) - self.mean)


def _log_tokens(tokens: Floats) -> Floats:
    mean = mean_of_known(tokens)
    ratio = np.where(np.isnan(tokens) | ~(mean > 0), 1.0, tokens / np.where(mean > 0, mean, 1.0))
    return np.log(np.maximum(ratio, 0.02))
