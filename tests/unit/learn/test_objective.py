"""What the operator may want, and what serves it."""

import numpy as np
import pytest

from routeiq.core.errors import ConfigError
from routeiq.learn.evaluate import Reference
from routeiq.learn.objective import Goal, Wanted

LAMBDAS = np.array([0.0, 0.1, 0.2, 0.3])
SCORE = np.array([0.9, 0.85, 0.7, 0.5])
COST = np.array([4.0, 2.0, 1.0, 0.5])
FIXED = (np.array([0.5, 0.9]), np.array([0.5, 4.0]))
REFERENCE = Reference(*FIXED)


@pytest.mark.parametrize("text", ["tradeoff=0.1", "quality_floor=0.85", "budget=2"])
def test_an_objective_is_written_as_it_is_read(text: str) -> None:
    """Each form is understood, and says itself again."""
    assert str(Goal.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quality-floor=0.9", "quality_floor"),
        ("tradeoff", "at least 0"),
        ("budget=-1", "at least 0"),
        ("quality_floor=90", "between 0 and 1"),
        ("tradeoff=inf", "at least 0"),
        ("kept=0.9", "unknown objective"),
    ],
)
def test_a_wrong_objective_is_explained(text: str, said: str) -> None:
    """An unknown name is met with the nearest known one, a bad amount with what was expected."""
    with pytest.raises(ConfigError, match=said):
        Goal.parse(text)


def test_the_cost_weight_serves_the_objective() -> None:
    """The floor takes the largest weight that keeps it, the budget the smallest that stays within."""
    assert Goal.parse("tradeoff=0.15").cost_weight(LAMBDAS, SCORE, COST) == 0.15
    assert Goal.parse("quality_floor=0.8").cost_weight(LAMBDAS, SCORE, COST) == 0.1
    assert Goal.parse("quality_floor=0.95").cost_weight(LAMBDAS, SCORE, COST) == 0.0
    assert Goal.parse("budget=1.5").cost_weight(LAMBDAS, SCORE, COST) == 0.2
    assert Goal.parse("budget=0.1").cost_weight(LAMBDAS, SCORE, COST) == 0.3
    assert Goal().cost_weight(LAMBDAS, SCORE, COST) == 0.0


def test_the_gain_is_in_the_unit_of_the_objective() -> None:
    """Saved cost at a floor, score at a budget, and nothing for fixed models themselves."""
    router = (SCORE, COST)
    at_floor = Goal(Wanted.QUALITY_FLOOR, 0.85).gain(LAMBDAS, router, FIXED, REFERENCE)
    usual = 0.5 + (0.85 - 0.5) / 0.4 * 3.5
    assert at_floor == pytest.approx(1.0 - 2.0 / usual)
    at_budget = Goal(Wanted.BUDGET, 2.0).gain(LAMBDAS, router, FIXED, REFERENCE)
    assert at_budget == pytest.approx(0.85 - (0.5 + 0.4 * 1.5 / 3.5))
    assert Goal(Wanted.TRADEOFF, 0.1).gain(LAMBDAS, router, FIXED, REFERENCE) == pytest.approx(
        (0.85 - 0.1 * 2.0 / 2.25) - (0.9 - 0.1 * 4.0 / 2.25)
    )
    for goal in (Goal(), Goal(Wanted.KEPT, 0.98), Goal(Wanted.BUDGET, 2.0)):
        assert goal.gain(LAMBDAS, FIXED, FIXED, REFERENCE) == pytest.approx(0.0)
        assert goal.gain(LAMBDAS, router, FIXED, REFERENCE) > 0.0


def test_a_floor_that_only_one_side_reaches() -> None:
    """A full gain where only the router reaches it, a full loss where only fixed models do, nothing if neither."""
    goal = Goal(Wanted.QUALITY_FLOOR, 0.92)
    better = (SCORE + 0.05, COST)
    assert goal.gain(LAMBDAS, better, FIXED, REFERENCE) == 1.0
    assert goal.gain(LAMBDAS, (SCORE, COST), (FIXED[0] + 0.05, FIXED[1]), REFERENCE) == -1.0
    assert goal.gain(LAMBDAS, (SCORE, COST), FIXED, REFERENCE) == 0.0
