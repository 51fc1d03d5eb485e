"""One topology for all chaos tests, the length of their loads, and the table of what was counted at the end."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.topology import Topology, running
from tests.servers import nginx

COUNTED = "counted"


@pytest.fixture(scope="package")
def stretch() -> float:
    """By how much loads last longer than in the short form; `make chaos` runs the long one."""
    return 6.0 if os.environ.get("CHAOS") == "long" else 1.0


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """Two replicas behind nginx."""
    reason = nginx.missing()
    if reason is not None:
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("chaos")) as topology:
        yield topology


@pytest.fixture
def topology(started: Topology) -> Topology:
    """The same, in good health."""
    started.calm()
    return started


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Write down figures for the table at the end of the run."""

    def note(**figures: Any) -> None:
        record_property(COUNTED, figures)

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what each chaos test counted, whether it passed or not."""
    rows = [
        (report.nodeid.rpartition("::")[2], value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == COUNTED and report.when == "call"
    ]
    if rows:
        terminalreporter.section("chaos: what was counted")
    for name, figures in rows:
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
