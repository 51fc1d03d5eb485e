"""How many workers a machine takes."""

import pytest

from routeiq.config.sizing import FACTORS, HEADS, NEIGHBOURS, SIMPLE, Machine, advise, family_of, needs_mb
from routeiq.routing.strategies import BUILT_IN


@pytest.mark.parametrize(
    ("strategies", "on_one", "on_two", "on_eight", "plan_mb"),
    [
        (["round-robin", "least-busy"], 3, 5, 17, 256),
        (["elo"], 2, 3, 9, 512),
        (["mf", "random"], 2, 3, 9, 512),
        (["mlp"], 1, 2, 8, 512),
        (["svm", "elo"], 1, 2, 8, 512),
        (["knn", "mlp"], 1, 1, 4, 1536),
    ],
)
def test_the_formula_of_each_family(
    strategies: list[str], on_one: int, on_two: int, on_eight: int, plan_mb: int
) -> None:
    """The heaviest strategy decides: 2 x cores + 1, cores + 1, cores, or half the cores but one at least."""
    family = family_of(strategies)
    assert [family.most(cores) for cores in (1, 2, 8)] == [on_one, on_two, on_eight]
    assert family.plan_mb == plan_mb
    assert advise(strategies, Machine(8)).formula == on_eight


def test_every_learned_strategy_has_a_family() -> None:
    """What needs an artifact is not taken for what needs none."""
    for name, recipe in BUILT_IN.items():
        assert (family_of([name]) is not SIMPLE) == recipe.needs_artifact, name
    assert not FACTORS.strategies & HEADS.strategies
    assert not HEADS.strategies & NEIGHBOURS.strategies


@pytest.mark.parametrize(("cores", "workers"), [(0.5, 1), (1, 1), (1.5, 2), (2, 2), (16, 16)])
def test_one_worker_per_core(cores: float, workers: int) -> None:
    """More than the cores only add memory, whatever the strategy."""
    for strategy in ("random", "knn", "mlp"):
        advice = advise([strategy], Machine(cores, 64_000))
        assert (advice.workers, advice.bound) == (workers, "cores")


def test_an_encoder_takes_a_core_of_its_own() -> None:
    """With ONNX there is one worker per two cores, and one at least."""
    assert [advise(["knn"], Machine(cores), onnx=True).workers for cores in (1, 2, 8)] == [1, 1, 4]


def test_workers_fit_into_the_memory() -> None:
    """A small container gets as many as fit with a fifth to spare, and never none."""
    small, tiny = advise(["knn"], Machine(8, 1024)), advise(["knn"], Machine(8, 100))
    assert (small.workers, small.bound) == (3, "memory")
    assert small.needs_mb <= 0.8 * 1024 < needs_mb(4)
    assert tiny.workers == 1
    assert advise(["knn"], Machine(8, 1024), shared=False).workers == 2
