"""`routeiq workers`: how many workers to run here, why, and what they take when they run."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import typer
from rich.table import Table

from routeiq.cli.options import AsJson, Config
from routeiq.cli.output import stdout, working
from routeiq.config.environment import for_child
from routeiq.config.load import Settings, load
from routeiq.config.sizing import FAMILIES, Advice, Machine, advise
from routeiq.core.errors import ConfigError, RouteIQError

START_LIMIT_S = 180.0
CGROUP = Path("/sys/fs/cgroup")

_WHY = {
    "cores": "one per core: a request takes 7 ms of processor time in LiteLLM, a decision 0.1 ms",
    "encoder": "one per two cores: the ONNX encoder keeps a second core busy",
    "memory": "as many as fit into the memory with a fifth to spare",
}


def workers(
    config: Config = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also run the gateway with two workers for a moment, and measure.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend a number of workers for `routeiq serve --workers`, and say why.

    With `--measure` the gateway is started on a free port of this machine, its memory read, and stopped.
    """
    settings = load(config)
    machine = this_machine()
    advice = advice_for(settings, machine)
    measured = _measured(settings.path) if measure else None
    if as_json:
        form = {
            "workers": advice.workers,
            "bound": advice.bound,
            "family": advice.family.name,
            "formula": {"text": advice.family.formula, "workers": advice.formula, "plan_mb": advice.family.plan_mb},
            "cores": machine.cores,
            "memory_mb": machine.memory_mb,
            "needs_mb": advice.needs_mb,
            "measured_pss_mb": measured,
        }
        stdout().print_json(json.dumps(form))
        return
    _show(advice, machine, measured, shares=settings.environment.redis is not None)


def recommended(settings: Settings) -> int:
    """Return the number of workers to run on this machine."""
    return advice_for(settings, this_machine()).workers


def advice_for(settings: Settings, machine: Machine) -> Advice:
    """Return the advice for the strategies that the settings name."""
    named = [settings.strategy(alias) for alias in settings.routeiq.aliases.values()] if settings.enabled else []
    return advise(named, machine, onnx=settings.routeiq.embedder.kind == "onnx")


def this_machine(cgroup: Path = CGROUP) -> Machine:
    """Return the cores and the memory that this process may use: the container's limits where it has any."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    with suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        cores = min(cores, int(quota) / int(period))
    memory = None
    with suppress(OSError, ValueError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    with suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text()) / 2**20
        memory = limit if memory is None else min(memory, limit)
    return Machine(cores, memory)


def _show(advice: Advice, machine: Machine, measured: list[float] | None, *, shares: bool) -> None:
    console = stdout()
    table = Table("strategies", "formula", "on this machine", "memory to plan", box=None, pad_edge=False)
    for family in FAMILIES:
        mark = "[bold]" if family is advice.family else ""
        most = str(family.most(machine.cores))
        table.add_row(f"{mark}{family.name}", family.formula, most, f"{family.plan_mb} MB each")
    console.print(table)
    memory = "unknown" if machine.memory_mb is None else f"{machine.memory_mb / 1024:.1f} GiB"
    console.print(f"cores {machine.cores:g}, memory {memory}, configured: {advice.family.name}")
    console.print(f"[bold]recommended: {advice.workers}[/] ({_WHY[advice.bound]}), about {advice.needs_mb} MB in all")
    if shares:
        console.print("`routeiq serve` runs as many unless it is told otherwise")
    elif advice.workers > 1:
        console.print("`routeiq serve` runs one unless it is told otherwise: without Redis workers share no state")
    if measured is not None:
        each = ", ".join(f"{size:.0f}" for size in measured[1:])
        console.print(f"measured with 2 workers, PSS: {sum(measured):.0f} MB ({measured[0]:.0f} supervisor; {each})")


def _measured(config: Path) -> list[float]:
    """Return the PSS in MB of a supervisor and two workers that have started; raises RouteIQError."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise ConfigError("--measure reads /proc/PID/smaps_rollup, which this system does not have")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "routeiq", "serve", "--config", str(config), "--workers", "2"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with working("measuring"), tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=for_child({})
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/_health/ready")
            return [_pss_mb(pid) for pid in (process.pid, *_children(process.pid))]
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(URLError, OSError), urlopen(url, timeout=2.0):  # noqa: S310 - our loopback address
            if len(_children(process.pid)) == 2:
                return
        time.sleep(0.3)
    raise RouteIQError("the gateway did not start; run `routeiq serve --workers 2` to see why")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
