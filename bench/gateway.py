"""Time the gateway against the same LiteLLM without RouteIQ: throughput, latency, memory.

    python bench/gateway.py                 # five starts of both, eight rounds each, some minutes
    python bench/gateway.py --workers 2     # two workers each
    python bench/gateway.py --prices model_info    # prices where stock LiteLLM need not enter them with every call
    python bench/gateway.py --once          # a few requests, to show that it runs
    python bench/gateway.py --json FILE     # write the figures too

Both servers run side by side over one replay provider without latency, with the same models and the same virtual
model; they take turns under load, in short rounds, so that whatever else the machine does hits both. The stock one lets
LiteLLM choose. Both are started several times: where in memory a process happens to be placed makes one start up to a
third dearer than the next. Each has answered a call of every kind before its memory is read: a chat alone leaves much
of LiteLLM unloaded.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.learn.knn import train
from routeiq.testing.demo.gateway import GatewayProcess, configuration
from routeiq.testing.demo.teach import SUITE, write
from routeiq.testing.demo.workload import Item, Model, Reply
from routeiq.testing.replay.process import ReplayProcess
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks import Task, all_tasks
from routeiq.testing.tasks.models import MODELS

ALIAS = "auto"
PRICES = ("input_cost_per_token", "output_cost_per_token")
KEY = "sk-bench-0123456789abcdef"
CONNECTIONS = 8
GROUP = 20
"""How many requests one side is sent one by one before it is the other's turn."""

KINDS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "warm up"}], "stream": True},
    "/v1/messages": {"messages": [{"role": "user", "content": "warm up"}], "max_tokens": 16},
    "/v1/responses": {"input": "warm up"},
    "/v1/completions": {"prompt": "warm up"},
}
"""What is asked beside plain chat completions, once each."""

QUIET_S = 2.0
"""The pause after the bursts, in which both sides finish what they put off."""

READY_LIMIT_S = 180.0


@dataclass(slots=True)
class Side:
    """One of the two servers and what was measured of it."""

    name: str
    url: str
    pid: int
    per_second: list[float] = field(default_factory=list)
    sequential_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def processes(self) -> list[psutil.Process]:
        """Return the server's processes: the one that was started, and its workers."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the processor time the server has used so far, in seconds."""
        return sum(p.cpu_times().user + p.cpu_times().system for p in self.processes())

    def memory_mb(self) -> list[float]:
        """Return the memory of each process in MB: resident when it is one, else its share of what they share."""
        processes = self.processes()
        if len(processes) == 1:
            return [processes[0].memory_info().rss / 2**20]
        return [p.memory_full_info().pss / 2**20 for p in processes]


def teach(folder: Path, tasks: list[Task]) -> Path:
    """Train an artifact on the simulated models' own answers, without a gateway."""
    source = SimulatedSource(0)
    models = [Model(m.name, m.usd_per_m_input, m.usd_per_m_output) for m in MODELS]
    rows = []
    for task in tasks:
        for model in models:
            answer = source.answer(model.name, task.prompt, ())
            item = Item(task.id, task.prompt, task.family)
            reply = Reply(item, model.name, "", None, "", "", "", "", answer.input_tokens, answer.output_tokens)
            rows.append((item, model, reply, float(task.passes(answer.text, answer.tool_call))))
    data = folder / "outcomes"
    data.mkdir()
    write(data, models, rows)
    train(data, (SUITE,), FileArtifactStore(), str(folder / "knn.npz"))
    return folder / "knn.npz"


def priced_in_model_info(config: dict[str, Any]) -> None:
    """Move the prices of all models from `litellm_params`, where LiteLLM enters them anew with every call."""
    for model in config["model_list"]:
        params, info = model["litellm_params"], model.setdefault("model_info", {})
        info.update({name: params.pop(name) for name in PRICES if name in params})


