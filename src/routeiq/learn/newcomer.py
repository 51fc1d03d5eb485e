"""What a few scores tell of a model that was never recorded: a level, and what it has of each known model.

Owns the choice of the prompts that tell most, and the posterior they result in; placing the model in an artifact is
`learn.placing`'s. Known models are points in a space of a few factors: the principal components of their scores on the
same prompts, the first of which is how hard a prompt is. A new model is one more point there. Its score on a prompt is
linear in the prompt's factors, which the known models' answers to that very prompt tell; so one answer tells more than
a coin toss, as a model that fails where all succeed tells a lot. Prior: the known models' spread, widened. Noise: what
the factors leave of a right or wrong answer.

Sources: adaptive testing by item response (Lord 1980) and calibration on few anchors (tinyBenchmarks, arXiv
2402.14992); the choice is I-optimal design, greedily (Atkinson and Donev 1992): the prompt that lowers the mean
variance of the expected score over all prompts most.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routeiq.core.errors import DataError
from routeiq.learn.matrix import OutcomeMatrix, mean_of_known
from routeiq.routing.table import Floats

FACTORS = 3
WIDTH = 2.0
"""The prior of a new model's loadings is this many times as wide (in variance) as the known models' spread."""

LEVEL = 0.02
"""Variance that a new model's mean score has beyond the spread of the known ones: it may be better than all."""

DRAWN = 1 / 3
"""Part of the prompts that is drawn by chance."""

GROUPS, RARE = 24, 10
"""Suites and categories, the largest first, on which a new model may be better or worse than its factors say."""

LEAST_NOISE = 0.04
"""Least variance of one score around what the factors say of it."""

STATED = 0.01
"""Variance of a published score around the mean score on such prompts here: protocols differ by ten points."""

FOREIGN = 0.03
"""The same, of a benchmark that is not among the recorded ones and is read by other models' published scores."""


