"""The trained threshold of `cascade`: the method's own rule, the operator's objective, and nothing from noise."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.errors import DataError
from routeiq.learn import cascade
from routeiq.learn.cascade import asked, choose, fitted, replay
from routeiq.learn.evaluate import Reference
from routeiq.learn.matrix import TEST, TRAIN
from routeiq.learn.objective import Goal
from routeiq.learn.training import one_thread
from routeiq.routing.codec import encode
from routeiq.routing.compound.cascade import EXPECTED_SCORE
from routeiq.routing.compound.ledger import Budget, Ledger
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.compound.steps import Plan, Prospect, Question
from tests.unit.learn.scene import WordEmbedder, vectors, world

EMBEDDER = WordEmbedder().id
WORLD = world(400)


def test_who_is_asked_is_who_the_method_asks() -> None:
    """For any expectations and threshold the sweep asks the candidate that the compound model calls first."""
    expected, order = np.random.default_rng(0).random((40, 3)), np.array([2, 0, 1])
    thresholds = np.array([0.0, 0.4, 0.8, 1.0])
    found = asked(expected, order, thresholds)
    for t, threshold in enumerate(thresholds):
        for i, row in enumerate(expected):
            pool = tuple(Prospect(str(j), float(row[j])) for j in order)
            plan = Plan(float(threshold), confidence=EXPECTED_SCORE)
            (first,) = next(METHODS["cascade"].run(Question(""), pool, Ledger(Budget(), {}), plan))
            assert first.model == str(found[t, i])


def test_each_objective_has_its_threshold() -> None:
    """A floor takes the cheapest that keeps it, a budget the best that it pays for, a trade-off the best balance."""
    score, cost = np.array([0.5, 0.7, 0.8, 0.82]), np.array([1.0, 2.0, 4.0, 9.0])
    reference = Reference(np.array([0.5, 0.82]), np.array([1.0, 9.0]))

    def at(text: str) -> int:
        return choose(score, cost, Goal.parse(text), reference, 0.82)

    assert at("") == 3
    assert choose(score, cost, Goal(), reference, 0.81) == 2
    assert (at("quality_floor=0.6"), at("quality_floor=0.9")) == (1, 3)
    assert (at("budget=5"), at("budget=0.5")) == (2, 0)
    assert (at("tradeoff=0"), at("tradeoff=0.1"), at("tradeoff=10")) == (3, 2, 0)


def test_it_reaches_a_floor_that_no_candidate_reaches_alone() -> None:
    """On two topics the cheap models answer what they are good at: better than the dear one, for a part of its cost."""
    train, test, goal = WORLD.split(TRAIN), WORLD.split(TEST), Goal.parse("quality_floor=0.85")
    with one_thread():
        artifact, left_out = fitted(train, vectors(train), EMBEDDER, goal=goal)
        again, _ = fitted(train, vectors(train), EMBEDDER, goal=goal)
        found = replay(artifact, test, vectors(test), Reference.of(train))
    assert encode(artifact).arrays == encode(again).arrays
    assert artifact.threshold is not None
    assert artifact.manifest.training["cascade"]["candidates"] == ["cheap", "poet", "dear"]
    assert left_out.score >= 0.85 > left_out.fixed_score
    assert found.score > found.fixed_score
    assert found.saving > 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_noise_is_answered_by_the_best_candidate() -> None:
    """Where scores belong to other prompts a single candidate answers them all."""
    train = WORLD.split(TRAIN)
    noise = replace(train, score=train.score[np.random.default_rng(0).permutation(len(train))])
    with one_thread():
        _, left_out = fitted(noise, vectors(noise), EMBEDDER)
    assert max(left_out.shares.values()) == 1.0
    assert left_out.score >= cascade.KEPT * left_out.fixed_score


def test_too_few_prompts_are_refused() -> None:
    """A threshold that cannot be compared is not written; the error says how many prompts are needed."""
    few = world(24)
    with pytest.raises(DataError, match=r"24 prompts have a score of every one of 3 candidates.*--models"):
        fitted(few, vectors(few), EMBEDDER)


def test_an_artifact_without_a_threshold_cannot_be_replayed() -> None:
    """The error says how a threshold is trained."""
    train = WORLD.split(TRAIN)
    with one_thread():
        artifact, _ = fitted(train, vectors(train), EMBEDDER)
    bare = replace(artifact, manifest=replace(artifact.manifest, training={}))
    with pytest.raises(DataError, match="routeiq train cascade"):
        replay(bare, train, vectors(train), Reference.of(train))
