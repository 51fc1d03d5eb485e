"""What the demonstration sends, and how it compares."""

import math
from pathlib import Path

import pytest
from rich.console import Console

from routeiq.core.errors import DataError
from routeiq.testing.demo.builtin import builtin
from routeiq.testing.demo.gateway import configuration
from routeiq.testing.demo.live import no_keys
from routeiq.testing.demo.recorded import recorded
from routeiq.testing.demo.report import best_fixed, compare, markdown, show
from routeiq.testing.demo.workload import Reply, Workload


def replies(workload: Workload, model: str) -> list[Reply]:
    """Return replies as if one model had served every test prompt."""
    return [Reply(item, model, "", None, "dec_1", "best", "0.5", "openai") for item in workload.test]


def test_what_is_taught_is_not_routed() -> None:
    """No built-in task is both taught and routed, and the routed ones are as many as asked for."""
    workload = builtin(prompts=100, taught=50, seed=3)
    assert len(workload.train) == 50
    assert len(workload.test) == 100
    assert not {i.id for i in workload.train} & {i.id for i in workload.test}
    assert not {i.prompt for i in workload.train} & {i.prompt for i in workload.test}


def test_the_output_says_that_models_are_simulated() -> None:
    """Whoever reads the table of the built-in tasks is told that the models are simulated."""
    workload = builtin(prompts=30, taught=20, seed=0)
    found = compare(workload, replies(workload, "sim-large"), [1.0] * 30, [0.2] * 30)
    console = Console(record=True, width=100)
    show(found, console)
    text = console.export_text()
    assert "SIMULATED" in text
    assert "simulated models" in text
    assert "SIMULATED" in markdown(found, "routeiq demo", lambda: "today")


def test_rows_are_what_fixed_models_get() -> None:
    """Serving everything by the best fixed model is the row of the best fixed model; the oracle is never below it."""
    workload = builtin(prompts=0, taught=100, seed=0)
    names = [model.name for model in workload.models]
    best = best_fixed(workload, names)
    graded = [workload.cell(item, best).score for item in workload.test]
    found = compare(workload, replies(workload, best), graded, [0.1] * len(graded))
    rows = {row.name: row for row in found.rows}
    assert rows["RouteIQ"].score == pytest.approx(rows["best fixed model"].score)
    assert rows["RouteIQ"].usd_per_1k == pytest.approx(rows["best fixed model"].usd_per_1k)
    assert rows["oracle"].score >= max(row.score for row in found.rows)
    assert rows["always smallest"].usd_per_1k <= rows["random"].usd_per_1k <= rows["always largest"].usd_per_1k
    assert found.shares == ((best, len(graded), pytest.approx(rows["RouteIQ"].score)),)


def test_nothing_in_the_configuration_says_demonstration() -> None:
    """The gateway is configured as an operator would: no word of replay, tasks or demonstration in its own section."""
    workload = builtin(prompts=10, taught=20, seed=0)
    config = configuration(workload.models, "http://127.0.0.1:1/v1", "auto", {"strategy": "random"})
    assert "demo" not in repr(config["routeiq_settings"])
    assert set(config) == {"model_list", "litellm_settings", "router_settings", "routeiq_settings"}


def test_live_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a provider key the message names the variables that would do."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert "OPENAI_API_KEY" in (no_keys() or "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert no_keys() is None


@pytest.mark.recorded
def test_recorded_prompts_come_from_the_test_split(recorded_data: Path) -> None:
    """Recorded prompts that are routed are not among those that teach, and every model has an outcome for them."""
    workload = recorded(recorded_data, ["bfcl"], None, prompts=40, seed=1)
    assert len(workload.test) == 40
    assert not {i.id for i in workload.train} & {i.id for i in workload.test}
    assert any(item.tools for item in workload.test)
    for item in workload.test:
        for model in workload.models:
            cell = workload.cell(item, model.name)
            assert cell.score in (0.0, 1.0)
            assert math.isfinite(cell.cost_usd)
            assert cell.latency_s > 0


@pytest.mark.recorded
def test_an_unknown_suite_names_the_nearest(recorded_data: Path) -> None:
    """A misspelt suite is an error that names the right one."""
    with pytest.raises(DataError, match="mmlupro"):
        recorded(recorded_data, ["mmlpro"], None, prompts=10, seed=0)
