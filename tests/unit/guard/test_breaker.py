"""Circuit breakers: the state machine, and what workers tell each other."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.guard.breaker import Mark, State, Tally, Trip, Window
from routeiq.guard.breakers import AREA, Breakers
from routeiq.guard.mirror import Mirror
from routeiq.testing.fakes import FakeClock

TRIP = Trip(failures=5, share=0.5, window_s=30.0, open_s=30.0)
PROVIDERS = {"small": "acme", "large": "acme", "lone": "other"}


def breakers(clock: FakeClock, trip: Trip = TRIP, **more: Any) -> Breakers:
    """The breakers of one worker."""
    return Breakers(trip, clock, PROVIDERS, **more)


def calls(of: Breakers, name: str, count: int, ok: bool | None, **took: Any) -> None:
    """Have calls begin and end."""
    for _ in range(count):
        of.end(of.begin(name, streamed="ttft_s" in took), ok, **took)


def test_a_closed_breaker_trips_on_enough_failures() -> None:
    """It takes the least number of failures and the share of all calls, failed or slow."""
    closed = Mark()
    assert closed.judged(Tally(4, 4, 0), TRIP, 1.0) is closed
    assert closed.judged(Tally(11, 5, 0), TRIP, 1.0) is closed
    assert closed.judged(Tally(10, 5, 0), TRIP, 1.0) == Mark(State.OPEN, 1.0, 5)
    assert closed.judged(Tally(6, 0, 6), TRIP, 1.0) == Mark(State.OPEN, 1.0, 6)


def test_an_open_breaker_asks_for_a_probe_when_its_time_is_over() -> None:
    """After the time it is half-open: a probe that goes well closes it, another failure opens it for as long again."""
    opened = Mark(State.OPEN, 100.0, 5)
    assert [opened.now(TRIP, at) for at in (100.0, 129.9, 130.0)] == [State.OPEN, State.OPEN, State.HALF_OPEN]
    assert opened.probed(True, TRIP, 129.0) is opened
    assert opened.probed(True, TRIP, 130.0) == Mark(State.CLOSED, 130.0)
    assert opened.probed(False, TRIP, 130.0).now(TRIP, 159.9) is State.OPEN


def test_a_window_forgets() -> None:
    """Only calls of the last seconds count, and none from before the last turn."""
    window = Window(10.0)
    for second in range(20):
        window.add(float(second), Tally(1, 1, 0))
    assert window.since(0.0, 19.0).calls == 10
    assert window.since(15.5, 19.0).calls == 4
    assert len(window.seconds) <= 11


def test_failures_shut_a_candidate_and_a_probe_lets_it_back() -> None:
    """Open, half-open with one probe at a time, closed: as the decisions of one worker see it."""
    clock = FakeClock()
    of = breakers(clock)
    calls(of, "lone", 4, False)
    assert of.shut(["lone"]) == frozenset()
    calls(of, "lone", 1, False)
    assert of.shut(["lone", "small"]) == {"lone"}
    clock.advance(30.0)
    assert of.shut(["lone"]) == frozenset()
    of.chosen("lone")
    assert of.shut(["lone"]) == {"lone"}
    probe = of.begin("lone")
    assert of.shut(["lone"]) == {"lone"}
    of.end(probe, True)
    assert of.shut(["lone"]) == frozenset()
    assert of.states()["lone"] is State.CLOSED
    calls(of, "lone", 1, False)
    assert of.shut(["lone"]) == frozenset()


def test_a_failed_probe_opens_again() -> None:
    """A probe that fails keeps the candidate out for another round; one whose client left says nothing."""
    clock = FakeClock()
    of = breakers(clock)
    calls(of, "lone", 5, False)
    clock.advance(30.0)
    calls(of, "lone", 1, None)
    assert of.states()["lone"] is State.HALF_OPEN
    calls(of, "lone", 1, False)
    assert of.shut(["lone"]) == {"lone"}


def test_a_probe_that_never_began_is_not_waited_for() -> None:
    """A decision keeps the place of a probe for a few seconds only."""
    clock = FakeClock()
    of = breakers(clock)
    calls(of, "lone", 5, False)
    clock.advance(30.0)
    of.chosen("lone")
    clock.advance(6.0)
    assert of.shut(["lone"]) == frozenset()


def test_what_the_caller_did_does_not_count() -> None:
    """Calls whose client left or erred neither fail nor succeed."""
    of = breakers(FakeClock())
    calls(of, "lone", 100, None)
    calls(of, "lone", 4, False)
    assert of.shut(["lone"]) == frozenset()


@pytest.mark.parametrize("took", [{"latency_s": 9.0}, {"latency_s": 1.0, "ttft_s": 3.0}], ids=["plain", "streamed"])
def test_slow_answers_trip_it_too(took: dict[str, float]) -> None:
    """Plain calls are judged by latency, streamed ones by the time to their first token."""
    of = breakers(FakeClock(), Trip(latency_s=8.0, ttft_s=2.0))
    calls(of, "lone", 5, True, **took)
    assert of.shut(["lone"]) == {"lone"}


def test_calls_that_hang_are_seen_before_they_end() -> None:
    """A provider that does not answer at all is open long before its calls time out; each counts once."""
    clock = FakeClock()
    of = breakers(clock, Trip(latency_s=8.0))
    hanging = [of.begin("lone") for _ in range(5)]
    answered = of.begin("small")
    answered.first_at = clock.monotonic()
    clock.advance(8.5)
    assert of.shut(["lone", "small"]) == {"lone"}
    for call in hanging:
        of.end(call, True, latency_s=9.0)
        of.end(call, True, latency_s=9.0)
    assert of.states()["lone"] is State.OPEN


def test_a_provider_is_left_alone_when_several_of_its_models_fail() -> None:
    """Failures of two models open the provider, and with it a model that has not failed; one model's do not."""
    of = breakers(FakeClock())
    calls(of, "small", 4, False)
    assert of.shut(["large"]) == frozenset()
    calls(of, "large", 1, False)
    assert of.states()["provider:acme"] is State.OPEN
    assert of.shut(["small", "large", "lone"]) == {"small", "large"}


