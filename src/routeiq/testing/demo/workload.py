"""What the demonstration sends: prompts with known outcomes for every model, whatever their source.

Owns the common form. Where the prompts come from is in `recorded` and `builtin`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """What one model makes of one prompt: score in 0..1, US dollars, seconds (before the provider's time scale)."""

    score: float
    cost_usd: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt. `tools` are OpenAI tool schemas; `group` is what the tables group by."""

    id: str
    prompt: str
    group: str
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the pool, priced in US dollars per million tokens.

    `provider_name` is LiteLLM's name of a real model, `key_variable` the environment variable of its provider's key.
    """

    name: str
    usd_per_m_input: float
    usd_per_m_output: float
    provider_name: str = ""
    key_variable: str = ""

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """Return the price of a call in US dollars."""
        return (self.usd_per_m_input * input_tokens + self.usd_per_m_output * output_tokens) / 1e6


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one prompt through the gateway. Tokens are 0 for streamed answers, which report
    none; `latency_s` is what the client waited.
    """

    item: Item
    served: str
    text: str
    tool_call: tuple[str, Mapping[str, Any]] | None
    decision_id: str
    reason: str
    expected: str
    client: str
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Prompts and what is known of them.

    `train` prompts teach the router, `test` prompts are routed. `cell` gives what a model makes of a test prompt,
    `train_score` what it scores on a train prompt (NaN where nobody knows); neither is shown to the gateway. `grade`
    scores a reply in 0..1, as a user's checker would. `provider` are arguments for the replay provider, empty where
    real models are asked. `data` is a folder in the form of recorded outcomes when the train split is there already,
    with `suites` naming what to train on. `measured` is set where outcomes are not known beforehand: it is told what
    each model made of each prompt.
    """

    title: str
    note: str
    models: tuple[Model, ...]
    train: Sequence[Item]
    test: Sequence[Item]
    cell: Callable[[Item, str], Cell]
    train_score: Callable[[Item, str], float]
    grade: Callable[[Reply], float]
    provider: Mapping[str, Any]
    data: Path | None = None
    suites: tuple[str, ...] = ()
    measured: Callable[[Item, str, Reply, float], None] | None = None
