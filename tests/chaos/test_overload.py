"""More than the gateway can take: from one team, and from all of them."""

import math
from collections.abc import Callable

import pytest

from routeiq.testing.load import Fate, Load, Plan, Report, Sender
from tests.chaos.auth import key_of
from tests.chaos.topology import SLOTS, WORKERS, Topology, lost

pytestmark = pytest.mark.integration

ANSWER_S = 3.0
REPLICAS = 2
CAPACITY = REPLICAS * WORKERS * SLOTS / ANSWER_S
"""Answers per second when every slot is always taken; what the machine makes of that is measured."""

NOISY_SHARE = REPLICAS * WORKERS * 1 / ANSWER_S
"""Answers per second that the noisy team's bulkhead leaves it."""

ROUNDS = 3
"""Another busy program on the machine can only add to a latency: the best of some rounds is what the gateway does."""


async def sent(topology: Topology, seconds: float, *senders: Sender, seed: int = 0) -> Report:
    """Put a load on the gateway and return what became of it."""
    load = Load(Plan(senders, seconds, seed=seed, timeout_s=60.0), topology.url)
    load.start()
    return await load.finish()


async def test_a_flooding_team_does_not_slow_another(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """A team at 20 times its share is refused the rest; the p99 of another stays within 1.3 times its quiet value."""
    topology.provider.fault("*", "pace", delay_s=ANSWER_S)
    calm = Sender("calm", key_of("calm"), 5.0)
    noisy = Sender("noisy", key_of("noisy"), 20.0 * NOISY_SHARE)
    best, figures = math.inf, {}
    for turn in range(ROUNDS):
        quiet = await sent(topology, 5.0 * stretch, calm, seed=turn)
        loud = await sent(topology, 5.0 * stretch, calm, noisy, seed=turn)
        mine, theirs = loud.of("calm"), loud.of("noisy")
        assert mine.count(Fate.OK) == len(mine), loud.text()
        assert theirs.count(Fate.FAILED) + theirs.count(Fate.CUT) == 0, loud.text()
        assert theirs.count(Fate.REFUSED) > 0.7 * len(theirs), loud.text()
        ratio = mine.latency(99.0) / quiet.latency(99.0)
        if ratio < best:
            best, figures = ratio, {**lost(loud), "refused": theirs.count(Fate.REFUSED), "p99_ratio": round(ratio, 3)}
        if best <= 1.3:
            break
    counted(**figures)
    assert best <= 1.3


async def test_three_times_too_much_is_refused_and_the_rest_is_served(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """At three times its capacity the gateway answers 0.9 of it and more, with p99 within twice the quiet value."""
    topology.provider.fault("*", "pace", delay_s=ANSWER_S)

    def everybody(rate: float) -> list[Sender]:
        return [Sender(name, key_of(name), rate / 4.0) for name in ("alpha", "beta", "gamma", "delta")]

    def served(report: Report, seconds: float) -> Report:
        # From when the slots are full to when nothing more is sent.
        return report.during(ANSWER_S, seconds)

    best, figures = (-math.inf, math.inf), {}
    for turn in range(ROUNDS):
        quiet = await sent(topology, 5.0 * stretch, *everybody(0.3 * CAPACITY), seed=turn)
        assert quiet.count(Fate.OK) == len(quiet), quiet.text()
        enough = await sent(topology, 8.0 * stretch, *everybody(1.3 * CAPACITY), seed=turn)
        capacity = served(enough, 8.0 * stretch).goodput()
        load = await sent(topology, 8.0 * stretch, *everybody(3.0 * CAPACITY), seed=turn)
        for loaded in (enough, load):
            assert loaded.count(Fate.FAILED) + loaded.count(Fate.CUT) == 0, loaded.text()
        full = served(load, 8.0 * stretch)
        share, slower = full.goodput() / capacity, full.latency(99.0) / quiet.latency(99.0)
        if share > best[0] or best[1] > 2.0:
            best = (share, slower)
            figures = {**lost(load), "refused": load.count(Fate.REFUSED), "capacity_per_s": round(capacity, 1)}
            figures |= {"goodput_of_capacity": round(share, 2), "p99_ratio": round(slower, 2)}
        if best[0] >= 0.9 and best[1] <= 2.0:
            break
    counted(**figures)
    assert best[0] >= 0.9
    assert best[1] <= 2.0