@dataclass(frozen=True, slots=True, eq=False)
class Newcomer:
    """What is believed of a new model: level and loadings (1 + k,) with covariance; `told` scores were read.

    `share` (m,) is how much it has of each known model: its expected score is `level` plus the sum of share times what
    each known model is expected to score beyond its own mean.
    """

    factors: "Factors"
    mean: Floats
    covariance: Floats
    told: int = 0
    output_ratio: float = 1.0

    @property
    def level(self) -> float:
        """Expected mean score over the recorded prompts, 0..1."""
        return float(np.clip(self.factors.features.mean(axis=0) @ self.mean, 0.0, 1.0))

    @property
    def deviation(self) -> float:
        """Standard deviation of `level`."""
        typical = self.factors.features.mean(axis=0)
        return float(np.sqrt(typical @ self.covariance @ typical))

    @property
    def share(self) -> Floats:
        """How much the model has of each known one, shape (m,)."""
        return np.asarray(self.factors.reading.T @ self.mean[1 : 1 + len(self.factors.reading)])

    def learn(self, features: Floats, score: float, noise: float) -> "Newcomer":
        """Return what is believed after one score of a prompt, or of a benchmark, with these features (1 + k,)."""
        seen = self.covariance @ features
        gain = seen / (noise + features @ seen)
        return replace(
            self,
            mean=self.mean + gain * (score - features @ self.mean),
            covariance=self.covariance - np.outer(gain, seen),
            told=self.told + 1,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The known models' common factors over n prompts and m models.

    `features` (n, 1 + k) are 1 and the factors of each prompt, `noise` (n,) the variance of a new model's score around
    them. `reading` (k, m) turns scores less the models' means into factors.
    """

    matrix: OutcomeMatrix
    features: Floats
    noise: Floats
    reading: Floats
    prior_mean: Floats
    prior_covariance: Floats

    @classmethod
    def of(cls, matrix: OutcomeMatrix) -> "Factors":
        """Return the factors of recorded outcomes; raises DataError when there are too few."""
        if len(matrix) < 2 or not matrix.models:
            raise DataError(
                f"{len(matrix)} prompt(s) on {len(matrix.models)} model(s): a new model is placed among one "
                "known model on two prompts at least"
            )
        mean = np.nan_to_num(matrix.mean_score(), nan=0.5)
        residual = np.where(np.isnan(matrix.score), 0.0, matrix.score - mean)
        reading, loadings = _components(residual)
        found = residual @ reading.T
        left = residual - found @ loadings.T
        inflated = len(mean) / max(1.0, len(mean) - reading.shape[0] - 1.0)
        groups = _groups(matrix)
        own = np.column_stack([mean, loadings])
        spread = WIDTH * np.atleast_2d(np.cov(own, rowvar=False, bias=True)) + np.diag(
            [LEVEL, *[0.1 * float((loadings**2).mean()) + 1e-4] * reading.shape[0]]
        )
        apart = np.full(groups.shape[1], WIDTH * inflated * _between(left, groups))
        noise = inflated * (left**2).mean(axis=1)
        noise = np.maximum(0.5 * noise + 0.5 * noise.mean(), LEAST_NOISE)
        return cls(
            matrix=matrix,
            features=np.column_stack([np.ones(len(residual)), found, groups]),
            noise=noise,
            reading=reading,
            prior_mean=np.concatenate([own.mean(axis=0), np.zeros(apart.size)]),
            prior_covariance=np.block(
                [[spread, np.zeros((len(spread), apart.size))], [np.zeros((apart.size, len(spread))), np.diag(apart)]]
            ),
        )

    def prior(self) -> Newcomer:
        """Return what is believed of a model of which nothing is known."""
        return Newcomer(self, self.prior_mean, self.prior_covariance)

    def design(self, count: int, seed: int = 0, open_to: Sequence[int] | None = None) -> list[int]:
        """Return the positions of the prompts to ask a new model, the drawn ones first.

        A third is drawn from all prompts, against what the factors do not know; the others are those that tell most.
        `open_to` are the positions of those that can be asked, by default all.
        """
        texts = self.matrix.texts
        barred = set(range(len(texts))) - set(open_to) if open_to is not None else set[int]()
        firsts = {text: i for i, text in reversed(list(enumerate(texts))) if text.strip()}
        order = np.random.default_rng(seed).permutation(len(texts))
        drawn = [int(at) for at in order if firsts.get(texts[at]) == at and at not in barred][
            : max(1, round(count * DRAWN))
        ]
        newcomer = self.prior()
        for at in drawn:
            newcomer = newcomer.learn(
                self.features[at], float(self.features[at] @ newcomer.mean), float(self.noise[at])
            )
        return drawn + self.choose(newcomer, count - len(drawn), drawn, barred)

    def choose(
        self, newcomer: Newcomer, count: int, asked: Sequence[int] = (), barred: Collection[int] = ()
    ) -> list[int]:
        """Return the positions of the prompts that tell most beyond what is known; `barred` cannot be asked.

        A prompt with empty text, or with the text of one that was chosen or `asked`, tells nothing.
        """
        texts = self.matrix.texts
        gone = {texts[at] for at in asked}
        open_ = np.array([bool(t.strip()) and t not in gone and at not in barred for at, t in enumerate(texts)])
        target = self.features.T @ self.features / len(self.features)
        covariance, chosen = newcomer.covariance, list[int]()
        for _ in range(count):
            if not open_.any():
                break
            seen = self.features @ covariance
            fall = np.einsum("nk,kl,nl->n", seen, target, seen) / (
                self.noise + np.einsum("nk,nk->n", seen, self.features)
            )
            best = int(np.where(open_, fall, -1.0).argmax())
            chosen.append(best)
            gain = seen[best] / (self.noise[best] + self.features[best] @ seen[best])
            covariance = covariance - np.outer(gain, seen[best])
            open_ &= np.array([text != texts[best] for text in texts])
        return chosen

    def told(self, scores: Mapping[int, float], output_tokens: Mapping[int, float] | None = None) -> Newcomer:
        """Return what is believed of a model with these scores (0..1) and output tokens, by position of the prompt."""
        newcomer = self.prior()
        for at in sorted(scores):
            newcomer = newcomer.learn(self.features[at], scores[at], float(self.noise[at]))
        return replace(newcomer, output_ratio=self._ratio(output_tokens or {}))

    def _ratio(self, tokens: Mapping[int, float]) -> float:
        """Return output tokens over what the known models used on the same prompts; 1 where that is not known."""
        rows = [at for at in sorted(tokens) if not np.isnan(self.matrix.output_tokens[at]).all()]
        usual = sum(float(np.nanmean(self.matrix.output_tokens[at])) for at in rows)
        used = sum(tokens[at] for at in rows)
        return used / usual if usual > 0 and used > 0 else 1.0

    def stated(self, scores: Mapping[str, float], others: Mapping[str, Mapping[str, float]]) -> Newcomer:
        """Return what is believed of a model with published scores (0..1) by benchmark; `told` counts those of use.

        A benchmark with the name of a recorded suite or category is the mean score there. Any other one is read only
        where known models, `others`, state their scores on it too: by how much the new one differs from them.
        """
        matrix, newcomer = self.matrix, self.prior()
        groups: dict[str, list[int]] = {}
        for i, labels in enumerate(zip(matrix.suites, matrix.categories, strict=True)):
            for label in set(labels) - {""}:
                groups.setdefault(label, []).append(i)
        level = np.eye(len(self.prior_mean))[0]
        means = mean_of_known(matrix.score)
        for name, score in sorted(scores.items()):
            if name in groups:
                newcomer = newcomer.learn(self.features[groups[name]].mean(axis=0), score, STATED)
                continue
            apart = [
                score - stated[name] + float(means[matrix.models.index(model)])
                for model, stated in sorted(others.items())
                if name in stated and model in matrix.models
            ]
            if apart:
                newcomer = newcomer.learn(level, float(np.mean(apart)), FOREIGN * (1.0 + 1.0 / len(apart)))
        return newcomer


def _components(residual: Floats) -> tuple[Floats, Floats]:
    """Return what turns residuals (n, m) into factors of variance 1 (k, m), and the models' loadings on them (m, k)."""
    values, vectors = np.linalg.eigh(residual.T @ residual / len(residual))
    kept = np.argsort(-values, kind="stable")[: min(FACTORS, max(1, len(values) // 2))]
    scale = np.sqrt(np.maximum(values[kept], 1e-9))
    turn = np.where(vectors[:, kept].sum(axis=0) < 0, -1.0, 1.0)
    return (vectors[:, kept] / scale * turn).T, vectors[:, kept] * scale * turn


def _groups(matrix: OutcomeMatrix) -> Floats:
    """Return which of the largest groups each prompt is of, shape (n, g), 1 or 0; none where there is one only."""
    labels = np.array(
        [f"{suite}\0{category}" for suite, category in zip(matrix.suites, matrix.categories, strict=True)]
    )
    names, belongs, size = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.argsort(-size, kind="stable")[:GROUPS]
    kept = kept[size[kept] >= RARE]
    one_hot = (belongs[:, None] == kept[None, :]).astype(np.float64)
    return np.asarray(one_hot if len(names) > 1 else one_hot[:, :0])


def _between(left: Floats, groups: Floats) -> float:
    """Return the variance of group means of what factors leave of known models' scores, beyond what chance gives."""
    size = groups.sum(axis=0)
    if not size.size:
        return 0.0
    means = groups.T @ left / size[:, None]
    return max(1e-4, float((means**2).mean() - (left.var(axis=0)[None, :] / size[:, None]).mean()))


def random_prompts(matrix: OutcomeMatrix, count: int, seed: int) -> NDArray[np.intp]:
    """Return positions drawn without regard to what they tell, to compare with."""
    return np.random.default_rng(seed).permutation(len(matrix))[:count]
