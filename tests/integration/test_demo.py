"""`routeiq demo` as people run it: real processes, the official clients, a table at the end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers.redis import wait

pytestmark = [pytest.mark.integration, pytest.mark.timeout(560)]

AT_A_TERMINAL = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, '-m', 'routeiq', 'demo'])"
)
"""Runs the command so that it hears Ctrl-C, which a shell has its background jobs ignore, and all that they start."""

ROUTERS = ("RouteIQ", "best fixed model", "always largest", "always smallest", "random", "oracle")


def demo(*arguments: str) -> str:
    """Run the command and return what it printed."""
    command = [sys.executable, "-m", "routeiq", "demo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_built_in_tasks_end_in_a_table(tmp_path: Path) -> None:
    """Built-in tasks teach a router through the gateway, are routed by it, and a table compares it with others."""
    printed = demo(
        "--taught", "20", "--prompts", "24", "--save", str(tmp_path / "r.md"), "--image", str(tmp_path / "r.svg")
    )
    for name in ROUTERS:
        assert name in printed
    for client in ("openai, streamed", "anthropic"):
        assert client in " ".join(printed.split())
    assert "Routing added" in printed
    assert "SIMULATED" in printed
    assert "→" in printed
    assert (tmp_path / "r.md").read_text(encoding="utf-8").count("|") > 40
    drawn = (tmp_path / "r.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert "url(" not in drawn.replace("url(#", "")


@pytest.mark.recorded
def test_recorded_outcomes_end_in_a_table(recorded_data: Path) -> None:
    """Recorded prompts with tools are routed by what the train split taught, and scored by what was recorded."""
    printed = demo("--data", str(recorded_data), "--suite", "bfcl", "--prompts", "24", "--time-scale", "500")
    for name in ROUTERS:
        assert name in printed
    assert "24 prompts of the test split" in " ".join(printed.split())


def test_a_suite_without_data_is_a_usage_error() -> None:
    """Naming a suite but no folder ends with exit status 2 and says what is missing."""
    command = [sys.executable, "-m", "routeiq", "demo", "--suite", "bfcl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--data" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_demonstration_that_is_stopped_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """It ends what it started and removes its files, quietly; when it is killed, the others notice and end as well."""
    command, env = [sys.executable, "-c", AT_A_TERMINAL], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        running = psutil.Process(process.pid)
        wait(lambda: len(list(tmp_path.glob("*/taught/config.yaml"))) == 1, "the start of a gateway")
        wait(lambda: len(running.children()) == 2, "two processes")
        started = running.children()
        process.send_signal(how)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[how]
    wait(lambda: not any(child.is_running() for child in started), "the end of both")
    assert "Traceback" not in printed
    if how is not signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []
