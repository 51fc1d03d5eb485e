"""The arithmetic of one decision: weights, objective, unknown candidates, ties."""

from dataclasses import dataclass

import numpy as np
import pytest

from routeiq.core.candidate import Candidate
from routeiq.core.reward import Objective, reward
from routeiq.routing.pickers import Best, EpsilonGreedy, EvenAmongBest, Proportional, Rotate, Softmax, best_index
from routeiq.routing.profile import Assessment, Profile
from routeiq.routing.stages import Features, Picker, Prediction, View
from routeiq.routing.table import CandidateTable, Floats
from routeiq.routing.vitals import Vitals
from tests.unit.routing.scene import POOL, request

NAN = float("nan")
PICKERS: list[Picker] = [Best(), EvenAmongBest(), Proportional(), Rotate(), EpsilonGreedy(0.2), Softmax(0.5)]


@dataclass(frozen=True)
class Fixed:
    """A scorer that always predicts the same."""

    score: tuple[float, ...]
    quality: bool = True
    cost: tuple[float, ...] | None = None
    name: str = "fixed"

    def predict(self, view: View) -> Prediction:
        """Return the fixed scores."""
        cost = None if self.cost is None else np.array(self.cost)
        return Prediction(np.array(self.score), quality=self.quality, cost_usd=cost)


def assess(
    *scorers: tuple[Fixed, float], objective: Objective | None = None, pool: tuple[Candidate, ...] = POOL
) -> Assessment:
    """Assess one request without filters."""
    view = View(request(), Features(), CandidateTable(pool), Vitals())
    profile = Profile("test", (), tuple(scorers), Best(), objective or Objective())
    return profile.assess(view, {}, draw=0.0, turn=0)


def test_scores_are_combined_by_weight() -> None:
    """Two scorers contribute in proportion to their weights."""
    found = assess((Fixed((0.0, 1.0, 0.5)), 3.0), (Fixed((1.0, 0.0, 0.5)), 1.0))
    assert found.utility.tolist() == pytest.approx([0.25, 0.75, 0.5])


def test_a_candidate_without_prediction_is_ranked_last() -> None:
    """What no scorer knows goes behind everything that is known, however bad that is."""
    found = assess((Fixed((0.01, NAN, 0.02)), 1.0))
    assert found.chosen == 2
    assert np.argsort(-found.utility).tolist() == [2, 0, 1]
    assert found.expected_score is not None
    assert np.isnan(found.expected_score[1])


def test_one_scorer_without_opinion_leaves_it_to_the_other() -> None:
    """A missing opinion does not pull a candidate down."""
    found = assess((Fixed((0.5, NAN, 0.5)), 1.0), (Fixed((0.5, 0.9, 0.5)), 1.0))
    assert found.utility[1] == pytest.approx(0.9)


def test_preferences_are_not_reported_as_quality() -> None:
    """A score that only states a preference is no expected score."""
    assert assess((Fixed((0.1, 0.2, 0.3), quality=False), 1.0)).expected_score is None


def test_cost_is_traded_against_quality_as_reward_says() -> None:
    """The utility of a decision is the reward of the same numbers, so online and offline agree."""
    objective = Objective(cost_weight=0.3)
    cost = (0.001, 0.004, 0.010)
    found = assess((Fixed((0.6, 0.7, 0.8), cost=cost), 1.0), objective=objective)
    expected = [reward(s, c, None, sum(cost) / 3, objective) for s, c in zip((0.6, 0.7, 0.8), cost, strict=True)]
    assert found.utility.tolist() == pytest.approx(expected)
    assert found.chosen == 0


def test_free_models_have_no_cost_term() -> None:
    """Where everything is free, a cost weight changes nothing."""
    free = tuple(Candidate(name, 0.0, 0.0) for name in "abc")
    found = assess((Fixed((0.6, 0.7, 0.5)), 1.0), objective=Objective(cost_weight=5.0), pool=free)
    assert found.chosen == 1
    assert np.isfinite(found.utility).all()


def test_an_unknown_price_counts_as_the_mean() -> None:
    """A candidate whose price nobody stated is neither favoured nor punished by the cost term."""
    pool = (Candidate("a", 1e-6, 1e-6), Candidate("b"), Candidate("c", 3e-6, 3e-6))
    found = assess((Fixed((0.5, 0.5, 0.5)), 1.0), objective=Objective(cost_weight=0.1), pool=pool)
    assert found.utility[0] > found.utility[1] > found.utility[2]


def test_equal_scores_go_to_the_cheapest() -> None:
    """When the strategy cannot tell candidates apart the cheapest is taken, not the first or the dearest."""
    found = assess((Fixed((0.5, 0.5, 0.5), cost=(3.0, 1.0, 2.0)), 1.0))
    assert found.chosen == 1


def test_tie_break_is_the_operators_order_without_prices() -> None:
    """Without prices equals are taken in the operator's order."""
    unknown: Floats = np.full(3, np.nan)
    assert best_index(np.ones(3), unknown) == 0
    assert best_index(np.array([0.0, 1.0, 1.0]), unknown) == 1


@pytest.mark.parametrize("picker", PICKERS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("utility", [[0.3], [0.0, 0.0], [-3.0, -1.0, -2.0], [0.2, 0.9, 0.9, 0.1]])
def test_pickers_state_proper_probabilities(picker: Picker, utility: list[float]) -> None:
    """Probabilities are non-negative, sum to one, and the position picked has a positive one, for any draw."""
    for draw in (0.0, 0.25, 0.5, 0.999999):
        pick = picker.pick(np.array(utility), np.ones(len(utility)), draw, turn=3)
        assert pick.probability.shape == (len(utility),)
        assert pick.probability.min() >= 0
        assert pick.probability.sum() == pytest.approx(1.0)
        assert pick.probability[pick.position] > 0


def test_softmax_follows_its_distribution() -> None:
    """The share of draws that fall on a position is its stated probability."""
    utility = np.array([0.1, 0.4, 0.2])
    picks = [Softmax(0.2).pick(utility, np.ones(3), draw, 0) for draw in np.linspace(0, 1, 1001)[:-1]]
    shares = np.bincount([p.position for p in picks], minlength=3) / 1000
    assert shares.tolist() == pytest.approx(picks[0].probability.tolist(), abs=0.002)


def test_a_typical_cost_makes_a_dollar_count_alike_on_every_prompt() -> None:
    """Where a scorer knows what is typical, the same weight leaves the best model on a dear prompt only."""

    @dataclass(frozen=True)
    class Knowing:
        factor: float
        name: str = "knowing"

        def predict(self, view: View) -> Prediction:
            cost = np.array([0.01, 0.02, 0.03]) * self.factor
            return Prediction(np.array([0.5, 0.6, 0.9]), quality=True, cost_usd=cost, typical_cost_usd=0.02)

    chosen = {}
    for factor in (0.1, 10.0):
        profile = Profile("knowing", (), ((Knowing(factor), 1.0),), Best(), Objective(cost_weight=0.2))
        view = View(request(), Features(), CandidateTable(POOL[:3]), Vitals())
        chosen[factor] = profile.assess(view, {}, 0.0, 0).chosen
    assert chosen == {0.1: 2, 10.0: 0}
