"""A provider that errs, hangs, trickles or closes in mid-answer, under a steady load."""

import asyncio
from collections.abc import Callable

import pytest

from routeiq.testing.load import Fate, Load, Plan, Sender
from tests.chaos.auth import key_of
from tests.chaos.topology import MODEL_TIMEOUT_S, Topology, aside, lost, steady

pytestmark = pytest.mark.integration


async def test_one_model_that_answers_500_costs_no_request(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """While one of three candidates answers 500 to everything, every request is answered by the others."""
    load = steady(topology, 6.0 * stretch)
    await asyncio.sleep(1.0)
    await aside(topology.provider.fault, "sim-small", "error_500")
    report = await load.finish()
    counted(**lost(report), refused=report.count(Fate.REFUSED))
    assert report.count(Fate.OK) == len(report), report.text()
    broken = [row for row in await aside(topology.provider.journal) if row.fault == "error_500"]
    assert broken
    assert "sim-small" not in {r.model for r in report.during(2.0, 60.0 * stretch).records}


async def test_one_model_that_hangs_costs_time_and_no_request(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """A candidate that takes requests and says nothing is given up after its time, and another one answers."""
    await aside(topology.provider.fault, "sim-medium", "hang")
    load = steady(topology, 4.0 * stretch, rate=5.0)
    report = await load.finish()
    counted(**lost(report), p99_s=round(report.latency(99.0), 2))
    assert report.count(Fate.OK) == len(report), report.text()
    assert report.latency(99.0) < 4.0 * MODEL_TIMEOUT_S


async def test_a_trickle_is_passed_on_as_it_comes(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """Slow answers arrive whole, and their first word arrives long before their last."""
    await aside(topology.provider.fault, "*", "trickle", delay_s=0.1)
    load = steady(topology, 4.0 * stretch, rate=5.0, streamed=1.0)
    report = await load.finish()
    counted(**lost(report), ttft_p50_s=round(report.ttft(50.0), 2), p50_s=round(report.latency(50.0), 2))
    assert report.count(Fate.OK) == len(report), report.text()
    assert report.ttft(50.0) < 0.5 * report.latency(50.0)


async def test_a_provider_that_closes_in_mid_stream_is_not_passed_off_as_whole(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """Each stream that the provider broke off is an error for one client, and nothing else is lost."""
    load = steady(topology, 5.0 * stretch)
    await asyncio.sleep(1.0)
    await aside(topology.provider.fault, "sim-mini", "close_mid_stream", times=12)
    report = await load.finish()
    broken = [row for row in await aside(topology.provider.journal) if row.outcome == "cut" and row.stream]
    counted(**lost(report), broken_by_the_provider=len(broken))
    assert broken
    assert report.count(Fate.CUT) + report.count(Fate.FAILED) == len(broken), report.text()
    assert {record.streamed for record in report.records if record.fate is not Fate.OK} == {True}


async def test_clients_that_leave_leave_nothing_behind(
    topology: Topology, stretch: float, counted: Callable[..., None]
) -> None:
    """Streams whose clients go end at the provider too, and who stays is answered."""
    load = steady(topology, 4.0 * stretch, rate=5.0)
    impatient = Sender("gone", key_of("gone"), 5.0, streamed=1.0, prompt="wait for it {n} [[replay pace 30]]")
    leaving = Load(Plan([impatient], 3.0, timeout_s=1.5), topology.url)
    leaving.start()
    left = await leaving.finish()
    report = await load.finish()
    counted(**lost(report), left=left.count(Fate.CUT))
    assert report.count(Fate.OK) == len(report), report.text()
    assert left.count(Fate.CUT) == len(left) > 0, left.text()
    counts = await aside(topology.provider.counts)
    for _ in range(100):
        if counts["open"] == 0:
            break
        await asyncio.sleep(0.1)
        counts = await aside(topology.provider.counts)
    assert (counts["open"], counts["gone"]) == (0, len(left))
