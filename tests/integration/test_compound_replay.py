"""The replay of compound models on outcomes, which their documentation quotes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_replay_runs_every_method() -> None:
    """It prints what each method scores and costs beside a fixed model."""
    command = [sys.executable, str(ROOT / "bench" / "compound.py"), "--once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for name in ("cascade", "automix", "knn-multiround", "llm-multiround", "router-r1"):
        assert f"`{name}`" in done.stdout
    assert done.stdout.count("| calls |") == 3
