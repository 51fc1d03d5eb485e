"""A gateway that says it is ready answers its first request about as fast as its tenth."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
import yaml

from tests.integration.proxy import ROOT
from tests.integration.test_plugin_mode import config

pytestmark = pytest.mark.integration

MULTIPLE = 8.0
"""Left alone LiteLLM takes 11 times as long for its first stream, 28 for its first answer, 50 for its first message."""


def test_the_first_request_is_quick(tmp_path: Path) -> None:
    """In processor time, which other processes do not add to; the first of each kind of call."""
    section = {"aliases": {"auto": {"strategy": "largest"}}, "embedder": {"kind": "none"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(routeiq_settings=section)))
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LITELLM", "ROUTEIQ", "REDIS"))}
    env = {**own, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LITELLM_MASTER_KEY": "sk-first-7Gh2kLm5"}
    env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-m", "tests.integration.first_requests", str(tmp_path / "config.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    spent: dict[str, list[float]] = json.loads(done.stderr.splitlines()[-1])
    assert set(spent) == {"chat", "streamed", "messages"}
    for kind, seconds in spent.items():
        assert seconds[0] < MULTIPLE * median(seconds[1:]), (kind, seconds)
