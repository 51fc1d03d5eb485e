"""Scorers that need no training: price, size, load, latency, the operator's weights.

They state a preference in [0, 1] and do not claim to predict quality.
"""

from dataclasses import dataclass

import numpy as np

from routeiq.routing.stages import Prediction, View
from routeiq.routing.table import TYPICAL_OUTPUT_TOKENS, Floats


def preference(amount: Floats) -> Floats:
    """Return 1 for the smallest amount, 0 for the largest, in between by rank; NaN stays NaN. Shape (n,)."""
    result = np.full(amount.shape, np.nan)
    known = ~np.isnan(amount)
    levels = np.unique(amount[known])
    if levels.size:
        ranks = np.searchsorted(levels, amount[known])
        result[known] = 1.0 - ranks / max(1, levels.size - 1)
    return result


@dataclass(frozen=True, slots=True)
class Uniform:
    """Has no preference: every candidate scores 1."""

    name: str = "uniform"

    def predict(self, view: View) -> Prediction:
        """Return 1 for each candidate."""
        return Prediction(np.ones(len(view.table)))


@dataclass(frozen=True, slots=True)
class Weight:
    """The operator's weights, as given in `model_info.weight` (1 where none is)."""

    name: str = "weight"

    def predict(self, view: View) -> Prediction:
        """Return the weights divided by the largest."""
        weight = view.table.weight
        top = weight.max()
        return Prediction(weight / top if top > 0 else np.ones(len(view.table)))


@dataclass(frozen=True, slots=True)
class Price:
    """Cheapest first, by list price of this request's tokens. A candidate without a price comes last."""

    name: str = "price"

    def predict(self, view: View) -> Prediction:
        """Return the preference for a low cost of this request."""
        limit = view.request.output_tokens
        length = TYPICAL_OUTPUT_TOKENS if limit is None else min(limit, TYPICAL_OUTPUT_TOKENS)
        return Prediction(preference(view.table.cost(max(1, view.request.prompt_tokens), length)))


@dataclass(frozen=True, slots=True)
class Size:
    """Smallest or largest first, by `model_info.size` (billions of parameters).

    Where any candidate has no stated size, all are compared by output price instead, because the two cannot be mixed.
    """

    largest: bool
    name: str = "size"

    def predict(self, view: View) -> Prediction:
        """Return the preference for a small, or large, model."""
        size = view.table.size
        amount = view.table.output_price if np.isnan(size).any() else size
        return Prediction(preference(-amount if self.largest else amount))


@dataclass(frozen=True, slots=True)
class Latency:
    """Fastest first, by the smoothed latency this process has seen, else by the operator's `model_info.latency_s`.

    A candidate nothing is known of is tried before the others, once, so that the strategy feeds itself.
    """

    name: str = "latency"

    def predict(self, view: View) -> Prediction:
        """Return the preference for a low latency, with the latency in seconds."""
        seen = view.vitals.latency(view.table)
        expected = np.where(np.isnan(seen), view.table.latency, seen)
        return Prediction(preference(np.nan_to_num(expected, nan=0.0)), latency_s=expected)


@dataclass(frozen=True, slots=True)
class Load:
    """Least busy first, by the calls this process has under way."""

    name: str = "load"

    def predict(self, view: View) -> Prediction:
        """Return the preference for few calls under way."""
        return Prediction(preference(view.vitals.in_flight(view.table)))