@contextmanager
def stock(folder: Path, config: dict[str, object], workers: int) -> Iterator[Side]:
    """Run LiteLLM's own command on the same configuration without RouteIQ's section."""
    plain = {key: value for key, value in config.items() if key != "routeiq_settings"}
    path = folder / "stock.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        **os.environ,
        "LITELLM_MASTER_KEY": KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    }
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(path)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    if workers > 1:
        # Without the second option its workers are killed again and again while they start on a busy machine.
        command += ["--num_workers", str(workers), "--timeout_worker_healthcheck", "120"]
    with (folder / "stock.log").open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=variables, cwd=folder)
    try:
        yield Side("litellm", f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def routed(folder: Path, config: dict[str, object], workers: int) -> Iterator[Side]:
    """Run `routeiq serve`."""
    with GatewayProcess(folder, config, {"LITELLM_MASTER_KEY": KEY, "ROUTEIQ_WORKERS": str(workers)}) as gateway:
        gateway.wait_until_ready(READY_LIMIT_S)
        yield Side("routeiq", gateway.base_url, gateway.pid)


async def post(session: aiohttp.ClientSession, side: Side, path: str, body: dict[str, Any]) -> None:
    """Send a call to the virtual model and read the answer; raises RuntimeError for any status but 200."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with session.post(f"{side.url}{path}", json={"model": ALIAS, **body}, headers=headers) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{side.name} answered {answer.status} to {path}: {(await answer.text())[:300]}")
        await answer.read()


async def ask(session: aiohttp.ClientSession, side: Side, prompt: str) -> None:
    """Send one chat completion and read the answer."""
    await post(session, side, "/v1/chat/completions", {"messages": [{"role": "user", "content": prompt}]})


async def ready(session: aiohttp.ClientSession, side: Side) -> None:
    """Wait until the server answers, within a limit."""
    deadline = time.monotonic() + READY_LIMIT_S
    while True:
        try:
            await ask(session, side, "warm up")
        except (aiohttp.ClientError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.3)
        else:
            return


async def ask_all_kinds(session: aiohttp.ClientSession, side: Side) -> None:
    """Send one call of each further kind, so that both have loaded what real traffic makes them load."""
    for path, body in KINDS.items():
        await post(session, side, path, body)


async def burst(session: aiohttp.ClientSession, side: Side, prompts: list[str]) -> None:
    """Send prompts over a fixed number of connections, as fast as they are answered."""
    waiting = iter(prompts)

    async def connection() -> None:
        for prompt in waiting:
            await ask(session, side, prompt)

    used, begun = side.cpu_s(), time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    side.per_second.append(len(prompts) / (time.perf_counter() - begun))
    side.cpu_ms.append((side.cpu_s() - used) * 1000 / len(prompts))


async def one_by_one(session: aiohttp.ClientSession, side: Side, prompts: list[str]) -> None:
    """Send prompts one after the other and note how long each took; the first of them finds the server asleep."""
    for prompt in prompts:
        begun = time.perf_counter()
        await ask(session, side, prompt)
        side.sequential_ms.append((time.perf_counter() - begun) * 1000)


async def measure(sides: tuple[Side, Side], rounds: int, requests: int, prompts: list[str]) -> None:
    """Let the two take turns; who begins changes from round to round."""
    for side in sides:
        async with connected() as session:
            await ready(session, side)
            await ask_all_kinds(session, side)
            await burst(session, side, prompts[: 2 * requests])
        side.per_second.clear()
        side.cpu_ms.clear()
    for turn in range(rounds):
        for side in sides if turn % 2 else sides[::-1]:
            async with connected() as session:
                await burst(session, side, [prompts[i % len(prompts)] for i in range(requests)])
        await asyncio.sleep(QUIET_S)
        for first in range(0, max(GROUP, requests // 5), GROUP):
            for side in sides if first // GROUP % 2 == turn % 2 else sides[::-1]:
                async with connected() as session:
                    await one_by_one(session, side, prompts[first : first + GROUP])


def connected() -> aiohttp.ClientSession:
    """Return a client with connections of its own: servers close those that wait for their next turn."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS * 2), timeout=aiohttp.ClientTimeout(60)
    )


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of both servers came to: each side's figures and the memory of its processes in MB."""

    stock: Side
    routed: Side
    stock_mb: list[float]
    routed_mb: list[float]

    @property
    def ratios(self) -> list[float]:
        """Routed requests per second over stock ones, round by round."""
        return [b / a for a, b in zip(self.stock.per_second, self.routed.per_second, strict=True)]


