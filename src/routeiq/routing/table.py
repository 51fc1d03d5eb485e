"""Candidates compiled to columns, once per snapshot, so that a decision works on arrays.

Owns the order of candidates: position i of every array in a decision is `names[i]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.core.candidate import Candidate
from routeiq.core.request import Capability

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TYPICAL_OUTPUT_TOKENS = 256
"""Output length assumed for a cost estimate when neither the caller nor an artifact says better."""

_BIT = {capability: 1 << i for i, capability in enumerate(Capability)}
_EVERYTHING = sum(_BIT.values())


def bits(needs: frozenset[Capability]) -> int:
    """Return a set of capabilities as a bit mask."""
    mask = 0
    for capability in needs:
        mask |= _BIT[capability]
    return mask


@dataclass(frozen=True, eq=False)
class CandidateTable:
    """Columns over n candidates; unknown numbers are NaN, an unknown context window is infinite."""

    candidates: tuple[Candidate, ...]
    names: tuple[str, ...] = field(init=False)
    index: dict[str, int] = field(init=False)
    input_price: Floats = field(init=False)
    output_price: Floats = field(init=False)
    cached_price: Floats = field(init=False)
    context_window: Floats = field(init=False)
    smallest_window: float = field(init=False)
    capabilities: NDArray[np.int64] = field(init=False)
    size: Floats = field(init=False)
    weight: Floats = field(init=False)
    quality: Floats = field(init=False)
    latency: Floats = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        rows = self.candidates
        put(self, "names", tuple(c.name for c in rows))
        put(self, "index", {c.name: i for i, c in enumerate(rows)})
        put(self, "input_price", _column([c.usd_per_input_token for c in rows]))
        put(self, "output_price", _column([c.usd_per_output_token for c in rows]))
        put(self, "cached_price", _column([c.usd_per_cached_token for c in rows]))
        put(self, "context_window", _column([c.context_window for c in rows], missing=np.inf))
        put(self, "smallest_window", min((float(c.context_window or np.inf) for c in rows), default=np.inf))
        masks = [_EVERYTHING if c.capabilities is None else bits(c.capabilities) for c in rows]
        put(self, "capabilities", np.array(masks, dtype=np.int64))
        put(self, "size", _column([c.size for c in rows]))
        put(self, "weight", _column([c.weight for c in rows]))
        put(self, "quality", _column([c.quality for c in rows]))
        put(self, "latency", _column([c.latency_s for c in rows]))

    def __len__(self) -> int:
        return len(self.names)

    def cost(self, prompt_tokens: int, output_tokens: Floats | float) -> Floats:
        """Return the list-price cost of a request on each candidate in US dollars, shape (n,), NaN where unknown.

        `output_tokens` is one number or an array of shape (n,).
        """
        return self.input_price * prompt_tokens + self.output_price * output_tokens


def _column(values: Sequence[Any], missing: float = np.nan) -> Floats:
    return np.array([missing if v is None else v for v in values], dtype=np.float64)
