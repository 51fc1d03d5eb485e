"""A process of the demonstration does not outlive the demonstration."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CHILD = (sys.executable, "-m", "routeiq.testing.demo.child")


def test_a_parent_that_is_gone_already_ends_it(tmp_path: Path) -> None:
    """Also when the parent was killed before the process had begun, and another one has adopted it."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(60)
    command = [*CHILD, str(gone.pid), "sync", "--source", "http://127.0.0.1:9/x", "--dest", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGTERM


def test_it_runs_the_command_otherwise() -> None:
    """With its parent there the command runs to its own end."""
    done = subprocess.run([*CHILD, str(os.getpid()), "version", "--json"], capture_output=True, timeout=60, check=True)
    assert b"routeiq" in done.stdout
