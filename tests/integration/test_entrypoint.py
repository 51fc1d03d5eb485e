"""The entrypoint of the container: it starts the gateway, passes signals on, tidies up, and ends with its status."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.proxy import ROOT
from tests.integration.serving import free_port
from tests.integration.test_supervisor import Gateway, attended, eventually

pytestmark = pytest.mark.integration

ENTRYPOINT = ROOT / "deploy" / "container" / "entrypoint.sh"


@contextmanager
def begun(folder: Path, *command: str) -> Iterator[Gateway]:
    """The entrypoint with a command, in a folder that is its temporary one, too."""
    port = free_port()
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TMPDIR": str(folder)}
    env["PATH"] = f"{folder}{os.pathsep}{env['PATH']}"
    process = subprocess.Popen(
        [str(ENTRYPOINT), *(part.format(port=port) for part in command)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with attended(process, port, folder) as gateway:
        yield gateway


SUPERVISED = (sys.executable, "-m", "tests.integration.supervised", "{port}", "2")


def test_sigterm_lets_streams_finish(tmp_path: Path) -> None:
    """Through the entrypoint as without it: the stream ends whole, the status is 0, and nothing is left behind."""
    (tmp_path / "routeiq-run.4194305" / "routeiq-old").mkdir(parents=True)
    mine = tmp_path / f"routeiq-run.{os.getpid()}"
    mine.mkdir()
    with begun(tmp_path, *SUPERVISED) as gateway:
        gateway.workers()
        assert sorted(path.name for path in tmp_path.glob("routeiq-run.*")) == sorted(
            [mine.name, f"routeiq-run.{gateway.process.pid}"]
        )
        stream = gateway.stream()
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.ask("/_health/ready")[0] == 503)
        gateway.go()
        assert stream.rest() == b"data: [DONE]\n\n"
        assert gateway.ended() == 0
    assert gateway.said("Graceful shutdown")
    assert [path.name for path in tmp_path.glob("routeiq-run.*")] == [mine.name]


def test_other_signals_are_passed_on(tmp_path: Path) -> None:
    """SIGUSR2 replaces the workers, and the entrypoint goes on waiting."""
    with begun(tmp_path, *SUPERVISED) as gateway:
        before = gateway.workers()
        gateway.signal(signal.SIGUSR2)
        eventually(lambda: gateway.workers().isdisjoint(before))
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0


def test_sigterm_is_heard_from_the_first_moment(tmp_path: Path) -> None:
    """A command that has no handler yet is ended, and its status is that of a process that was."""
    with begun(tmp_path, "sh", "-c", "echo begun; exec sleep 600") as gateway:
        eventually(lambda: gateway.said("begun"))
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 128 + signal.SIGTERM


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["none", "options"])
def test_without_a_command_it_serves(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Arguments are those of `routeiq serve`; its status is the container's."""
    (tmp_path / "routeiq").write_text('#!/bin/sh\necho "routeiq $*"\nexit 3\n')
    (tmp_path / "routeiq").chmod(0o755)
    with begun(tmp_path, *arguments) as gateway:
        assert gateway.ended() == 3
        eventually(lambda: gateway.said(" ".join(["routeiq serve", *arguments])))
