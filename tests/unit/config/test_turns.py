"""Threads take turns more often while something is compiled."""

import sys

from routeiq.config.turns import TURN_S, Turns


def test_the_switch_interval_is_as_before_when_all_have_ended() -> None:
    """Whoever begins first or ends last: the shorter turn lasts as long as anybody needs it, and not longer."""
    turns, usual = Turns(), sys.getswitchinterval()
    one, other = turns.short(), turns.short()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert abs(sys.getswitchinterval() - TURN_S) < 1e-6
    other.__exit__(None, None, None)
    assert sys.getswitchinterval() == usual
