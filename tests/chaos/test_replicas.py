"""Replicas behind nginx that are killed and come back, under a steady load."""

import asyncio
from collections.abc import Callable

import pytest

from routeiq.testing.load import Fate
from tests.chaos.topology import Topology, aside, lost, steady

pytestmark = pytest.mark.integration

LOST = (Fate.FAILED, Fate.CUT)


async def test_a_killed_replica_takes_only_what_it_had_under_way(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """After kill -9 of a replica the requests it was answering are lost, and not one that came later."""
    topology.provider.fault("*", "pace", delay_s=0.6)
    load = steady(topology, 8.0 * stretch)
    await asyncio.sleep(3.0)
    under_way = load.under_way
    killed_at = load.elapsed()
    await aside(topology.replicas[0].kill)
    report = await load.finish()
    dead = [record for record in report.records if record.fate in LOST]
    counted(**lost(report), under_way_at_the_kill=under_way)
    assert report.count(Fate.OK) + len(dead) == len(report), report.text()
    assert dead
    assert [r for r in dead if not r.at - 0.05 <= killed_at <= r.at + r.latency_s + 0.05] == [], report.text()
    assert len(dead) <= under_way + 2
    assert report.during(killed_at + 0.5, 600.0).count(Fate.OK) > 0


async def test_a_replica_that_comes_back_is_used_again(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """While a killed replica starts again nothing is lost, and after that it has its share."""
    one = topology.replicas[0]
    one.kill()
    load = steady(topology, 120.0, rate=5.0)
    one.start()
    await aside(one.wait_until_ready)
    await asyncio.sleep(4.0 * stretch)
    seen = await aside(one.ask, "GET", "/routeiq/status")
    report = await load.stop()
    counted(**lost(report))
    assert report.count(Fate.OK) == len(report), report.text()
    assert seen["state"] == "ready"
    back = sum(row["upstream"].endswith(one.address) for row in topology.nginx.requests()[-10:])
    assert back >= 2
