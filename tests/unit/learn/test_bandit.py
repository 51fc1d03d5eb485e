"""Posteriors that learn from one reward at a time, and the pickers that explore by their uncertainty."""

from dataclasses import replace
from math import erf, sqrt

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.decision import Reason
from routeiq.core.request import RouteRequest
from routeiq.learn import linucb, thompson
from routeiq.learn.bandit import OnlineState
from routeiq.routing.pickers import Thompson, UpperBound, best_probability
from routeiq.routing.profile import Assessment
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

POOL = CandidateTable(tuple(Candidate(name, 1e-6, 2e-6) for name in MODELS))


def about(topic: str) -> Features:
    """Features of a prompt about a topic."""
    return Features(WordEmbedder().embed(" ".join(WORDS[topic][:5])), "words@1")


def assess(artifact: Artifact, features: Features, draw: float = 0.5) -> Assessment:
    """Decide over the pool."""
    profile = build(recipe(artifact.manifest.strategy), POOL, artifact, Tuning())
    return profile.assess(View(RouteRequest("r", "auto", prompt_tokens=10), features, POOL, Vitals()), {}, draw, 0)


def start(prompts: int = 400, strategy: object = thompson) -> Artifact:
    """A bandit that starts from recorded outcomes."""
    matrix = world(prompts)
    return strategy.fit(matrix, vectors(matrix), "words@1")


def test_of_two_candidates_the_probability_has_a_closed_form() -> None:
    """It is the normal distribution function of their distance over its standard deviation."""
    for distance, first, second in ((0.0, 0.1, 0.1), (0.05, 0.1, 0.02), (0.3, 0.1, 0.2), (-0.1, 1e-9, 0.1)):
        found = best_probability(np.array([0.5 + distance, 0.5]), np.array([first, second]))
        expected = 0.5 * (1 + erf(distance / sqrt(first**2 + second**2) / sqrt(2)))
        assert found[0] == pytest.approx(expected, abs=0.005)
        assert found.sum() == pytest.approx(1.0)


def test_of_many_candidates_it_is_how_often_a_sample_is_the_largest() -> None:
    """Sampling utilities and taking the best gives the stated frequencies."""
    mean, deviation = np.array([0.7, 0.68, 0.6, 0.2]), np.array([0.02, 0.05, 0.1, 0.1])
    samples = np.random.default_rng(0).normal(mean, deviation, (40_000, 4)).argmax(axis=1)
    np.testing.assert_allclose(best_probability(mean, deviation), np.bincount(samples, minlength=4) / 40_000, atol=0.01)


def test_thompson_draws_with_the_probabilities_it_states() -> None:
    """Over evenly spread draws, each candidate is chosen as often as stated."""
    utility, deviation = np.array([0.7, 0.68, 0.6]), np.array([0.05, 0.05, 0.05])
    picks = [Thompson().pick_uncertain(utility, deviation, utility, (i + 0.5) / 500, 0) for i in range(500)]
    share = np.bincount([pick.position for pick in picks], minlength=3) / 500
    np.testing.assert_allclose(share, picks[0].probability, atol=0.005)


def test_without_uncertainty_both_take_the_best() -> None:
    """A candidate of which all is known is not explored."""
    utility, none = np.array([0.2, 0.9, 0.3]), np.zeros(3)
    for picker in (Thompson(), UpperBound()):
        assert picker.pick(utility, utility, 0.99, 0).position == 1
        assert picker.pick_uncertain(utility, none, utility, 0.99, 0).position == 1


def test_linucb_gives_the_benefit_of_the_doubt() -> None:
    """A candidate that might be better is tried, and that is called exploration."""
    artifact = start(strategy=linucb)
    seen = np.array(artifact.arrays["precision"])
    seen[0] /= 300.0
    unsure = replace(artifact, arrays={**artifact.arrays, "precision": seen, "moment": artifact.arrays["moment"] * 0})
    assert assess(unsure, about("maths")).chosen == 0
    profile = build(recipe("linucb"), POOL, unsure, Tuning())
    assert profile.picker.off_best is Reason.EXPLORATION


def test_propensities_of_thompson_are_stated_over_the_candidates_left() -> None:
    """They sum to one, and the favourite has the largest."""
    found = assess(start(60), about("verse"))
    assert found.probability.sum() == pytest.approx(1.0)
    assert found.probability.argmax() == MODELS.index("poet")


def test_learning_one_by_one_is_learning_all_at_once() -> None:
    """The order of rewards does not matter, and the posterior is that of the batch."""
    artifact = start()
    chance = np.random.default_rng(1)
    words = [" ".join(chance.choice(WORDS["verse"], 5)) for _ in range(30)]
    told = [
        (Features(WordEmbedder().embed(text), "words@1"), MODELS[i % 3], (i % 5) / 4) for i, text in enumerate(words)
    ]
    forth, back = OnlineState.of(artifact), OnlineState.of(artifact)
    assert all(forth.learn_one(*one) for one in told)
    assert all(back.learn_one(*one) for one in reversed(told))
    for name in ("precision", "moment", "seen"):
        np.testing.assert_allclose(forth.snapshot().arrays[name], back.snapshot().arrays[name], rtol=1e-9, atol=1e-9)
    assert forth.snapshot().arrays["seen"].sum() == artifact.arrays["seen"].sum() + 30


def test_rewards_change_whom_it_expects_to_be_good() -> None:
    """A poet that writes badly from now on is expected to write badly, about verse, and more surely so."""
    artifact = start(60)
    state, poet = OnlineState.of(artifact), MODELS.index("poet")
    for _ in range(300):
        assert state.learn_one(about("verse"), "poet", 0.0)
    before, after = assess(artifact, about("verse")), assess(state.snapshot(), about("verse"))
    assert after.expected_score[poet] < before.expected_score[poet] - 0.4
    assert after.probability[poet] < 0.01
    assert state.snapshot().manifest.parent == artifact.manifest.version


def test_the_artifact_it_started_from_stays_as_it_is() -> None:
    """A snapshot in force is never written to."""
    artifact = start(60)
    kept = artifact.arrays["precision"].copy()
    OnlineState.of(artifact).learn_one(about("verse"), "poet", 0.0)
    np.testing.assert_array_equal(artifact.arrays["precision"], kept)


def test_what_cannot_be_learned_from_is_left_out() -> None:
    """An unknown model, a reward out of range, and a prompt without an embedding change nothing."""
    state = OnlineState.of(start(60))
    before = state.precision.copy()
    assert not state.learn_one(about("verse"), "stranger", 0.5)
    assert not state.learn_one(about("verse"), "poet", float("nan"))
    assert not state.learn_one(about("verse"), "poet", 1.5)
    assert not state.learn_one(Features(absent="embedder_timeout"), "poet", 0.5)
    assert not state.learn_one(Features(np.ones(24, dtype=np.float32), "another@1"), "poet", 0.5)
    np.testing.assert_array_equal(state.precision, before)
