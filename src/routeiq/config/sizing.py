"""How many workers a machine takes, strategy by strategy.

Owns the rules and the figures they rest on; docs/operations/workers.md shows both, with how they were measured. Does
not look at the machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

FIRST_MB: Final = 400
"""What the supervisor and its first worker take together, under load."""

NEXT_MB: Final = 150
"""What each further worker adds when workers are forked; measured 95 to 110 under load, rounded up."""

ALONE_MB: Final = 350
"""What each worker takes when it shares nothing (`--no-preload`)."""

SPARE: Final = 0.8
"""Share of the memory that workers may fill."""


@dataclass(frozen=True, slots=True)
class Family:
    """Strategies that weigh alike. `plan_mb` is what to plan for a worker when nothing was measured."""

    name: str
    strategies: frozenset[str]
    formula: str
    plan_mb: int

    def most(self, cores: float) -> int:
        """Return the most workers that make sense on so many cores."""
        if self.formula == "2 x cores + 1":
            return max(1, int(2 * cores) + 1)
        if self.formula == "cores + 1":
            return max(1, int(cores) + 1)
        return max(1, int(cores)) if self.formula == "cores" else max(1, int(cores / 2))


SIMPLE: Final = Family("no artifact", frozenset(), "2 x cores + 1", 256)
FACTORS: Final = Family("ratings and factors", frozenset({"elo", "mf", "irt", "thompson", "linucb"}), "cores + 1", 512)
HEADS: Final = Family(
    "heads over the prompt",
    frozenset(
        {"mlp", "svm", "linear", "logistic", "hybrid", "ensemble", "fixed", "routerdc", "personalized", "kmeans"}
    ),
    "cores",
    512,
)
NEIGHBOURS: Final = Family("neighbours and encoders", frozenset({"knn", "graph", "causallm"}), "cores / 2", 1536)
FAMILIES: Final = (SIMPLE, FACTORS, HEADS, NEIGHBOURS)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a process may use: cores (a quota may be part of one) and memory in MB, None when unknown."""

    cores: float
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """How many workers, and why. `bound` is what keeps it from being more: `cores`, `encoder` or `memory`."""

    workers: int
    family: Family
    formula: int
    bound: str
    needs_mb: int


def family_of(strategies: Iterable[str]) -> Family:
    """Return the heaviest family among strategies; one that is not known weighs like a head over the prompt."""
    found = SIMPLE
    order = {family.name: number for number, family in enumerate(FAMILIES)}
    for strategy in strategies:
        family = next((f for f in FAMILIES if strategy in f.strategies), None)
        if family is not None and order[family.name] > order[found.name]:
            found = family
    return found


def needs_mb(workers: int, shared: bool = True) -> int:
    """Return what so many workers take, in MB."""
    return FIRST_MB + NEXT_MB * (workers - 1) if shared else ALONE_MB * workers


def advise(strategies: Iterable[str], machine: Machine, *, onnx: bool = False, shared: bool = True) -> Advice:
    """Return how many workers to run.

    A worker is bound by its processor: LiteLLM takes 7 ms of it for a request, a decision 0.1 ms, so that more workers
    than cores only add memory. An ONNX encoder keeps a second core busy. The formula of the family is shown beside it,
    and is never exceeded unless measurement says that the family is lighter than it assumes, as for neighbours.
    """
    family = family_of(strategies)
    workers, bound = max(1, ceil(machine.cores)), "cores"
    if onnx:
        workers, bound = max(1, int(machine.cores / 2)), "encoder"
    if machine.memory_mb is not None:
        while workers > 1 and needs_mb(workers, shared) > machine.memory_mb * SPARE:
            workers, bound = workers - 1, "memory"
    return Advice(workers, family, family.most(machine.cores), bound, needs_mb(workers, shared))
