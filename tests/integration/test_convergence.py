"""Two replicas of two workers on one Redis come to serve the same, say so, and are restarted while they serve."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from routeiq.http.table import CONFIG_SYNC
from routeiq.testing.load import Fate
from tests.chaos.replica import MASTER_KEY
from tests.integration.fleet import LIMIT_S, Fleet, aside, fleet

pytestmark = pytest.mark.integration

INTERVAL_S = 6.0
STREAM_S = 6.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet"), {"ROUTEIQ_RELOAD_INTERVAL": str(INTERVAL_S)}) as made:
        made.until(lambda found: found["agreement"]["settled"] and len(found["workers"]) == 4)
        yield made


@pytest.fixture(autouse=True)
def all_is_well_again(running: Fleet) -> Iterator[None]:
    """Every test begins and ends with the same configuration in all four workers."""
    yield
    running.write(0)
    running.write(1)
    running.replicas[0].ask("POST", "/routeiq/reload")
    running.until(lambda found: found["agreement"]["settled"])


def admin(running: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `routeiq admin ...` against one replica."""
    command = [sys.executable, "-m", "routeiq", "admin", *arguments, "--url", running.replicas[0].url]
    env = {**os.environ, "LITELLM_MASTER_KEY": MASTER_KEY, "COLUMNS": "200"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=LIMIT_S)


def test_every_worker_is_shown_and_all_agree(running: Fleet) -> None:
    """Replica, worker, process, versions, digest and state of all four, the sums, the metric, and the command."""
    found = running.status()
    assert found["agreement"]["agree"]
    assert found["agreement"]["workers"] == 4
    assert found["agreement"]["on"]["snapshot"] == found["snapshot"]
    assert len({one["replica"] for one in found["workers"]}) == 2
    assert sorted(one["worker"] for one in found["workers"]) == [0, 0, 1, 1]
    assert {one["pid"] for one in found["workers"]} == {pid for one in running.replicas for pid in one.worker_pids()}
    assert {(one["state"], one["digest"] == one["seen"]) for one in found["workers"]} == {("ok", True)}
    assert found["totals"]["workers"] == 4
    assert found["totals"]["load"]["in_flight"] == 0
    with urlopen(f"{running.replicas[1].url}/metrics", timeout=20) as answer:
        assert b'routeiq_config_agreement{worker_id="1"} 1.0' in answer.read()
    for path in CONFIG_SYNC:
        with urlopen(f"{running.replicas[0].url}{path}", timeout=20) as answer:
            told = json.load(answer)
        assert (told["in_sync"], told["state"], told["version"]) == (True, "ok", found["snapshot"])
    shown = admin(running, "status", "--wait-converged", "30")
    assert shown.returncode == 0, shown.stderr
    assert "4 workers of all replicas agree" in shown.stdout
    assert shown.stdout.count(found["snapshot"]) == 5


def test_a_version_that_one_worker_saw_is_everywhere_at_once(running: Fleet) -> None:
    """Long before the others would have looked by themselves; the same content is the same version each time."""
    took, versions, late = [], set(), 0.0
    for strategy in ("smallest", "largest", "smallest", "round-robin"):
        before = running.status()["agreement"]["on"]["digest"]
        running.write(0, strategy)
        running.write(1, strategy)
        running.until(lambda found, before=before: any(one["digest"] != before for one in found["workers"]))  # type: ignore[misc]
        begun = time.monotonic()
        asked = begun
        while not running.all_serve(strategy):
            assert asked - begun < LIMIT_S
            time.sleep(0.02)
            asked, before_that = time.monotonic(), asked
            late = max(late, asked - before_that)
        took.append(time.monotonic() - begun)
        versions.add(running.status()["snapshot"])
    assert len(versions) == 3
    # Two statuses take milliseconds; what they take longer the machine takes from everybody.
    assert sorted(took)[1] < 2.0 + 4 * late, (took, late)


def test_a_reload_happens_in_every_worker(running: Fleet) -> None:
    """The answer names the workers that took it; a refusal anywhere is a refusal; a signal to one reaches all."""
    running.write(0, "largest")
    running.write(1, "largest")
    answer = running.replicas[1].ask("POST", "/routeiq/reload")
    assert answer["everywhere"]
    assert [one["answered"] for one in answer["workers"]] == [True] * 4
    assert len({one["snapshot"] for one in answer["workers"]}) == 1
    assert running.status(0)["aliases"]["auto"]["strategy"] == "largest"
    since = {one["id"]: one["since"] for one in answer["workers"]}
    os.kill(running.replicas[0].pid(), signal.SIGHUP)
    running.until(lambda found: all(one["since"] > since[one["id"]] for one in found["workers"]), which=1)
    running.write(1, "largset")
    with pytest.raises(HTTPError) as refused:
        running.replicas[0].ask("POST", "/routeiq/reload")
    states = [(one["state"], one["reason"]) for one in json.load(refused.value)["workers"]]
    assert sorted(states, key=str) == [("ok", None)] * 2 + [("rejected", "unknown_strategy")] * 2
    shown = admin(running, "status", "--wait-converged", "0.5")
    assert shown.returncode == 1
    assert "rejected: unknown_strategy" in shown.stdout


