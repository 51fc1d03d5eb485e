"""When a dependency counts as gone, when as back, and who is told."""

from routeiq.guard.degraded import DATABASE, EMBEDDER, FAILURES, REDIS, SUCCESSES, Degraded
from routeiq.testing.fakes import FakeClock


def scene() -> tuple[FakeClock, Degraded, list[tuple[str, bool, float]]]:
    """A clock, the dependencies, and what was told."""
    clock, told = FakeClock(), []  # type: ignore[var-annotated]
    degraded = Degraded(clock)
    degraded.on_change(lambda *change: told.append(change))
    degraded.expect(REDIS)
    return clock, degraded, told


def test_one_failure_is_not_an_outage() -> None:
    """Failures must come in a row; an answer in between starts the count again."""
    _, degraded, told = scene()
    for _ in range(10):
        degraded.report(REDIS, ok=False)
        degraded.report(REDIS, ok=True)
    assert not degraded.gone(REDIS)
    assert told == []


def test_it_is_entered_and_left_by_itself_and_told_once_each() -> None:
    """Enough failures enter, more failures say nothing new, enough answers leave; each change is told with its time."""
    clock, degraded, told = scene()
    clock.advance(5)
    for _ in range(FAILURES + 20):
        degraded.report(REDIS, ok=False)
    assert degraded.gone(REDIS)
    assert degraded.checks() == {"redis": "state_unavailable"}
    assert degraded.count() == 1
    clock.advance(7)
    for _ in range(SUCCESSES + 20):
        degraded.report(REDIS, ok=True)
    assert degraded.checks() == {"redis": "ok"}
    assert told == [(REDIS, True, 5), (REDIS, False, 7)]


def test_a_shaky_dependency_stays_gone() -> None:
    """Coming back takes answers in a row, more than going took failures."""
    _, degraded, told = scene()
    for _ in range(FAILURES):
        degraded.report(REDIS, ok=False)
    for _ in range(10):
        for _ in range(SUCCESSES - 1):
            degraded.report(REDIS, ok=True)
        degraded.report(REDIS, ok=False)
    assert degraded.gone(REDIS)
    assert len(told) == 1


def test_a_decision_names_one_thing_that_is_missing() -> None:
    """The word for the header is that of Redis, then that of the log's database; an embedder speaks for itself."""
    _, degraded, _ = scene()
    said = []
    for name in (EMBEDDER, DATABASE, REDIS):
        for _ in range(FAILURES):
            degraded.report(name, ok=False)
        said.append(degraded.missing())
    assert said == [None, "store_unavailable", "state_unavailable"]


def test_dependencies_are_apart() -> None:
    """One that is gone says nothing of another; status names both."""
    clock, degraded, _ = scene()
    for _ in range(FAILURES):
        degraded.report(EMBEDDER, ok=False)
    clock.advance(2)
    assert not degraded.gone(REDIS)
    assert degraded.status() == {
        "redis": {"degraded": False, "for_s": 2.0},
        "embedder": {"degraded": True, "for_s": 2.0},
    }
