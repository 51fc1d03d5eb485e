"""What a router decides for recorded prompts at every cost weight, made by the code that serves requests.

Owns the sweep over cost weights (lambda). Each prompt is assessed once by `routing.profile.Profile`, which gives what
is expected of every candidate; the choices at all lambdas follow from that by the profile's own arithmetic, over all
prompts at once. It does not judge them (`learn.evaluate`) nor write them (`learn.decision_files`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.core.errors import DataError, UnknownCandidate, nearest
from routeiq.learn.evaluate import Choices, Reference
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import TRAIN, OutcomeMatrix, mean_of_known
from routeiq.learn.training import request_of, table_of
from routeiq.routing.profile import Assessment
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import Recipe, Tuning, build, recipe
from routeiq.routing.table import Floats
from routeiq.routing.trained import columns, pick
from routeiq.routing.vitals import Vitals

FIXED = "fixed"
"""The name of always choosing one model: `fixed` the best one on the training prompts, `fixed=NAME` that one."""


class CostRule(StrEnum):
    """Which cost lambda multiplies: the candidate's mean over the training prompts, or that predicted for the prompt.

    The first is divided by its mean over the candidates, as in the definition of the measures; the second by what a
    gateway divides by: the typical cost that the artifact knows, or else the mean over the candidates on that prompt.
    `OWN` is the rule that an artifact says it was chosen under, the training means where it says nothing.
    """

    OWN = "own"

    TRAINING = "training"
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """The model chosen for n prompts at L cost weights.

    `choices` (L, n) are positions in `models`, `propensity` (L, n) the probability with which each was chosen.
    `score` and `cost_usd` (n, m) are what was predicted of every candidate, NaN where nothing was; None when unknown.
    """

    router: str
    suites: tuple[str, ...]
    prompt_ids: tuple[str, ...] = field(repr=False)
    models: tuple[str, ...]
    lambdas: Floats
    choices: Choices
    propensity: Floats
    score: Floats | None = None
    cost_usd: Floats | None = None

    def __len__(self) -> int:
        return len(self.prompt_ids)


def sweep(score: Floats, cost_usd: Floats, lambdas: Floats, typical: float | None = None) -> Choices:
    """Return the choice of each prompt at each lambda, shape (L, n), from predictions of shape (n, m).

    The arithmetic of `Profile` with `objective.cost_weight` = lambda: score less lambda times the cost over the
    mean of the candidates' costs, or over the `typical` one (an unknown one counts as that); a candidate without a
    prediction comes behind all others; among equals the cheapest, then the first.
    """
    order = np.argsort(np.where(np.isnan(cost_usd), np.inf, cost_usd), axis=1, kind="stable")
    mean = np.full((len(score), 1), typical) if typical else mean_of_known(cost_usd.T)[:, None]
    free = ~(mean > 0)
    relative = np.where(free, 0.0, np.where(np.isnan(cost_usd), 1.0, cost_usd / np.where(free, 1.0, mean)))
    relative = np.take_along_axis(relative, order, axis=1)
    ordered = np.nan_to_num(np.take_along_axis(score, order, axis=1), nan=-np.inf)
    rows = np.arange(len(score))
    return np.stack([order[rows, (ordered - weight * relative).argmax(axis=1)] for weight in lambdas])


def by_artifact(
    artifact: Artifact,
    prompts: OutcomeMatrix,
    vectors: Singles | None,
    reference: Reference,
    lambdas: Floats,
    rule: CostRule = CostRule.OWN,
) -> Decisions:
    """Return what a trained artifact decides; `vectors` (n, D) are the prompts' embeddings, if it uses any.

    Scores and outcomes of the prompts are not looked at. Raises ArtifactError when the artifact does not fit.
    """
    made_of = recipe(artifact.manifest.strategy)
    found = assess(made_of, artifact, prompts, vectors)
    score = np.stack([one.utility if one.expected_score is None else one.expected_score for one in found])
    cost = np.stack([one.cost_usd for one in found])
    if rule is CostRule.OWN:
        rule = CostRule(artifact.manifest.training.get("cost_rule", CostRule.TRAINING))
    if rule is CostRule.PREDICTED:
        choices = sweep(score, cost, lambdas, found[0].typical_cost_usd if found else None)
    else:
        choices = sweep(score, np.broadcast_to(reference.cost_usd, cost.shape), lambdas)
    return _decisions(artifact.manifest.strategy, prompts, lambdas, choices, np.ones(choices.shape), score, cost)


def by_strategy(name: str, prompts: OutcomeMatrix, reference: Reference, lambdas: Floats, seed: int = 0) -> Decisions:
    """Return what a strategy that needs no artifact decides; lambda does not matter to it, so each gives the same.

    Raises UnknownStrategy, UnknownCandidate, and ArtifactError for a strategy that must be trained.
    """
    if name == FIXED or name.startswith(f"{FIXED}="):
        return _fixed(name, prompts, reference, lambdas)
    draws = np.random.default_rng(seed).random(len(prompts))
    found = assess(recipe(name), None, prompts, draws=draws)
    choices = np.tile([one.chosen for one in found], (lambdas.size, 1))
    propensity = np.tile([one.probability[one.chosen] for one in found], (lambdas.size, 1))
    cost = np.stack([one.cost_usd for one in found])
    return _decisions(name, prompts, lambdas, choices, propensity, np.full(cost.shape, np.nan), cost)


def _fixed(name: str, prompts: OutcomeMatrix, reference: Reference, lambdas: Floats) -> Decisions:
    wanted = name.removeprefix(FIXED).removeprefix("=") or prompts.models[reference.best]
    if wanted not in prompts.models:
        raise UnknownCandidate(f"--strategy {name}: no such model; {nearest(wanted, prompts.models)}")
    shape = (lambdas.size, len(prompts))
    means = [np.tile(amount, (len(prompts), 1)) for amount in (reference.score, reference.cost_usd)]
    return _decisions(name, prompts, lambdas, np.full(shape, prompts.models.index(wanted)), np.ones(shape), *means)


def _decisions(
    router: str, prompts: OutcomeMatrix, lambdas: Floats, choices: Choices, propensity: Floats, score: Floats,
    cost: Floats,
) -> Decisions:  # fmt: skip
    return Decisions(
        router, prompts.suites, prompts.ids, prompts.models, lambdas, choices, propensity, score=score, cost_usd=cost
    )


def assess(
    made_of: Recipe,
    artifact: Artifact | None,
    prompts: OutcomeMatrix,
    vectors: Singles | None = None,
    draws: Floats | None = None,
) -> list[Assessment]:
    """Return the assessment of each prompt in turn by the profile that would serve these models, at cost weight 0.

    `vectors` (n, D) are embeddings by the artifact's embedder; `draws` (n,) uniform numbers, 0 if not given.
    """
    table, vitals = table_of(prompts), Vitals()
    profile = build(made_of, table, artifact, Tuning())
    found = []
    for i in range(len(prompts)):
        features = Features() if vectors is None else Features(vectors[i], profile.embedder)
        view = View(request_of(prompts, i), features, table, vitals)
        found.append(profile.assess(view, {}, 0.0 if draws is None else float(draws[i]), i))
    return found


def reference_of(prompts: OutcomeMatrix, artifact: Artifact | None, where: str) -> Reference:
    """Return the training means that lambda and the baselines refer to.

    Those of the train split where it is there, else what the artifact keeps of its own training. Raises DataError when
    there is neither; `where` names the data.
    """
    train = prompts.split(TRAIN)
    if not np.isnan(train.score).all():
        return Reference.of(train)
    arrays: Mapping[str, Any] = {} if artifact is None else artifact.arrays
    means: Mapping[str, Any] = {} if artifact is None else artifact.manifest.training.get("means", {})
    if all(name in means for name in prompts.models):
        amounts = [[float(means[name][what]) for name in prompts.models] for what in ("score", "cost_usd")]
        return Reference(np.array(amounts[0]), np.array(amounts[1]))
    if artifact is None or not {"prior_score", "prior_tokens"} <= set(arrays):
        raise DataError(
            f"{where}: no prompt of split 'train' has an outcome, so mean training costs and the best fixed model are "
            "unknown; keep the train split in the data, or use an artifact that holds training means"
        )
    column = columns(artifact, table_of(prompts))
    score, tokens = (pick(arrays[name], column) for name in ("prior_score", "prior_tokens"))
    cost = prompts.input_price * _mean_length(prompts) + prompts.output_price * tokens
    dearest = float(np.nanmax(cost)) if not np.isnan(cost).all() else 0.0
    return Reference(np.nan_to_num(score), np.nan_to_num(cost, nan=dearest))


def _mean_length(prompts: OutcomeMatrix) -> float:
    return float(np.mean([request_of(prompts, i).prompt_tokens for i in range(len(prompts))]))
