"""The provider as a process: start, port file, end, and the death of its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import openai
import psutil
import pytest

from routeiq.testing.replay import ReplayFailed, ReplayProcess
from routeiq.testing.replay.server import write_port_file


def _until(condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_provider_ends_cleanly_when_stopped() -> None:
    """SIGTERM gives the exit status 0, also while a call hangs, and stopping again does no harm."""
    provider = ReplayProcess.start(faults=["*=hang"], time_scale=float("inf"))
    body = b'{"model": "sim-tiny", "input": "x"}'
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", provider.port), timeout=20) as client:
        client.sendall(head.encode() + body)
        assert _until(lambda: len(provider.journal()) == 1)
        assert provider.returncode is None
        assert provider.stop() == 0
        assert provider.stop() == 0


def test_two_providers_have_ports_of_their_own() -> None:
    """Port 0 picks a free one each time."""
    with ReplayProcess.start() as first, ReplayProcess.start() as second:
        assert first.port != second.port


def test_the_port_file_is_there_while_the_provider_runs_and_gone_after(tmp_path: Path) -> None:
    """It holds the port once the provider answers, and is removed at the end."""
    file = tmp_path / "port"
    command = [sys.executable, "-m", "routeiq.testing.replay", "--tasks", "--port-file", str(file)]
    process = subprocess.Popen(command)
    try:
        assert _until(file.exists)
        port = int(file.read_text(encoding="ascii"))
        assert port in [
            c.laddr.port for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"
        ]
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not file.exists()


def test_the_port_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    """A new port takes the place of the old one and leaves no partial file."""
    file = tmp_path / "port"
    write_port_file(file, 1)
    write_port_file(file, 23456)
    assert file.read_text(encoding="ascii") == "23456\n"
    assert os.listdir(tmp_path) == ["port"]


def test_a_provider_ends_when_its_parent_dies(tmp_path: Path) -> None:
    """A parent killed without a chance to clean up leaves no provider behind."""
    script = (
        "import time; from routeiq.testing.replay import ReplayProcess\n"
        "p = ReplayProcess.start(); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
        gone, _ = psutil.wait_procs([child], timeout=20)
    assert gone == [child]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "--models", "sim-huge"], "no simulated model 'sim-huge'; known: sim-tiny"),
        (["--tasks", "--fault", "sim-tiny=hangs"], "did you mean 'hang'"),
        (["--tasks", "--time-scale", "0"], "must be above 0"),
        (["--data", "/nowhere"], "--data needs --suite"),
        (["--data", "/nowhere", "--suite", "x"], "models.csv: no such file"),
        ([], "one of the arguments --data --tasks is required"),
    ],
)
def test_a_failed_start_says_why(arguments: list[str], said: str) -> None:
    """The error holds what the child wrote before it ended."""
    with pytest.raises(ReplayFailed, match="ended with status 2") as caught:
        ReplayProcess.start_with(arguments)
    assert said in str(caught.value)


def test_a_taken_port_is_named() -> None:
    """The child ends with status 1 and says which port it could not have."""
    with ReplayProcess.start() as provider:
        command = [sys.executable, "-m", "routeiq.testing.replay", "--tasks", "--port", str(provider.port)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"port {provider.port} of 127.0.0.1" in second.stderr


def test_latency_is_real_sleep_divided_by_the_time_scale() -> None:
    """The same call takes longer at a smaller scale."""
    took = {}
    for scale in (2.0, 20.0):
        with (
            ReplayProcess.start(time_scale=scale) as provider,
            openai.OpenAI(base_url=provider.openai_base_url, api_key="any", max_retries=0) as client,
        ):
            client.models.list()
            begun = time.monotonic()
            client.chat.completions.create(model="sim-large", messages=[{"role": "user", "content": "hello"}])
            took[scale] = time.monotonic() - begun
    assert took[2.0] > 2 * took[20.0]
