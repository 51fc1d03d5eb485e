"""Scores by item response: a candidate's abilities against the difficulty and discrimination of the prompt.

Owns prediction from an `irt` artifact, and the placing of candidates that it was not trained on from their published
benchmark scores; `learn.irt` fits it. Arrays beside those of `routing.trained`, for m models with k skills, b
benchmarks and an embedding of D dimensions:

    ability (m, s)                              s = 1 + k: general ability, then skills
    item_weights (s, D), item_offset (s,)       the prompt's difficulty, then its discrimination of each skill
    benchmark_discrimination (b, s), benchmark_difficulty (b,)   the same of each benchmark (the first entry is 1)
    recorded (m,)                               number of recorded scores
    believed (1,)                               how much of the curve is believed; the rest is the model's mean
    token_weights (m, D), token_offset (m,)     logarithm of expected output tokens over the model's mean

The manifest's `training.benchmarks` names the benchmarks; the first, "", is all prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log, pi
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError
from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.trained import COMMON, LINEAR_TOKENS, Binding, Linear, checked, sigmoid

WIDTH = 2.0
"""The prior of a new model's abilities is this many times as wide (in variance) as the trained models' spread."""

DOUBT = 0.5
"""Variance of a published score's logit around what the model would have scored here: protocols differ."""

_SHAPES = {
    **COMMON, **LINEAR_TOKENS, "ability": "ms", "item_weights": "sD", "item_offset": "s", "recorded": "m",
    "benchmark_discrimination": "bs", "benchmark_difficulty": "b", "believed": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Abilities (s,) of a model as far as its benchmark scores tell, and the variance of its logit on a typical prompt.

    `read` is the number of benchmark scores that could be used.
    """

    ability: Floats
    variance: float
    read: int


@dataclass(frozen=True, slots=True, eq=False)
class ItemResponseScorer:
    """Predicts by abilities. Candidates that were neither trained on nor can be placed get NaN.

    `functions` gives the item's parameters (s) and then the logarithms of the token ratios (n). `certainty` flattens
    the curve of a candidate whose abilities are uncertain; it is 1 for the trained ones.
    """

    binding: Binding
    functions: Linear
    ability: Floats
    certainty: Floats
    believed: float
    evidence: Floats
    name: str = "irt"

    @classmethod
    def from_artifact(cls, artifact: Artifact, table: CandidateTable) -> "ItemResponseScorer":
        """Return the scorer over a table; raises ArtifactError, CandidateMismatch."""
        arrays = checked(artifact, _SHAPES)
        binding = Binding.of(artifact, table)
        found = {
            i: placed
            for i in range(len(table))
            if binding.column[i] < 0 and (placed := place(artifact, table.candidates[i], table.candidates)) is not None
        }
        ability, certainty = binding.pick(arrays["ability"].T).T, np.ones(len(table))
        for i, placed in found.items():
            ability[i], certainty[i] = placed.ability, 1.0 / np.sqrt(1.0 + pi / 8.0 * placed.variance)
        at = list(found)
        weights, offset = binding.rows(arrays["token_weights"], arrays["token_offset"])
        weights[at], offset[at] = arrays["token_weights"].mean(axis=0), arrays["token_offset"].mean()
        return cls(
            binding=_completed(binding, arrays, at, ability, certainty),
            functions=Linear.of(
                np.concatenate([arrays["item_weights"], weights]), np.concatenate([arrays["item_offset"], offset])
            ),
            ability=ability,
            certainty=certainty,
            believed=float(arrays["believed"][0]),
            evidence=np.where(np.isnan(ability[:, 0]), np.nan, binding.pick(arrays["recorded"], 0.0)),
        )

    def predict(self, view: View) -> Prediction:
        """Return the expectations; without a usable embedding those are the means over all training prompts."""
        vector, binding = self.binding.vector(view), self.binding
        if vector is None:
            return binding.means(view)
        values, s = self.functions(vector), self.ability.shape[1]
        logit = self.ability[:, 0] + self.ability[:, 1:] @ values[1:s] - values[0]
        mean = binding.prior_score
        score = mean + self.believed * (sigmoid(logit * self.certainty) - mean)
        return binding.prediction(view, score, binding.tokens(values[s:]), evidence=self.evidence)


def place(artifact: Artifact, newcomer: Candidate, pool: tuple[Candidate, ...]) -> Placed | None:
    """Return what a model's benchmark scores tell of its abilities, None when none of them can be used.

    The prior is the spread of the trained models, widened. A score on a benchmark of the artifact (by name) is an
    observation of the abilities on it. Of any other benchmark only the general ability is read, and only if trained
    candidates of the pool state their scores on it too, from which its difficulty follows. The posterior is Gaussian.
    """
    arrays, trained = artifact.arrays, artifact.manifest.candidates
    ability = np.asarray(arrays["ability"], dtype=np.float64)
    known = _named(artifact)
    seen, scores, doubt = [], [], []
    for name, score in sorted((newcomer.benchmarks or {}).items()):
        if name in known:
            at = known[name]
            item, difficulty, variance = arrays["benchmark_discrimination"][at], arrays["benchmark_difficulty"][at], 1.0
        else:
            item = np.eye(ability.shape[1])[0]
            stated = [
                ability[trained.index(c.name), 0] - _logit(c.benchmarks[name])
                for c in pool
                if c.name in trained and c.benchmarks and name in c.benchmarks
            ]
            if not stated:
                continue
            difficulty, variance = float(np.mean(stated)), 2.0 + 2.0 / len(stated)
        seen.append(item)
        scores.append(_logit(score) + difficulty)
        doubt.append(DOUBT * variance)
    if not seen:
        return None
    mean = ability.mean(axis=0)
    spread = WIDTH * np.cov(ability, rowvar=False, bias=True).reshape(mean.size, -1) + 0.05 * np.eye(mean.size)
    items, precision = np.array(seen), 1.0 / np.array(doubt)
    posterior = np.linalg.inv(np.linalg.inv(spread) + (items.T * precision) @ items)
    shift = posterior @ (items.T * precision) @ (np.array(scores) - items @ mean)
    typical = np.asarray(arrays["benchmark_discrimination"][known[""]])
    return Placed(mean + shift, float(typical @ posterior @ typical), len(seen))


def _completed(
    binding: Binding, arrays: Mapping[str, Any], at: list[int], ability: Floats, certainty: Floats
) -> Binding:
    """Return the binding with what is expected of placed candidates on a typical prompt: the benchmark of all."""
    score, tokens = binding.prior_score.copy(), binding.prior_tokens.copy()
    typical = ability[at] @ arrays["benchmark_discrimination"][0] - arrays["benchmark_difficulty"][0]
    score[at] = sigmoid(typical * certainty[at])
    listed = arrays["prior_tokens"][~np.isnan(arrays["prior_tokens"])]
    tokens[at] = listed.mean() if listed.size else np.nan
    return replace(binding, prior_score=score, prior_tokens=tokens)


def _named(artifact: Artifact) -> dict[str, int]:
    names = artifact.manifest.training.get("benchmarks")
    count = len(artifact.arrays["benchmark_difficulty"])
    if not isinstance(names, list) or len(names) != count or names[:1] != [""]:
        raise ArtifactError(
            f"the manifest of artifact {artifact.manifest.version!r} names other benchmarks than its {count} in "
            "'benchmark_difficulty'; train it anew"
        )
    return {name: at for at, name in enumerate(names)}


def _logit(score: float) -> float:
    bounded = min(max(score, 0.02), 0.98)
    return log(bounded / (1.0 - bounded))
