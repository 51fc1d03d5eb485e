"""The rules that tests/conftest.py sets for all tests, tried on a suite of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SUITE = {
    "test_plain.py": "def test_passes(): pass\n",
    "test_skips.py": "import pytest\ndef test_skips(): pytest.skip('no server')\n",
    "test_module.py": "import pytest\npytest.importorskip('a_module_that_is_not_there')\ndef test_never(): pass\n",
    "test_recorded.py": "import pytest\n@pytest.mark.recorded\ndef test_data(recorded_data): assert recorded_data\n",
}


@pytest.fixture
def run_suite(tmp_path: Path):
    """Run the named files of SUITE in a folder of their own, with the given environment."""
    for name, text in SUITE.items():
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / name).write_text(text)
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = recorded: needs data\n")

    def run(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if key not in {"CI", "ROUTEIQ_RECORDED_DATA"}}
        clean["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-ra",
            "-p",
            "no:cacheprovider",
            *(f"tests/{n}" for n in names),
        ]
        return subprocess.run(command, cwd=tmp_path, env=clean | environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("name", ["test_skips.py", "test_module.py", "test_recorded.py"])
def test_a_skip_is_a_failure_in_ci(run_suite, name: str) -> None:
    """A skipped test, a skipped module and a test without its recorded data each fail the run when CI is set."""
    result = run_suite("test_plain.py", name, CI="true")
    assert result.returncode != 0
    assert "skipped, which CI does not allow" in result.stdout


@pytest.mark.parametrize("name", ["test_skips.py", "test_module.py", "test_recorded.py"])
def test_a_skip_is_reported_with_its_reason_elsewhere(run_suite, name: str) -> None:
    """Without CI the same run passes and names what was skipped."""
    result = run_suite("test_plain.py", name)
    assert result.returncode == 0, result.stdout
    assert "1 passed, 1 skipped" in result.stdout


def test_recorded_data_is_found_by_its_variable(run_suite, tmp_path: Path) -> None:
    """The folder that ROUTEIQ_RECORDED_DATA names is the one that tests get."""
    (tmp_path / "outcomes.parquet").touch()
    result = run_suite("test_recorded.py", CI="true", ROUTEIQ_RECORDED_DATA=str(tmp_path))
    assert "1 passed" in result.stdout, result.stdout
