"""The outcome matrix: for every prompt and every model what the answer scored, cost, used and took.

Owns the form in which every learned strategy is trained and evaluated, and its canonical order: prompts by suite and
id, models by name. Whoever fits from a matrix therefore gets the same result however the files were ordered. It does
not read files (`learn.dataset`) and knows nothing of embeddings.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.routing.table import Bools, Floats

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeMatrix:
    """Outcomes of n prompts on m models; what was not recorded is NaN.

    `score` (0..1), `cost_usd`, `input_tokens`, `output_tokens` and `latency_s` (seconds) have shape (n, m);
    `prompt_tokens` has shape (n,); `input_price` and `output_price` (US dollars per token) have shape (m,) and are NaN
    where unknown. `splits` holds "train", "valid" or "test" per prompt, `tools` the schemas of the functions on
    offer as JSON text, "" for none; without any it may be left out.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    suites: tuple[str, ...]
    categories: tuple[str, ...]
    splits: tuple[str, ...]
    prompt_tokens: Floats
    models: tuple[str, ...]
    input_price: Floats
    output_price: Floats
    score: Floats
    cost_usd: Floats
    input_tokens: Floats
    output_tokens: Floats
    latency_s: Floats
    tools: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.tools:
            object.__setattr__(self, "tools", ("",) * len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def canonical(self) -> "OutcomeMatrix":
        """Return the same outcomes with prompts ordered by suite and id, and models by name."""
        columns = sorted(range(len(self.models)), key=lambda j: self.models[j])
        return self.rows(self.order()).columns(columns)

    def order(self) -> list[int]:
        """Return the canonical order of the prompts, for what is aligned with them (embeddings)."""
        return sorted(range(len(self)), key=lambda i: (self.suites[i], self.ids[i]))

    def rows(self, keep: Sequence[int] | NDArray[np.intp] | Bools) -> "OutcomeMatrix":
        """Return the matrix of some prompts, given as positions or as a mask of shape (n,)."""
        at = np.flatnonzero(keep) if np.asarray(keep).dtype == np.bool_ else np.asarray(keep, dtype=np.intp)
        changed: dict[str, Any] = {}
        for name in ("ids", "texts", "suites", "categories", "splits", "tools"):
            column = getattr(self, name)
            changed[name] = tuple(column[i] for i in at)
        for name in ("prompt_tokens", *_CELLS):
            changed[name] = getattr(self, name)[at]
        return replace(self, **changed)

    def columns(self, keep: Sequence[int]) -> "OutcomeMatrix":
        """Return the matrix of some models, given as positions."""
        at = np.asarray(keep, dtype=np.intp)
        changed = {name: getattr(self, name)[:, at] for name in _CELLS}
        prices = {name: getattr(self, name)[at] for name in ("input_price", "output_price")}
        return replace(self, models=tuple(self.models[j] for j in at), **prices, **changed)

    def split(self, name: str) -> "OutcomeMatrix":
        """Return the prompts of one split; may be empty."""
        return self.rows(np.array([split == name for split in self.splits], dtype=np.bool_))

    def complete(self) -> "OutcomeMatrix":
        """Return the prompts that every model has a score for: only on these can routers be compared."""
        return self.rows(np.flatnonzero(~np.isnan(self.score).any(axis=1)))

    def mean_score(self) -> Floats:
        """Return each model's mean score over its recorded prompts, shape (m,)."""
        return mean_of_known(self.score)

    def mean_cost(self) -> Floats:
        """Return each model's mean cost in US dollars over its recorded prompts, shape (m,); NaN without any."""
        return mean_of_known(self.cost_usd)

    def fingerprint(self) -> str:
        """Return a digest of prompts, models and scores: the same data has the same one, in whatever order."""
        ordered = self.canonical()
        digest = hashlib.sha256()
        told = ("tools",) if any(self.tools) else ()
        for name in ("suites", "ids", "texts", "splits", "models", *told):
            for value in getattr(ordered, name):
                digest.update(value.encode("utf-8", "surrogatepass") + b"\0")
        for name in _CELLS:
            digest.update(np.ascontiguousarray(getattr(ordered, name), dtype="<f8").tobytes())
        return digest.hexdigest()[:16]


_CELLS = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_s")


def mean_of_known(cells: Floats) -> Floats:
    """Return the mean of each column over its known cells, shape (m,); NaN for a column without any."""
    known = ~np.isnan(cells)
    count = known.sum(axis=0)
    total = np.where(known, cells, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(cells.shape[1], np.nan), where=count > 0)
    return mean


def concatenate(parts: Sequence[OutcomeMatrix]) -> OutcomeMatrix:
    """Return the prompts of several matrices over the same models, in that order; prices are those of the first."""
    first = parts[0]
    if any(part.models != first.models for part in parts):
        raise ValueError("matrices have different models, or the same in another order")
    joined: dict[str, Any] = {}
    for name in (f.name for f in fields(first)):
        if name in ("models", "input_price", "output_price"):
            continue
        values = [getattr(part, name) for part in parts]
        joined[name] = np.concatenate(values) if isinstance(values[0], np.ndarray) else sum(values, ())
    return replace(first, **joined)
