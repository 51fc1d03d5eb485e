"""The example without a proxy, run as its README says."""

import subprocess
import sys

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_examples import environment

EXAMPLE = ROOT / "examples" / "01-library-only"


@pytest.mark.integration
def test_the_example_prints_what_its_readme_shows() -> None:
    """The mocked largest model fails, the next one answers, and the printed lines are those of the README."""
    env = {**environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, str(EXAMPLE / "run.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    shown = (EXAMPLE / "README.md").read_text().split("$ python run.py\n")[1].split("```")[0]
    assert done.stdout == shown
