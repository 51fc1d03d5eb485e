"""What all tests share: where the recorded outcomes are, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # importing LiteLLM must not ask the network for prices
NO_RECORDED_DATA = "the recorded outcomes are not here; set ROUTEIQ_RECORDED_DATA to their folder"


def in_ci() -> bool:
    """Whether this run is the one that must not skip anything."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false", "no"}


def recorded_folder() -> Path | None:
    """The folder of recorded outcomes: the named one, else the one beside the repository, else None."""
    named = os.environ.get("ROUTEIQ_RECORDED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data" / "public"
    return folder if (folder / "outcomes.parquet").is_file() else None


@pytest.fixture(autouse=True, scope="module")
def _small_heap() -> None:
    """Spare the collector what lives as long as the run: going through it stops every client of a test for a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder with prompts.parquet, outcomes.parquet and models.csv."""
    folder = recorded_folder()
    if folder is None:
        pytest.skip(NO_RECORDED_DATA)
    return folder


@pytest.fixture(scope="session")
def newest_python() -> Path:
    """The interpreter of the environment that holds the newest supported LiteLLM."""
    python = Path(os.environ.get("ROUTEIQ_NEWEST_PYTHON") or ROOT / ".venv-newest" / "bin" / "python")
    if not python.exists():
        pytest.skip("the environment with the newest LiteLLM is not here; run scripts/bootstrap newest")
    return python


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `recorded` where the recorded outcomes are absent."""
    if recorded_folder() is None:
        for item in items:
            if item.get_closest_marker("recorded"):
                item.add_marker(pytest.mark.skip(reason=NO_RECORDED_DATA))


def fail_when_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skipped test proves nothing, so it counts as a failure."""
    if in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Apply the rule to every test."""
    report = yield
    fail_when_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Apply the rule to whole modules (importorskip, module-level skip)."""
    report = yield
    fail_when_skipped(report)
    return report
