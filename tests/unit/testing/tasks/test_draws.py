"""Reproducible chance."""

from __future__ import annotations

from statistics import mean, pstdev

from routeiq.testing.tasks.draws import lognormal, normal, normal_cdf, uniform


def test_the_same_words_give_the_same_number_and_others_another() -> None:
    """A draw depends on its parts and how they are parted."""
    assert uniform("a", 1) == uniform("a", 1)
    assert len({uniform("a", 1), uniform("a", 2), uniform("a1"), uniform("1", "a")}) == 4


def test_draws_follow_their_distributions() -> None:
    """Mean and spread of two thousand draws are those of the distribution."""
    flat = [uniform("u", n) for n in range(2000)]
    bell = [normal("n", n) for n in range(2000)]
    assert all(0 < x < 1 for x in flat)
    assert abs(mean(flat) - 0.5) < 0.02
    assert abs(mean(bell)) < 0.07
    assert abs(pstdev(bell) - 1) < 0.05
    longer = sum(lognormal(3.0, 0.5, "l", n) > 3.0 for n in range(2000))
    assert abs(longer / 2000 - 0.5) < 0.04


def test_the_share_below_a_normal_draw_is_uniform() -> None:
    """`normal_cdf` undoes `normal`."""
    assert abs(normal_cdf(normal("x", 3)) - uniform("x", 3)) < 1e-9
