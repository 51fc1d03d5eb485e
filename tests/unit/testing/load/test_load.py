"""The load generator against the replay provider, whose faults are known, and on its own."""

import asyncio
import itertools
import json
import math
import statistics
from collections.abc import Iterator

import pytest

from routeiq.testing.load import Fate, Load, Plan, Record, Report, Sender, shots
from routeiq.testing.load.__main__ import main
from routeiq.testing.load.report import percentile
from routeiq.testing.replay import ReplayProcess

PLAIN = Sender("plain", "sk-1", 40.0, streamed=0.0, model="sim-mini", arrivals="constant")
STREAMED = Sender("streamed", "sk-2", 40.0, streamed=1.0, model="sim-small", arrivals="constant")


@pytest.fixture(scope="module")
def shared() -> Iterator[ReplayProcess]:
    with ReplayProcess.start(time_scale=float("inf")) as provider:
        yield provider


@pytest.fixture
def provider(shared: ReplayProcess) -> ReplayProcess:
    shared.reset()
    return shared


async def run(provider: ReplayProcess, *senders: Sender, seconds: float = 0.5, timeout_s: float = 20.0) -> Report:
    load = Load(Plan(senders, seconds, timeout_s=timeout_s), provider.base_url)
    load.start()
    return await load.finish()


def test_a_plan_is_the_same_every_time() -> None:
    """The same seed gives the same arrivals and the same streamed requests, another seed gives others."""
    sender = Sender("a", "k", 50.0)
    assert shots(Plan([sender], 5.0, seed=1)) == shots(Plan([sender], 5.0, seed=1))
    assert shots(Plan([sender], 5.0, seed=1)) != shots(Plan([sender], 5.0, seed=2))


def test_poisson_arrivals_have_their_rate_and_their_spread() -> None:
    """Gaps have the mean of the rate and, unlike constant ones, a deviation as large as the mean."""
    at = [shot.at for shot in shots(Plan([Sender("a", "k", 100.0)], 60.0))]
    gaps = [late - early for early, late in itertools.pairwise(at)]
    assert statistics.mean(gaps) == pytest.approx(0.01, rel=0.1)
    assert statistics.stdev(gaps) == pytest.approx(0.01, rel=0.1)
    assert len(shots(Plan([Sender("a", "k", 10.0, arrivals="constant")], 2.05))) == 20


def test_senders_have_their_own_rates_shares_and_times() -> None:
    """Each team sends at its own rate, streams its own share, and may begin late and end early."""
    found = shots(Plan([Sender("a", "k", 100.0, 0.25), Sender("b", "k", 20.0, 1.0, begin_s=5.0, last_s=2.0)], 20.0))
    a, b = ([shot for shot in found if shot.sender.team == team] for team in "ab")
    assert len(a) / 20 == pytest.approx(100, rel=0.15)
    assert sum(shot.streamed for shot in a) / len(a) == pytest.approx(0.25, abs=0.05)
    assert (min(shot.at for shot in b) >= 5.0, max(shot.at for shot in b) < 7.0) == (True, True)
    assert [shot.at for shot in found] == sorted(shot.at for shot in found)


