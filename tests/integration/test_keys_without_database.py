"""Keys at our own endpoints while LiteLLM's database is away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.integration


def test_known_keys_are_accepted_and_others_refused_while_the_database_is_away(tmp_path: Path) -> None:
    """A key checked in the last ten minutes goes on working unless it was refused since; any other fails closed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LITELLM", "ROUTEIQ", "DATABASE"))}
    env = {**own, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-m", "tests.integration.keys_without_database"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    said = [line for line in done.stdout.splitlines() if line.startswith("seen: ")]
    assert said, done.stderr[-4000:]
    assert json.loads(said[0].removeprefix("seen: ")) == {
        "before": ["red", "refused"],
        "away": ["red", "store_unavailable"],
        "open": ["red", "store_unavailable"],
        "revoked": ["refused", "refused"],
        "away after it was revoked": ["store_unavailable", "store_unavailable"],
        "back": ["red", "refused"],
        "away for long": ["red", "store_unavailable"],
        "away for too long": ["store_unavailable", "store_unavailable"],
    }