def test_polling_alone_brings_it(running: Fleet) -> None:
    """With Redis gone a change is in every worker after one interval, and back again all agree."""
    running.redis.kill()
    try:
        running.write(0, "smallest")
        running.write(1, "smallest")
        begun, late = time.monotonic(), 0.0
        serving: dict[int, str] = {}
        while set(serving.values()) != {"smallest"} or len(serving) < 4:
            asked = time.monotonic()
            assert asked - begun < LIMIT_S, serving
            for which in (0, 1):
                found = running.status(which)
                serving[found["pid"]] = found["aliases"]["auto"]["strategy"]
            late = max(late, time.monotonic() - asked)
        assert time.monotonic() - begun < INTERVAL_S + 3.0 + 4 * late
    finally:
        running.redis.start()
    running.until(lambda found: found["agreement"]["settled"] and found["agreement"]["workers"] == 4)


async def test_a_rolling_restart_costs_nothing(running: Fleet) -> None:
    """Under load, with streams that last longer than any step, all processes are new, and none is missed."""
    changed = {"general_settings": {**running.config["general_settings"], "max_parallel_requests": 500}}
    for which in (0, 1):
        running.write(which, **changed)
    running.replicas[0].ask("POST", "/routeiq/reload")
    assert "general_settings" in running.status()["workers"][0]["restart_needed"]
    before = {pid for replica in running.replicas for pid in replica.worker_pids()}
    running.provider.fault("*", "pace", delay_s=0.05)
    prompt = f"tell {{n}} at length [[replay pace {STREAM_S}]]"
    loads = [running.load(300.0, 4.0, 0.5, "What is {n} plus one?", which) for which in (0, 1)]
    loads += [running.load(300.0, 1.5, 1.0, prompt, which) for which in (0, 1)]
    await asyncio.sleep(2.0)
    begun = await aside(running.replicas[0].ask, "POST", "/routeiq/restart")
    with pytest.raises(HTTPError, match="409"):
        await aside(running.replicas[1].ask, "POST", "/routeiq/restart")
    done = await aside(_ended, running, begun["id"])
    await asyncio.sleep(1.0)
    reports = [await load.stop() for load in loads]
    assert done["state"] == "done", done
    for report in reports:
        assert report.count(Fate.OK) == len(report) > 0, report.text()
    after = running.status()["workers"]
    staying = [one for one in after if one["state"] != "draining"]
    assert len(staying) == 4
    assert before.isdisjoint(one["pid"] for one in staying)
    assert all(one["restart_needed"] == [] for one in staying)
    running.provider.reset()


def _ended(running: Fleet, order: str) -> dict[str, Any]:
    """How a restart ended, as either replica knows it."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        found: dict[str, Any] = running.replicas[1].ask("GET", "/routeiq/restart")
        if found.get("id") == order and found["state"] != "under way":
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_what_one_replica_cannot_start_with_reaches_no_other(running: Fleet) -> None:
    """The restart stops with the reason, all workers are those they were, and serve; mended, it comes to its end."""
    before = {one["pid"] for one in running.status()["workers"] if one["state"] != "draining"}
    for which in (0, 1):
        running.write(which, "largset")
    done = admin(running, "restart", "--rolling")
    assert done.returncode == 1
    assert "did you mean 'largest'" in done.stderr
    assert before == {one["pid"] for one in running.status()["workers"] if one["state"] != "draining"}
    found = running.replicas[1].ask("GET", "/routeiq/restart")
    assert [row["state"] for row in found["replicas"]] == ["failed", "waiting"]
    assert running.status(1)["aliases"]["auto"]["strategy"] == "round-robin"
    for which in (0, 1):
        running.write(which)
    done = admin(running, "restart", "--rolling", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["replaced"] for row in json.loads(done.stdout)["replicas"]] == [2, 2]
    assert before.isdisjoint(one["pid"] for one in running.status()["workers"] if one["state"] != "draining")
