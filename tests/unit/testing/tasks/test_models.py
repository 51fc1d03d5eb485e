"""The simulated models: reproducible, as able as their table says, and none of them best at everything."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import mean

import pytest

from routeiq.testing.tasks import FAMILIES, all_tasks
from routeiq.testing.tasks.models import MODELS, MODELS_BY_NAME, simulate, solves

TASKS = all_tasks()


def test_a_reply_is_right_exactly_when_it_says_so() -> None:
    """The drawn outcome and the check of the reply agree, for every task and model."""
    for task in TASKS:
        for model in MODELS:
            reply = simulate(task, model.name)
            assert task.passes(reply.text, reply.tool_call) == reply.correct


def test_a_reply_is_the_same_in_another_process() -> None:
    """Nothing depends on hash seeds, order or clocks."""
    script = (
        "import json; from routeiq.testing.tasks import all_tasks; from routeiq.testing.tasks.models import simulate\n"
        "rs = [simulate(t, 'sim-mini', 5) for t in all_tasks()[::50]]\n"
        "print(json.dumps([[r.text, r.output_tokens, r.latency_s] for r in rs]))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    here = [simulate(t, "sim-mini", 5) for t in TASKS[::50]]
    assert json.loads(other.stdout) == [[r.text, r.output_tokens, r.latency_s] for r in here]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_a_model_is_as_able_as_its_table_says(model: object) -> None:
    """Over several draws the share of right answers comes to the stated chance."""
    named = MODELS_BY_NAME[model.name]
    drawn = mean(solves(task, named, seed) for task in TASKS for seed in range(12))
    stated = mean(named.chance(task.family, task.difficulty) for task in TASKS)
    assert drawn == pytest.approx(stated, abs=0.02)


def test_harder_tasks_are_solved_less_often() -> None:
    """The chance falls with every step of difficulty, for every model and family."""
    for model in MODELS:
        for family in FAMILIES:
            easy, middle, hard = (model.chance(family, d) for d in (1, 2, 3))
            assert easy > middle > hard
            assert middle == pytest.approx(model.figures[FAMILIES.index(family)] / 100)


def test_no_model_is_best_at_everything() -> None:
    """At least three models lead a family, and the dearest is beaten in some by models at a tenth of its price."""
    leaders = {family: max(MODELS, key=lambda m: m.figures[FAMILIES.index(family)]) for family in FAMILIES}
    assert len({model.name for model in leaders.values()}) >= 3
    dearest = max(MODELS, key=lambda m: m.usd_per_m_output)
    assert any(m.usd_per_m_output * 10 <= dearest.usd_per_m_output for m in leaders.values())
    cheap = MODELS_BY_NAME["sim-tools"]
    tools = FAMILIES.index("tool_calls")
    assert cheap.figures[tools] > dearest.figures[tools] - 2


def test_models_fail_together_more_than_by_chance() -> None:
    """What one strong model misses another misses more often than it misses tasks at large."""
    large, mini = MODELS_BY_NAME["sim-large"], MODELS_BY_NAME["sim-mini"]
    pairs = [(solves(t, large, s), solves(t, mini, s)) for t in TASKS for s in range(4)]
    missed = [mini_solves for large_solves, mini_solves in pairs if not large_solves]
    assert mean(missed) < mean(m for _, m in pairs) - 0.15


def test_every_figure_has_a_source() -> None:
    """One letter for each, and most figures are published ones."""
    letters = "".join(model.sources for model in MODELS)
    assert all(len(model.figures) == len(model.sources) == len(FAMILIES) for model in MODELS)
    assert set(letters) <= set("ZBLSGDQMa")
    assert letters.count("a") < len(letters) / 3


def test_cost_latency_and_tokens_are_plausible() -> None:
    """A call costs what its tokens cost, takes longer than its first token, and reports no less than its text."""
    model = MODELS_BY_NAME["sim-large"]
    assert model.cost_usd(1_000_000, 0) == 3.0
    assert model.cost_usd(0, 1_000_000) == 15.0
    for task in TASKS[::11]:
        reply = simulate(task, "sim-large")
        assert 0 < reply.ttft_s < reply.latency_s < 60
        assert reply.output_tokens * 4 >= len(reply.text)


def test_an_unknown_model_is_a_key_error() -> None:
    """Its name is in the error."""
    with pytest.raises(KeyError, match="gpt-none"):
        simulate(TASKS[0], "gpt-none")
