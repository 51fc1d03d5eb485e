"""How long requests stand still while a configuration is compiled and swapped: 100 models and an artifact of 50 MB.

    python bench/reload.py                  # a dozen changes of everything, about a minute
    python bench/reload.py --once           # two changes of something small, to show that it runs
    python bench/reload.py --json FILE      # write the figures too

One unmodified `routeiq serve`. In its event loop a task wants to run every millisecond (LiteLLM starts it: `watch`); by
how much it is late is what every request of that moment is late. Another busy program makes it late as well, so the
processor time that the gateway itself used meanwhile is noted: no more of a pause can be the gateway's own; and that of
the event loop's thread, which is a single step of the loop, however busy the machine. Requests
hold each other up as well (LiteLLM works for ten milliseconds on each), so pauses are taken from every second change,
when there are none, and latencies from the others. Every change gives each model another price: all of them are new to
LiteLLM, and every one of before has to go.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import yaml

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact, Manifest
from routeiq.routing.embedding import load_default
from routeiq.testing.demo.gateway import GatewayProcess

KEY = "sk-bench-0123456789abcdef"
HEADERS = {"authorization": f"Bearer {KEY}"}
TICK_S = 0.001
TICKS = "BENCH_TICKS"
READY_LIMIT_S = 180.0
PAUSE_S = 0.01
"""Between two requests."""

REDUCED = 64
KERNEL = (0.3, 50.0, 0.0, 0.5)
"""Threshold, prior mass, points kept (all), familiarity."""


async def watch() -> None:
    """Start the task in the gateway; `LITELLM_WORKER_STARTUP_HOOKS` names this function."""
    _RUNNING.append(asyncio.get_running_loop().create_task(_tick(Path(os.environ[TICKS]))))


_RUNNING: list["asyncio.Task[None]"] = []


async def _tick(path: Path) -> None:
    with path.open("a", encoding="utf-8", buffering=1) as file:
        while True:
            begun, used, here = time.monotonic(), time.process_time(), time.thread_time()
            await asyncio.sleep(TICK_S)
            late = time.monotonic() - begun - TICK_S
            if late > TICK_S / 2:
                own = min(late, time.process_time() - used)
                step = min(late, time.thread_time() - here)
                file.write(f"{begun} {late * 1000.0} {own * 1000.0} {step * 1000.0}\n")


@dataclass(frozen=True)
class Size:
    """How much there is to change, and how often: first without requests, then beside them, and so on."""

    models: int
    megabytes: float
    changes: int
    settle_s: float


@dataclass
class Seen:
    """What was noted in some windows of time: requests as (start, milliseconds), windows as (start, end)."""

    requests: list[tuple[float, float]] = field(default_factory=list)
    windows: list[tuple[float, float]] = field(default_factory=list)

    def ticks(self, path: Path) -> list[tuple[float, float, float]]:
        """Return by how many milliseconds the task was late in the windows.

        Beside that how much of it the process can have caused, and how much the thread of the event loop.
        """
        rows = [tuple(map(float, line.split())) for line in path.read_text().splitlines() if line.count(" ") == 3]
        return [(late, own, step) for at, late, own, step in rows if self._within(at)]

    def latencies(self) -> list[float]:
        """Return the milliseconds of the requests that were sent in the windows."""
        return sorted(took for at, took in self.requests if self._within(at))

    def _within(self, at: float) -> bool:
        return any(begin <= at < end for begin, end in self.windows)


def artifact(folder: Path, names: Sequence[str], megabytes: float) -> Path:
    """Write a nearest-neighbour router of random outcomes of that many megabytes."""
    embedder, chance = load_default(), np.random.default_rng(0)
    count = int(megabytes * 2**20 / (4 * (REDUCED + 4 * len(names) + 1)))
    cells, zeros = (count, len(names)), np.zeros(len(names))
    basis = np.linalg.qr(chance.standard_normal((embedder.dimensions, REDUCED)))[0].T
    points = chance.standard_normal((count, REDUCED)).astype(np.float32)
    arrays = {
        "mean": np.zeros(embedder.dimensions, dtype=np.float32),
        "basis": np.ascontiguousarray(basis, dtype=np.float32),
        "scale": np.ones(REDUCED, dtype=np.float32),
        "points": points / np.linalg.norm(points, axis=1, keepdims=True),
        "input_price": zeros + 1e-7,
        "output_price": zeros + 1e-6,
        "kernel": np.array(KERNEL),
        **{name: chance.random(cells).astype(np.float32) for name in ("score_sum", "tokens_sum", "latency_sum")},
        "score_count": np.ones(cells, dtype=np.float32),
        "prompts": np.ones(count, dtype=np.float32),
        "prior_score": zeros + 0.5,
        "prior_tokens": zeros + 100.0,
        "prior_latency": zeros + 1.0,
    }
    manifest = Manifest("knn", "", tuple(names), "", "", embedder=embedder.id, dimensions=embedder.dimensions)
    FileArtifactStore().save(str(folder / "knn.npz"), Artifact(manifest, arrays))
    return folder / "knn.npz"


def configuration(names: Sequence[str], path: Path, version: int) -> dict[str, Any]:
    """Return a configuration in which every price is of this version."""

    def model(name: str) -> dict[str, Any]:
        price = {"input_cost_per_token": 1e-7 * (1 + version / 100), "output_cost_per_token": 1e-6}
        at = {"model": f"openai/{name}", "api_key": "none", "mock_response": "It is so."}
        return {"model_name": name, "litellm_params": {**at, **price}}

    group = {"group_name": "auto", "models": list(names), "routing_strategy": "priority"}
    return {
        "model_list": [model(name) for name in names],
        "router_settings": {"routing_groups": [{**group, "model_priorities": dict.fromkeys(names, 1)}]},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "routeiq_settings": {"strategy": "knn", "artifact": str(path), "aliases": {"auto": {}}},
    }


async def steady(
    session: aiohttp.ClientSession, url: str, notes: list[tuple[float, float]], wanted: asyncio.Event
) -> None:
    """Send one request after the other while that is wanted, until cancelled, and note how long each took."""
    number = 0
    while True:
        await wanted.wait()
        number += 1
        body = {"model": "auto", "messages": [{"role": "user", "content": f"Which river flows past town {number}?"}]}
        begun = time.monotonic()
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as answer:
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}: {(await answer.text())[:300]}")
            await answer.read()
        notes.append((begun, (time.monotonic() - begun) * 1000.0))
        await asyncio.sleep(PAUSE_S)


async def measure(url: str, write: Callable[[int], None], size: Size) -> tuple[list[Seen], list[float]]:
    """Change the configuration again and again; return what was seen, and how long each reload took.

    What was seen is without requests and with them, each in quiet and during a reload.
    """
    seen = [Seen() for _ in range(4)]
    took, wanted = [], asyncio.Event()
    for one in seen:
        one.requests = seen[0].requests
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as session:
        load = asyncio.create_task(steady(session, url, seen[0].requests, wanted))
        wanted.set()
        # The first reload loads what every later one finds.
        await session.post(f"{url}/routeiq/reload?force=true", headers=HEADERS)
        await asyncio.sleep(size.settle_s)
        for version in range(1, size.changes + 1):
            beside = version % 2 == 0
            wanted.set() if beside else wanted.clear()
            await asyncio.sleep(size.settle_s)
            quiet = time.monotonic()
            await asyncio.sleep(size.settle_s)
            write(version)
            begun = time.monotonic()
            async with session.post(f"{url}/routeiq/reload", headers=HEADERS) as answer:
                said = await answer.json()
                if answer.status != 200 or said["state"] != "ok":
                    raise RuntimeError(f"refused: {said}")
            await asyncio.sleep(size.settle_s / 2)
            seen[2 * beside].windows.append((quiet, begun))
            seen[2 * beside + 1].windows.append((begun, time.monotonic()))
            took.append(said["duration_ms"])
            if load.done():
                load.result()
        load.cancel()
    return seen, took


def figures(seen: Sequence[Seen], took: Sequence[float], ticks: Path) -> dict[str, float]:
    """Return what to print, in milliseconds."""
    found = {"reload_ms": statistics.median(took)}
    for name, one in (("quiet", seen[0]), ("reload", seen[1])):
        late = one.ticks(ticks)
        found[f"{name}_worst_pause_ms"] = max((pause for pause, _, _ in late), default=0.0)
        found[f"{name}_worst_own_pause_ms"] = max((own for _, own, _ in late), default=0.0)
        found[f"{name}_own_pauses_over_5_ms"] = sum(own > 5.0 for _, own, _ in late) / len(one.windows)
        found[f"{name}_worst_step_ms"] = max((step for _, _, step in late), default=0.0)
    for name, one in (("quiet", seen[2]), ("reload", seen[3])):
        asked = one.latencies() or [0.0]
        found[f"{name}_request_p50_ms"] = asked[len(asked) // 2]
        found[f"{name}_request_max_ms"] = asked[-1]
        found[f"{name}_requests"] = len(asked)
    return found


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="two small changes, to show that it runs")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    given = parser.parse_args()
    size = Size(10, 1.0, 2, 0.2) if given.once else Size(100, 50.0, 12, 1.0)
    names = [f"model-{number:03d}" for number in range(size.models)]
    with tempfile.TemporaryDirectory(prefix="routeiq-bench-") as name:
        folder = Path(name)
        path, ticks = artifact(folder, names, size.megabytes), folder / "ticks"
        ticks.touch()
        own = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {"LITELLM_MASTER_KEY": KEY, TICKS: str(ticks), "PYTHONPATH": own, "ROUTEIQ_RELOAD_INTERVAL": "3600"}
        env["LITELLM_WORKER_STARTUP_HOOKS"] = "reload:watch"

        def write(version: int) -> None:
            new = folder / "config.new"
            new.write_text(yaml.safe_dump(configuration(names, path, version)), encoding="utf-8")
            os.replace(new, folder / "config.yaml")

        with GatewayProcess(folder, configuration(names, path, 0), env) as gateway:
            gateway.wait_until_ready(READY_LIMIT_S)
            seen, took = asyncio.run(measure(gateway.base_url, write, size))
        found = figures(seen, took, ticks)
        megabytes = path.stat().st_size / 2**20
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {size.changes} change(s) of {size.models} models, "
        f"artifact of {megabytes:.0f} MB, load {os.getloadavg()[0]:.1f}"
    )
    for key, value in found.items():
        print(f"  {key:<28} {value:10.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
