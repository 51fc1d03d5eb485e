"""A model group that a prompt may be sent to, with what the operator and the price list say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from routeiq.core.request import Capability


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model group of LiteLLM's model_list.

    Prices are US dollars per token, `None` when nobody stated them; `usd_per_cached_token` is that of input which the
    provider finds in its prompt cache. `capabilities` is `None` when unknown, and then no capability filter excludes
    the candidate. `size` is in billions of parameters, `quality` (0..1) and `latency_s`
    (seconds for a typical answer) are the operator's own statements in `model_info`. `benchmarks` are published scores
    (0..1) by benchmark, by which strategies can place a model that was never recorded.
    """

    name: str
    usd_per_input_token: float | None = None
    usd_per_output_token: float | None = None
    context_window: int | None = None
    capabilities: frozenset[Capability] | None = None
    region: str | None = None
    size: float | None = None
    weight: float = 1.0
    quality: float | None = None
    latency_s: float | None = None
    usd_per_cached_token: float | None = None
    benchmarks: Mapping[str, float] | None = field(default=None, hash=False)
