"""When workers are started again."""

from routeiq.http.roster import GIVE_UP_AFTER, LONGEST_PAUSE_S, QUICK_S, Roster


def begun(count: int) -> Roster:
    """A roster whose workers were all started at 0."""
    roster = Roster(count)
    for index in roster.due(0):
        roster.started(index)
    return roster


def test_all_places_are_due_at_first() -> None:
    """Each place is to be filled once."""
    roster = Roster(3)
    assert roster.due(0) == [0, 1, 2]
    for index in (0, 1, 2):
        roster.started(index)
    assert (roster.due(1e9), roster.next_due(), roster.serving) == ([], None, 0)


def test_a_worker_that_served_is_started_at_once() -> None:
    """A kill of a worker that did its work costs no pause, however often it happens."""
    roster = begun(2)
    for at in range(0, 1000, 100):
        roster.ready(0, at)
        assert roster.ended(0, at + QUICK_S) == 0
        assert roster.due(at + QUICK_S) == [0]
        roster.started(0)
    assert not roster.hopeless


def test_pauses_grow_to_a_limit() -> None:
    """Each quick end doubles the pause of its place, and only of its place."""
    roster = begun(2)
    roster.ready(1, 0)
    pauses = []
    for turn in range(10):
        pauses.append(roster.ended(0, turn))
        assert roster.next_due() == turn + pauses[-1]
        assert roster.due(turn + pauses[-1] - 0.01) == []
        roster.started(0)
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert roster.ended(1, QUICK_S) == 0


def test_an_end_right_after_readiness_is_quick() -> None:
    """A worker that becomes ready and falls over is not started in a tight loop."""
    roster = begun(1)
    roster.ready(0, 5)
    assert roster.ended(0, 5 + QUICK_S / 2) > 0


def test_it_is_hopeless_when_none_serves() -> None:
    """Five quick ends in a row, over all places, with nobody serving, and it is given up."""
    roster = begun(2)
    for turn in range(GIVE_UP_AFTER):
        assert not roster.hopeless
        roster.ended(turn % 2, turn)
        roster.started(turn % 2)
    assert roster.hopeless


def test_while_one_serves_it_is_not_hopeless() -> None:
    """A gateway that still answers goes on, and a worker that lasts ends the row."""
    roster = begun(2)
    roster.ready(1, 0)
    for turn in range(2 * GIVE_UP_AFTER):
        roster.ended(0, turn)
        roster.started(0)
        assert not roster.hopeless
    assert roster.ended(1, 2 * QUICK_S) == 0
    assert not roster.hopeless
