"""Retries: the distribution of pauses, the budget, and what is tried again."""

import random
from statistics import mean

import pytest

from routeiq.guard.retry import Backoff, Budget, Retries


class Passing(Exception):
    """An error after which a call may be repeated."""


class Flaky:
    """Work that fails a number of times; `calls` counts."""

    def __init__(self, failures: int, error: type[Exception] = Passing) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        """Fail or answer."""
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"

    async def aside(self) -> str:
        """Do the same on the event loop."""
        return self()


def retries(**more: object) -> Retries:
    """Retries of passing errors."""
    return Retries(lambda error: isinstance(error, Passing), random.Random(3), **more)  # type: ignore[arg-type]


def test_pauses_are_spread_over_all_of_a_growing_range() -> None:
    """Full jitter: after each failure pauses are drawn evenly from zero to a ceiling that doubles up to the longest."""
    backoff, chance = Backoff(first_s=0.1, longest_s=1.0), random.Random(5)
    for failures, ceiling in [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (500, 1.0)]:
        drawn = [backoff.pause_s(failures, chance) for _ in range(4_000)]
        assert max(drawn) <= ceiling
        assert mean(drawn) == pytest.approx(ceiling / 2, rel=0.05)
        quarters = [sum(at <= d / ceiling * 4 < at + 1 for d in drawn) for at in range(4)]
        assert min(quarters) > 900


def test_the_number_of_attempts_is_bounded() -> None:
    """There is one pause less than attempts, and none is shorter than the floor."""
    pauses = list(Backoff(first_s=0.1, floor_s=0.05, attempts=6).pauses(random.Random(1)))
    assert len(pauses) == 5
    assert min(pauses) >= 0.05


def test_only_a_share_of_calls_is_repeated() -> None:
    """When everything fails, second tries come to the share of the calls and a small reserve, and no more."""
    budget = Budget(share=0.1, reserve=5.0)
    tried = 0
    for _ in range(1_000):
        budget.called()
        tried += budget.spend()
    assert 100 <= tried <= 106
    assert budget.refused == 1_000 - tried


async def test_passing_errors_are_tried_again() -> None:
    """Work that fails twice is asked three times, on the event loop and in a thread."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    work = Flaky(2)
    assert await retries().call(work.aside, sleep) == "answer"
    assert retries().call_blocking(Flaky(2), slept.append) == "answer"
    assert (work.calls, len(slept)) == (3, 4)


async def test_other_errors_are_not() -> None:
    """An error that would only come again ends the call at once; so do too many of the others, and an empty budget."""
    work = Flaky(9, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        await retries().call(work.aside)
    stubborn = Flaky(9)
    with pytest.raises(Passing):
        retries(backoff=Backoff(attempts=3)).call_blocking(stubborn, lambda seconds: None)
    spent = Flaky(9)
    with pytest.raises(Passing):
        retries(budget=Budget(share=0.0, reserve=1.0)).call_blocking(spent, lambda seconds: None)
    assert (work.calls, stubborn.calls, spent.calls) == (1, 3, 2)
