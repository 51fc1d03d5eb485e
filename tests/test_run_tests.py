"""`scripts/run-tests`: nothing is left out, what failed once is run again, and a fault fails the run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in
    *--last-failed*) exit $(cat again) ;;
    *\\ tests/integration) [ -f failed ] && cat failed && exit $(cat status) ;;
esac
exit 0
"""


@dataclass
class Run:
    """A repository with a pytest that only says what it is told."""

    folder: Path

    def tests(self, failed: int = 0, status: int = 1, again: int = 0, *arguments: str) -> int:
        """The status of a run in which that many integration tests fail."""
        (self.folder / "again").write_text(str(again))
        if failed:
            (self.folder / "failed").write_text("FAILED tests/x.py::test_y - it did\n" * failed)
            (self.folder / "status").write_text(str(status))
        script = str(self.folder / "scripts" / "run-tests")
        return subprocess.run(["bash", script, *arguments], capture_output=True, timeout=60, check=False).returncode

    def calls(self) -> list[str]:
        """What pytest was asked for."""
        return sorted((self.folder / "calls").read_text().splitlines())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    for name, text in {
        "scripts/run-tests": (ROOT / "scripts" / "run-tests").read_text(),
        ".venv/bin/python": PYTHON,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    return Run(tmp_path)


def test_every_folder_of_tests_is_in_one_part(run: Run) -> None:
    """What one part leaves out is what the others name, so that a new folder is run as well."""
    assert run.tests() == 0
    calls = run.calls()
    assert len(calls) == 3
    left = {word.removeprefix("--ignore=") for call in calls for word in call.split() if word.startswith("--ignore=")}
    named = {word for call in calls for word in call.split() if word.startswith("tests")}
    assert named == {"tests", *left}
    assert all((ROOT / folder).is_dir() for folder in left)


@pytest.mark.parametrize(("again", "status"), [(0, 0), (1, 1)])
def test_what_failed_has_to_pass_the_second_time(run: Run, again: int, status: int) -> None:
    """A part with failures runs those once more, and their second result counts."""
    assert run.tests(2, again=again) == status
    assert sum("--last-failed " in call for call in run.calls()) == 1


@pytest.mark.parametrize(("failed", "status"), [(9, 1), (1, 2), (1, 3)])
def test_many_failures_or_a_broken_run_are_final(run: Run, failed: int, status: int) -> None:
    """More failures than a machine explains, an interruption, or an error of pytest itself are not tried again."""
    assert run.tests(failed, status) == status
    assert not any("--last-failed" in call for call in run.calls())


def test_lines_of_a_log_are_no_failures(run: Run) -> None:
    """What a failed test logged may look like pytest's word for a failure, and counts as none."""
    logged = "ERROR    routeiq.outcome_log:writer.py:89 it is locked\n" * 9
    (run.folder / "failed").write_text(logged + "FAILED tests/x.py::test_y - it did\n")
    (run.folder / "status").write_text("1")
    assert run.tests() == 0
    assert any("--last-failed " in call for call in run.calls())


def test_named_tests_are_run_alone(run: Run) -> None:
    """Arguments go to pytest as they are."""
    assert run.tests(0, 1, 0, "tests/unit", "-k", "reward") == 0
    [call] = run.calls()
    assert call.endswith("tests/unit -k reward")
