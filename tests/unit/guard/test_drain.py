"""The phases of a drain."""

import math

import pytest

from routeiq.guard.drain import Drain, Phase


def test_a_drain_goes_through_its_phases() -> None:
    """Work is taken during the lame-duck period, refused after it, and cut at the limit."""
    drain = Drain(lame_duck_s=5, limit_s=30)
    assert drain.phase(1e9) is Phase.SERVING
    assert drain.next_at(0) == math.inf
    assert drain.begin(100)
    phases = [drain.phase(now) for now in (100, 104.9, 105, 129.9, 130, 1e9)]
    assert phases == [Phase.LAME_DUCK] * 2 + [Phase.REFUSING] * 2 + [Phase.CUTTING] * 2
    assert [drain.next_at(now) for now in (100, 105, 130)] == [105, 130, math.inf]
    assert drain.elapsed(107.5) == 7.5


def test_a_second_request_to_stop_changes_nothing() -> None:
    """A signal that comes twice, to the parent and to its group, does not begin a second drain."""
    drain = Drain(lame_duck_s=5, limit_s=30)
    assert drain.begin(100)
    assert not drain.begin(120, lame_duck=False)
    assert (drain.phase(104), drain.phase(129), drain.phase(130)) == (Phase.LAME_DUCK, Phase.REFUSING, Phase.CUTTING)


def test_a_person_at_the_terminal_waits_for_no_load_balancer() -> None:
    """Without the lame-duck period work is refused at once, and what runs may finish."""
    drain = Drain(lame_duck_s=5, limit_s=30)
    drain.begin(100, lame_duck=False)
    assert drain.phase(100) is Phase.REFUSING


@pytest.mark.parametrize("begun", [True, False])
def test_a_hurry_cuts_at_once(begun: bool) -> None:
    """Whether or not a drain has begun, a hurry ends what runs now and never later than before."""
    drain = Drain(lame_duck_s=5, limit_s=30)
    if begun:
        drain.begin(98)
    drain.hurry(100)
    assert drain.phase(100) is Phase.CUTTING
    assert drain.next_at(100) == math.inf


def test_the_limit_works_at_ten_minutes_and_at_none() -> None:
    """600 seconds are 600 seconds, and a limit shorter than the lame-duck period is kept."""
    long, short = Drain(lame_duck_s=5, limit_s=600), Drain(lame_duck_s=5, limit_s=1)
    long.begin(0)
    short.begin(0)
    assert [long.phase(now) for now in (599.9, 600)] == [Phase.REFUSING, Phase.CUTTING]
    assert [short.phase(now) for now in (0.9, 1)] == [Phase.LAME_DUCK, Phase.CUTTING]