def result(starts: list[Start]) -> dict[str, float]:
    """Return the figures: medians over all rounds of all starts, and the ratios of the best and the worst start."""
    stock_p50 = statistics.median(ms for one in starts for ms in one.stock.sequential_ms)
    routed_p50 = statistics.median(ms for one in starts for ms in one.routed.sequential_ms)
    by_start = sorted(statistics.median(one.ratios) for one in starts)
    return {
        "stock_requests_per_second": statistics.median(r for one in starts for r in one.stock.per_second),
        "routed_requests_per_second": statistics.median(r for one in starts for r in one.routed.per_second),
        "throughput_ratio": statistics.median(ratio for one in starts for ratio in one.ratios),
        "throughput_ratio_worst_start": by_start[0],
        "throughput_ratio_best_start": by_start[-1],
        "stock_p50_ms": stock_p50,
        "routed_p50_ms": routed_p50,
        "added_p50_ms": routed_p50 - stock_p50,
        "stock_cpu_ms_per_request": statistics.median(ms for one in starts for ms in one.stock.cpu_ms),
        "routed_cpu_ms_per_request": statistics.median(ms for one in starts for ms in one.routed.cpu_ms),
        **sizes(starts),
    }


def sizes(starts: list[Start]) -> dict[str, float]:
    """Return what the two take, medians over starts: one process by resident memory, several by their shares."""
    stock = statistics.median(sum(one.stock_mb) for one in starts)
    routed = statistics.median(sum(one.routed_mb) for one in starts)
    if len(starts[0].routed_mb) == 1:
        return {"stock_rss_mb": stock, "routed_rss_mb": routed, "added_rss_mb": routed - stock}
    return {
        "stock_pss_mb": stock,
        "routed_pss_mb": routed,
        "stock_pss_mb_per_worker": statistics.median(statistics.mean(one.stock_mb[1:]) for one in starts),
        "routed_pss_mb_per_worker": statistics.median(statistics.mean(one.routed_mb[1:]) for one in starts),
    }


def started(folder: Path, config: dict[str, Any], given: argparse.Namespace, prompts: list[str]) -> Start:
    """Start both servers, measure them, stop them."""
    folder.mkdir()
    with stock(folder, config, given.workers) as left, routed(folder, config, given.workers) as right:
        asyncio.run(measure((left, right), given.rounds, given.requests, prompts))
        return Start(left, right, left.memory_mb(), right.memory_mb())


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="a few requests, to show that it runs")
    parser.add_argument("--starts", type=int, default=5, help="how often both servers are started")
    parser.add_argument("--rounds", type=int, default=8, help="per start")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of each side")
    parser.add_argument("--prices", choices=("litellm_params", "model_info"), default="litellm_params")
    parser.add_argument("--requests", type=int, default=100, help="per round and server")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    given = parser.parse_args()
    if given.once:
        given.starts, given.rounds, given.requests = 1, 1, 20
    tasks = all_tasks()
    models = [Model(m.name, m.usd_per_m_input, m.usd_per_m_output) for m in MODELS]
    with tempfile.TemporaryDirectory(prefix="routeiq-bench-") as name:
        folder = Path(name)
        artifact = teach(folder, tasks[::6] if given.once else tasks[::2])
        section = {"strategy": "knn", "artifact": str(artifact), "aliases": {ALIAS: {}}}
        with ReplayProcess.start(time_scale=float("inf")) as provider:
            config = configuration(models, provider.openai_base_url, ALIAS, section)
            if given.prices == "model_info":
                priced_in_model_info(config)
            prompts = [task.prompt for task in tasks]
            starts = [started(folder / str(n), config, given, prompts) for n in range(given.starts)]
    figures = result(starts)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {given.starts} starts of {given.rounds} rounds of "
        f"{given.requests} requests each, {given.workers} worker(s) each, prices in {given.prices}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for key, value in figures.items():
        print(f"  {key:<28} {value:10.2f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