def test_a_plan_is_bounded() -> None:
    """The limit holds over all senders, and a plan without bounds is refused."""
    assert len(shots(Plan([Sender("a", "k", 100.0), Sender("b", "k", 100.0)], 60.0, limit=50))) == 50
    for wrong in ({"duration_s": 0.0}, {"duration_s": 1e9}, {"duration_s": 1.0, "limit": 0}):
        with pytest.raises(ValueError, match="expected"):
            Plan([], **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'a'"):
        Plan([Sender("a", "k", 0.0)], 1.0)


@pytest.mark.parametrize("url", ["http://example.com", "http://10.0.0.1:4000", "http://127.0.0.1.nip.io", "nonsense"])
async def test_it_never_leaves_the_machine(url: str) -> None:
    """An address that is not of this machine is refused before anything is sent."""
    with pytest.raises(ValueError, match="this machine only"):
        Load(Plan([PLAIN], 1.0), url)


async def test_everything_that_is_answered_is_ok(provider: ReplayProcess) -> None:
    """Plain and streamed requests are counted by team, and the provider saw as many as were sent."""
    report = await run(provider, PLAIN, STREAMED)
    assert [(team, report.of(team).count(Fate.OK)) for team in report.teams()] == [("plain", 19), ("streamed", 19)]
    assert provider.counts()["calls"] == len(report) == 38
    assert {row.stream for row in provider.journal() if row.model == "sim-small"} == {True}
    assert all(0.0 < (r.ttft_s or 0.0) <= r.latency_s and r.request_id for r in report.records)


@pytest.mark.parametrize(
    ("fault", "delay_s", "plain", "streamed"),
    [
        ("error_500", None, (Fate.FAILED, 500), (Fate.FAILED, 500)),
        ("error_429", 3.0, (Fate.REFUSED, 429), (Fate.REFUSED, 429)),
        ("error_429", None, (Fate.FAILED, 429), (Fate.FAILED, 429)),
        ("close_mid_stream", None, (Fate.CUT, 200), (Fate.CUT, 200)),
        ("hang", None, (Fate.FAILED, None), (Fate.FAILED, None)),
        ("trickle", 0.2, (Fate.CUT, 200), (Fate.CUT, 200)),
    ],
)
async def test_each_fate_is_told_apart(
    provider: ReplayProcess,
    fault: str,
    delay_s: float | None,
    plain: tuple[Fate, int | None],
    streamed: tuple[Fate, int | None],
) -> None:
    """Errors, refusals, broken answers, and answers that do not come or end in time, have the names a client uses."""
    provider.fault("*", fault, delay_s=delay_s)
    report = await run(provider, PLAIN, STREAMED, seconds=0.1, timeout_s=1.0)
    for team, expected in (("plain", plain), ("streamed", streamed)):
        assert {(record.fate, record.status) for record in report.of(team).records} == {expected}, report.text()
    assert report.latency(50.0) is not None


async def test_the_loop_is_open(provider: ReplayProcess) -> None:
    """While every answer takes half a second, requests leave when they are due and not when one has ended."""
    provider.fault("*", "pace", delay_s=0.5)
    load = Load(Plan([PLAIN], 0.5), provider.base_url)
    load.start()
    await asyncio.sleep(0.45)
    assert load.under_way >= 10
    report = await load.finish()
    assert report.count(Fate.OK) == 19
    assert report.latency(50.0) > 0.45


async def test_a_load_can_be_stopped(provider: ReplayProcess) -> None:
    """After `stop` nothing more is sent, and what was under way is in the report."""
    load = Load(Plan([PLAIN], 60.0), provider.base_url)
    load.start()
    await asyncio.sleep(0.3)
    report = await load.stop()
    assert 0 < len(report) < 40
    assert report.count(Fate.OK) == len(report) == provider.counts()["calls"]


async def test_nobody_listening_is_a_failure() -> None:
    """A refused connection is recorded like everything else."""
    load = Load(Plan([PLAIN], 0.1), "http://127.0.0.1:9")
    load.start()
    report = await load.finish()
    assert report.count(Fate.FAILED) == len(report) == 3
    assert report.reasons() == {"ClientConnectorError": 3}


async def test_an_error_inside_a_stream_is_a_cut() -> None:
    """A stream that ends with an error event is cut, even if [DONE] follows, and the event's code is the reason."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {}\n\n")
        writer.write(b'data: {"error": {"message": "m", "code": "drain_timeout"}}\n\ndata: [DONE]\n\n')
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        load = Load(Plan([STREAMED], 0.1), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        load.start()
        report = await load.finish()
    assert report.reasons(Fate.CUT) == {"drain_timeout": 3}


def record(at: float, latency_s: float, fate: Fate = Fate.OK, team: str = "a") -> Record:
    return Record(team, at, False, fate, 200, "" if fate is Fate.OK else "why", latency_s, latency_s / 2, 0.0, "", "")


def test_a_report_counts_windows_and_percentiles() -> None:
    """Percentiles are of answered requests only, and a window is a report of its own."""
    report = Report([record(n / 10, n / 100) for n in range(100)] + [record(9.95, 99.0, Fate.FAILED, "b")], 10.0)
    assert (report.latency(50.0), report.latency(99.0), report.ttft(100.0)) == (0.49, 0.98, 0.495)
    assert report.during(5.0, 7.5).goodput() == 25 / 2.5
    assert report.goodput() == 10.0
    assert math.isnan(report.of("b").latency(50.0))
    assert report.summary()["reasons"] == {"why": 1}
    assert report.of("b").summary()["latency_s"]["p50"] is None
    assert "why 1" in report.text()
    assert percentile([1.0, 2.0, 3.0, 4.0], 50.0) == 2.0


def test_the_command_prints_figures_and_says_whether_all_went_well(
    provider: ReplayProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0 when nothing failed or was cut, else 1; JSON has the figures by team."""
    order = ["--url", provider.base_url, "--sender", "a=sk-1@40", "--seconds", "0.3", "--model", "sim-mini"]
    assert main(order) == 0
    assert "refused" in capsys.readouterr().out
    provider.fault("*", "error_500")
    assert main([*order, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["teams"]["a"]["failed"] > 0


@pytest.mark.parametrize("sender", ["a", "a=k", "a=k@fast", "=k@1", "a=k@0"])
def test_a_wrong_sender_is_refused(sender: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what was expected and does not repeat the key."""
    with pytest.raises(SystemExit):
        main(["--sender", sender])
    assert "expected" in capsys.readouterr().err