def test_what_a_worker_has_alone_is_not_shared() -> None:
    """Something of one worker's own has a breaker like any other, of which no other worker hears."""
    clock, board = FakeClock(), Board()
    one, two = (breakers(clock, worker=name, picture=board) for name in ("one", "two"))
    calls(one, "local:embedder", 5, False)
    assert (one.shut(["local:embedder"]), two.shut(["local:embedder"])) == ({"local:embedder"}, frozenset())
    assert board.documents == {}


def test_the_gauge_names_every_state() -> None:
    """Each breaker has one state at 1 and the others at 0; turns are told once."""
    turns: list[tuple[str, State, int]] = []
    of = breakers(FakeClock(), turned=lambda *turn: turns.append(turn))
    calls(of, "lone", 7, False)
    gauge = {state: value for (name, state), value in of.gauge().items() if name == "lone"}
    assert gauge == {"closed": 0.0, "open": 1.0, "half_open": 0.0}
    assert turns == [("lone", State.OPEN, 5)]


@dataclass
class Board:
    """A picture shared by several workers at once."""

    documents: dict[str, bytes] = field(default_factory=dict)
    listeners: list[Callable[[Mapping[str, bytes | None]], None]] = field(default_factory=list)

    def put(self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None) -> None:
        """Keep a value and tell everybody."""
        assert (area, value is not None) == (AREA, True)
        self.documents[key] = value or b""
        for tell in self.listeners:
            tell({key: value})

    def on_change(self, area: str, call: Callable[[Mapping[str, bytes | None]], None]) -> None:
        """Add a listener."""
        self.listeners.append(call)


def test_workers_that_count_at_once_lose_nothing() -> None:
    """Failures on two workers add up, whoever counts last, and both see the breaker open and close."""
    clock, board = FakeClock(), Board()
    one, two = (breakers(clock, worker=name, picture=board) for name in ("one", "two"))
    calls(one, "lone", 2, False)
    calls(two, "lone", 2, False)
    assert one.shut(["lone"]) == two.shut(["lone"]) == frozenset()
    calls(one, "lone", 1, False)
    assert one.shut(["lone"]) == two.shut(["lone"]) == {"lone"}
    clock.advance(30.0)
    two.end(two.begin("lone"), True)
    assert one.states()["lone"] is two.states()["lone"] is State.CLOSED
    assert set(board.documents) == {"lone", "lone:one", "lone:two"}


def test_a_clock_that_is_set_back_keeps_nobody_out() -> None:
    """An hour back: what was open asks for a probe at once, what is closed trips anew, and neither counts old calls."""
    clock = FakeClock(seconds=10_000.0)
    of = breakers(clock)
    calls(of, "small", 4, False)
    calls(of, "lone", 5, False)
    assert of.shut(["small", "lone"]) == {"lone"}
    clock.advance(-3_600.0)
    assert of.states()["lone"] is State.HALF_OPEN
    assert of.shut(["lone"]) == frozenset()
    of.chosen("lone")
    of.end(of.begin("lone"), True)
    assert of.states()["lone"] is State.CLOSED
    calls(of, "small", 1, False)
    assert of.shut(["small"]) == frozenset()
    clock.advance(1.0)
    calls(of, "lone", 5, False)
    assert of.shut(["lone"]) == {"lone"}
    clock.advance(-3_600.0)
    of.chosen("lone")
    clock.advance(-3_600.0)
    assert of.shut(["lone"]) == frozenset()


def test_odd_names_have_keys() -> None:
    """A model's name may hold anything; its key does not."""
    clock, board = FakeClock(), Board()
    of = breakers(clock, worker="one", picture=board)
    calls(of, "acme/ modèle:1", 5, False)
    assert all(key.replace(":", "").replace("-", "").isalnum() for key in board.documents)
    assert breakers(clock, worker="two", picture=board).shut(["acme/ modèle:1"]) == frozenset()
    assert of.shut(["acme/ modèle:1"]) == {"acme/ modèle:1"}


async def test_failures_of_one_worker_open_the_breaker_of_another() -> None:
    """Through the shared state, workers that each saw too few failures know together that there were enough."""
    clock, state = FakeClock(), MemorySharedState(FakeClock())
    mirrors = [Mirror(state, clock, [AREA], failed=lambda where, error: None) for _ in range(2)]
    one, two = (breakers(clock, worker=f"w{at}", picture=mirror) for at, mirror in enumerate(mirrors))
    for mirror in mirrors:
        await mirror.start()
    try:
        calls(one, "lone", 3, False)
        calls(two, "lone", 3, False)
        for _ in range(100):
            if one.shut(["lone"]) and two.shut(["lone"]):
                break
            await asyncio.sleep(0.02)
        assert one.shut(["lone"]) == two.shut(["lone"]) == {"lone"}
    finally:
        for mirror in mirrors:
            await mirror.close()
