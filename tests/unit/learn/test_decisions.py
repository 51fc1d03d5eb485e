"""Decisions: the sweep, and that it is what serving does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.core.errors import ArtifactError, DataError, UnknownCandidate, UnknownStrategy
from routeiq.core.reward import Objective
from routeiq.learn import evaluate, knn
from routeiq.learn.dataset import read
from routeiq.learn.decisions import CostRule, by_artifact, by_strategy, reference_of, sweep
from routeiq.learn.evaluate import LAMBDAS, Reference
from routeiq.learn.training import request_of, table_of
from routeiq.routing.stages import Features, Prediction, Scorer, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import (
    WordEmbedder,
    model_rows,
    outcome_rows,
    prompt_rows,
    vectors,
    world,
    write,
    write_world,
)

MATRIX = world(200)
ARTIFACT = knn.fit(MATRIX.split("train"), vectors(MATRIX.split("train")), WordEmbedder().id)
REFERENCE = Reference.of(MATRIX.split("train"))
TEST = MATRIX.split("test")


class AtTrainingCost:
    """A scorer that says of every candidate its mean training cost."""

    name = "at training cost"

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(self, view: View) -> Prediction:
        """Return the scorer's scores."""
        return Prediction(self.scorer.predict(view).score, quality=True, cost_usd=REFERENCE.cost_usd)


@pytest.mark.parametrize("rule", CostRule)
@pytest.mark.parametrize("weight", [0.0, 0.05, 1.0])
def test_the_sweep_chooses_what_serving_chooses(rule: CostRule, weight: float) -> None:
    """A profile with cost weight lambda makes the same choices one by one, under either rule of cost."""
    table = table_of(TEST)
    profile = build(recipe("knn"), table, ARTIFACT, Tuning(Objective(cost_weight=weight)))
    if rule is not CostRule.PREDICTED:
        scorer = AtTrainingCost(profile.scorers[0][0])
        profile = type(profile)("knn", (), ((scorer, 1.0),), profile.picker, profile.objective)
    views = [
        View(request_of(TEST, i), Features(vector, WordEmbedder().id), table, Vitals())
        for i, vector in enumerate(vectors(TEST))
    ]
    served = [profile.assess(view, {}, 0.0, 0).chosen for view in views]
    decided = by_artifact(ARTIFACT, TEST, vectors(TEST), REFERENCE, np.array([weight]), rule)
    assert decided.choices[0].tolist() == served
    assert decided.models == table.names


def test_the_sweep_is_the_one_that_is_measured() -> None:
    """At mean training costs the choices are those of `learn.evaluate` on the same predictions, at all 121 lambdas."""
    decided = by_artifact(ARTIFACT, TEST, vectors(TEST), REFERENCE, LAMBDAS)
    assert decided.score is not None
    np.testing.assert_array_equal(decided.choices, evaluate.choose(decided.score, REFERENCE))


def test_the_sweep_by_hand() -> None:
    """Score less lambda times relative cost; the cheapest among equals; a candidate without a prediction comes last."""
    score = np.array([[0.5, 0.9], [0.5, 0.5], [np.nan, 0.1]])
    cost = np.array([[1.0, 3.0], [3.0, 1.0], [1.0, 3.0]])
    assert sweep(score, cost, np.array([0.0, 0.41])).tolist() == [[1, 1, 1], [0, 1, 1]]


def test_an_unknown_cost_counts_as_the_mean_and_free_models_cost_nothing() -> None:
    """A missing cost is neither cheap nor forbidding."""
    score = np.array([[0.5, 0.6, 0.58]])
    assert sweep(score, np.array([[1.0, 3.0, np.nan]]), np.array([0.06])).tolist() == [[2]]
    assert sweep(score, np.zeros((1, 3)), np.array([9.0])).tolist() == [[1]]


def test_decisions_do_not_look_at_outcomes() -> None:
    """With the scores of the split erased the decisions are the same."""
    blind = world(200).split("test")
    blind.score[:] = np.nan
    blind.cost_usd[:] = np.nan
    seen = by_artifact(ARTIFACT, TEST, vectors(TEST), REFERENCE, LAMBDAS[::20])
    np.testing.assert_array_equal(
        by_artifact(ARTIFACT, blind, vectors(TEST), REFERENCE, LAMBDAS[::20]).choices, seen.choices
    )


def test_random_states_its_propensity_and_repeats_with_its_seed() -> None:
    """Each of three models has one third; another seed draws otherwise."""
    first, again, other = (by_strategy("random", TEST, REFERENCE, np.zeros(1), seed) for seed in (1, 1, 2))
    np.testing.assert_allclose(first.propensity, 1 / 3)
    np.testing.assert_array_equal(first.choices, again.choices)
    assert (first.choices != other.choices).any()


def test_fixed_takes_the_best_training_model_or_the_one_it_is_told() -> None:
    """`fixed` is the best fixed model, `fixed=NAME` that model at every lambda."""
    assert set(by_strategy("fixed", TEST, REFERENCE, np.zeros(1)).choices.ravel()) == {REFERENCE.best}
    assert set(by_strategy("fixed=poet", TEST, REFERENCE, LAMBDAS).choices.ravel()) == {2}
    with pytest.raises(UnknownCandidate, match="did you mean 'poet'"):
        by_strategy("fixed=poett", TEST, REFERENCE, np.zeros(1))


def test_the_cheapest_strategy_is_cheap() -> None:
    """A strategy that needs no artifact decides by list prices."""
    assert set(by_strategy("cheapest-capable", TEST, REFERENCE, np.zeros(1)).choices.ravel()) == {0}


def test_strategies_that_cannot_decide_are_refused() -> None:
    """An unknown name gets the nearest one, a learned one is told that it needs an artifact."""
    with pytest.raises(UnknownStrategy, match="did you mean 'random'"):
        by_strategy("randm", TEST, REFERENCE, np.zeros(1))
    with pytest.raises(ArtifactError, match="routeiq train knn"):
        by_strategy("knn", TEST, REFERENCE, np.zeros(1))


def test_without_training_prompts_the_artifact_says_what_training_cost() -> None:
    """Data of the test split alone gives the same best fixed model and the same order of costs."""
    found = reference_of(TEST, ARTIFACT, "here")
    assert found.best == REFERENCE.best
    np.testing.assert_allclose(found.cost_usd, REFERENCE.cost_usd, rtol=0.05)
    means = {
        name: {"score": float(REFERENCE.score[j]), "cost_usd": float(REFERENCE.cost_usd[j])}
        for j, name in enumerate(MATRIX.models)
    }
    kept = replace(ARTIFACT, manifest=replace(ARTIFACT.manifest, training={"means": means}))
    np.testing.assert_array_equal(reference_of(TEST, kept, "here").cost_usd, REFERENCE.cost_usd)
    with pytest.raises(DataError, match="keep the train split"):
        reference_of(TEST, None, "here")


def test_data_without_outcomes_can_be_decided_on(tmp_path: Path) -> None:
    """Without a file of outcomes, or without rows in it, the prompts are there and every cell is empty."""
    bare = write_world(tmp_path / "bare", MATRIX)
    (bare / "outcomes.parquet").unlink()
    with pytest.raises(DataError, match=r"outcomes\.parquet does not exist"):
        read(bare, ["toy"])
    found = read(bare, ["toy"], scored=False)
    assert len(found) == len(MATRIX)
    assert np.isnan(found.score).all()
    one = write(tmp_path / "one", prompt_rows(MATRIX)[:1], outcome_rows(MATRIX)[:1], model_rows())
    assert len(read(one, ["toy"], scored=False)) == 1
