"""Workers and replicas behind nginx that are killed, come back, and are restarted in turn, under a steady load."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from routeiq.testing.load import Fate, Load, Plan, Report, Sender
from tests.chaos.auth import key_of
from tests.chaos.topology import Topology, aside, lost, steady

pytestmark = pytest.mark.integration

LOST = (Fate.FAILED, Fate.CUT)


def check_only_what_was_under_way(report: Report, begin: float, end: float) -> None:
    """Everything that was lost had been sent by the end of the kill and had not ended at its beginning."""
    dead = [record for record in report.records if record.fate in LOST]
    assert report.count(Fate.OK) > 0.9 * len(report), report.text()
    assert [r for r in dead if r.at > end + 0.05 or r.at + r.latency_s < begin - 0.05] == [], report.text()


async def test_a_killed_worker_takes_only_what_it_had_under_way(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """After kill -9 of one of four workers its requests are lost, no later one is, and another takes its place."""
    topology.provider.fault("*", "pace", delay_s=1.5)
    one = topology.replicas[0]
    before = set(one.worker_pids())
    load = steady(topology, 8.0 * stretch, rate=5.0)
    await asyncio.sleep(3.0)
    under_way, begin = load.under_way, load.elapsed()
    os.kill(min(before), signal.SIGKILL)
    end = load.elapsed()
    report = await load.finish()
    counted(**lost(report), under_way_at_the_kill=under_way)
    check_only_what_was_under_way(report, begin, end)
    assert report.count(Fate.FAILED) + report.count(Fate.CUT) < under_way
    after = set(await aside(one.worker_pids))
    assert len(after - before) >= 1


async def test_a_killed_replica_takes_only_what_it_had_under_way(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """After kill -9 of a replica its requests are lost and no later one is, and when it is back it has its share."""
    topology.provider.fault("*", "pace", delay_s=1.0)
    one = topology.replicas[0]
    load = steady(topology, 300.0, rate=5.0)
    await asyncio.sleep(3.0)
    under_way, begin = load.under_way, load.elapsed()
    await aside(one.kill)
    end = load.elapsed()
    await asyncio.sleep(2.0 * stretch)
    one.start()
    await aside(one.wait_until_ready)
    back, seen = load.elapsed(), len(topology.nginx.requests())
    while sum(row["upstream"].endswith(one.address) for row in topology.nginx.requests()[seen:]) < 5:
        assert load.elapsed() < back + 30.0, "nginx does not use the replica that came back"
        await asyncio.sleep(0.2)
    report = await load.stop()
    counted(**lost(report), under_way_at_the_kill=under_way, away_s=round(back - begin, 1))
    check_only_what_was_under_way(report, begin, end)
    assert report.count(Fate.FAILED) + report.count(Fate.CUT) > 0


async def test_a_rolling_restart_costs_nothing(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """Both replicas get SIGTERM and are started again in turn, with long streams running, and nobody notices."""
    length = 6.0 if stretch == 1.0 else 60.0
    long = Sender(
        "gamma", key_of("gamma"), 4.0 / length, streamed=1.0, prompt=f"tell {{n}} at length [[replay pace {length}]]"
    )
    streams = Load(Plan([long], 300.0, timeout_s=120.0), topology.url)
    streams.start()
    load = steady(topology, 300.0, rate=5.0)
    await asyncio.sleep(2.0)
    statuses = []
    for replica in topology.replicas:
        statuses.append(await aside(replica.terminate))
        replica.start()
        await aside(replica.wait_until_ready)
        await asyncio.sleep(4.0)
    report, told = await load.stop(), await streams.stop()
    figures = {f"streams_{name}": value for name, value in lost(told).items()}
    counted(**lost(report), refused=report.count(Fate.REFUSED), stream_seconds=length, **figures)
    assert statuses == [0, 0]
    for loaded in (report, told):
        # A busy machine can fill the slots of the one replica that is left; that is no fault of a drain.
        assert loaded.reasons().keys() <= {"deadline", "queue_full"}, loaded.text()
        assert loaded.count(Fate.FAILED) + loaded.count(Fate.CUT) == 0, loaded.text()
        assert loaded.count(Fate.OK) > 0.9 * len(loaded), loaded.text()
    assert all("Graceful shutdown" in replica.said() for replica in topology.replicas)
