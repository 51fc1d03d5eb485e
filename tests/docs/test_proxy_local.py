"""The example of a gateway on one machine, run as its README says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_examples import environment

EXAMPLE = ROOT / "examples" / "02-proxy-local"


@pytest.mark.integration
def test_the_example_routes_four_prompts(tmp_path: Path) -> None:
    """Prompts for the virtual model are routed and say why; the one for a named model goes there."""
    command = [sys.executable, str(EXAMPLE / "run.py"), str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240, check=False)
    log = tmp_path / "gateway.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    *routed, named = done.stdout.splitlines()
    assert len(routed) == 3
    assert all(line.endswith(("because: best", "because: exploration")) for line in routed)
    assert named.endswith("asked large  served by large  because: named")
    assert (tmp_path / "routeiq.db").exists()
