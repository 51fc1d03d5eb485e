"""Which suites and models a training run is about: what `--suite` and `--models` mean.

Owns the choice of columns of an outcome matrix. Reading the files is `learn.dataset`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routeiq.core.errors import DataError, nearest


@dataclass(frozen=True, slots=True)
class Pool:
    """Suites, and the models whose outcomes make the columns.

    `models` maps each column to the recorded names that stand for it, the preferred one first: data sets name the
    same model version in different ways. `None` takes every model that each of the suites marks as `in_pool`.
    """

    suites: tuple[str, ...]
    models: Mapping[str, tuple[str, ...]] | None = None


NAMED_POOLS: Mapping[str, Pool] = {
    "mix4": Pool(
        suites=("mmlupro", "zeroeval"),
        models={
            "gemini-1.5-flash": ("gemini-1.5-flash", "gemini-1.5-flash-002"),
            "gemini-1.5-pro": ("gemini-1.5-pro", "gemini-1.5-pro-002"),
            "llama-3.1-70b-instruct": ("llama-3.1-70b-instruct",),
            "llama-3.1-8b-instruct": ("llama-3.1-8b-instruct",),
        },
    ),
}
"""Pools that go by a name of their own: the models two suites share."""


def choose(suites: Sequence[str], models: Sequence[str] | None = None) -> Pool:
    """Return the pool for suite names, or for one named pool, and an optional choice of models.

    Each of `models` is a name, or `NAME=OTHER` where some suites record the model as OTHER. Raises DataError when a
    name stands there twice or nothing is chosen.
    """
    if not suites:
        raise DataError("no suite was named; give at least one, e.g. --suite mmlupro")
    if len(set(suites)) < len(suites):
        raise DataError(f"a suite is named twice in {', '.join(suites)}; name each once")
    named = NAMED_POOLS.get(suites[0]) if len(suites) == 1 else None
    pool = named or Pool(tuple(suites))
    if not models:
        return pool
    columns: dict[str, tuple[str, ...]] = {}
    for item in models:
        name, _, other = item.partition("=")
        if name in columns:
            raise DataError(f"model {name!r} is named twice; name each once")
        known = (pool.models or {}).get(name, (name,))
        columns[name] = (*known, other) if other else known
    return Pool(pool.suites, columns)


def resolve(pool: Pool, listed: Mapping[str, Mapping[str, bool]], where: str) -> dict[str, dict[str, str]]:
    """Return, per suite, the recorded name of every column.

    `listed` maps each suite to its models and whether they are in the pool; `where` names the file it comes from.
    Raises DataError for a suite or model that is not listed, and for fewer than two models.
    """
    for suite in pool.suites:
        if suite not in listed:
            raise DataError(f"{where} lists no model of suite {suite!r}; {nearest(suite, listed)}")
    columns = pool.models or {name: (name,) for name in _shared(pool.suites, listed)}
    if len(columns) < 2:
        raise DataError(
            f"{where}: suites {', '.join(pool.suites)} give {len(columns)} model(s) to choose from "
            f"({', '.join(columns) or 'none'}); routing needs at least two, name them with --models"
        )
    resolved = {}
    for suite in pool.suites:
        found = {column: next((n for n in names if n in listed[suite]), None) for column, names in columns.items()}
        for column, recorded in found.items():
            if recorded is None:
                raise DataError(
                    f"{where} lists no model {column!r} in suite {suite!r}; {nearest(column, listed[suite])}; "
                    f"write {column}=OTHER if the suite records it as OTHER"
                )
        resolved[suite] = {column: recorded for column, recorded in found.items() if recorded is not None}
    return resolved


def _shared(suites: Sequence[str], listed: Mapping[str, Mapping[str, bool]]) -> list[str]:
    """Return the models that every suite lists as in its pool, by name."""
    pools = [{name for name, in_pool in listed[suite].items() if in_pool} for suite in suites]
    return sorted(set.intersection(*pools))
