"""Simulated models: who answers the built-in tasks when no real model does.

These are SIMULATED. Nothing here calls a model, and no figure below was measured on the built-in tasks. Each model
stands for a class of real ones: its prices are those models' list prices of 2024, and its ability in a family is the
published accuracy of the stand-in on the benchmark nearest to that family, taken as the chance to solve a task of the
middle difficulty:

| family | benchmark |
|---|---|
| arithmetic | GSM8K |
| code_output | CRUXEval, output prediction |
| extraction | DROP (F1) |
| dates | the mean of GSM8K and MATH |
| units | MATH |
| classification | MMLU |
| logic | ZebraLogic, easy grids |
| tool_calls | BFCL, one call |
| string_work | IFEval |
| translation | MGSM |

Every figure carries the letter of its source:

- `Z` ZeroEval (WildEval/ZeroEval), stored outputs rescored on 915 GSM8K and 604 CRUXEval questions
- `B` Berkeley function calling v1, run of 2024-08-11: simple and multiple calls, plain and executable, 557 prompts
- `L` Meta's model cards of Llama 3.1 and 3.2 (DROP is the pretrained models'; BFCL is v2 for Llama 3.2)
- `S` openai/simple-evals, table of results (MMLU, MATH, MGSM, DROP)
- `G` ZebraLogic leaderboard of July 2024 (logic of `sim-medium`: Llama 3 70B)
- `D` DeepSeek-Coder-V2, model card   `Q` Qwen2.5-Coder report (arXiv 2409.12186)
- `M` Qwen2.5-Math-7B-Instruct, report (arXiv 2409.12122) and AceMath's table (MMLU is its STEM part)
- `a` assumed by analogy with models of that size and purpose, because no figure was found

Specialists are what they are in those figures: cheap ones as good as the best at mathematics, code or tool calls, and
poor elsewhere, so that no model wins everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, sqrt

from routeiq.testing.tasks.draws import lognormal, normal, normal_cdf, uniform
from routeiq.testing.tasks.task import FAMILIES, Task, ToolCall
from routeiq.testing.tasks.usage import Speed, estimate_tokens

SHARED_DIFFICULTY = 0.5
"""Correlation of the models' luck on one task: what is hard for one tends to be hard for all."""

TOKENS = {
    "arithmetic": 130, "code_output": 110, "extraction": 70, "dates": 80, "units": 90, "classification": 12,
    "logic": 150, "tool_calls": 30, "string_work": 40, "translation": 14,
}  # fmt: skip
"""Median output tokens of a middle task, working included: GSM8K and CRUXEval answers run to 120-200 tokens in `Z`,
calls to about 30 in `B`; the others are round numbers."""

_LENGTH_FACTOR = {1: 0.7, 2: 1.0, 3: 1.4}
_LENGTH_SIGMA = 0.2


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """A row of the table. Prices in dollars per million tokens; `slope` is the loss of log-odds per step of difficulty;
    `verbosity` multiplies `TOKENS`; `figures` are percent correct in the order of `FAMILIES`, `sources` their letters.
    """

    name: str
    stands_for: str
    usd_per_m_input: float
    usd_per_m_output: float
    speed: Speed
    verbosity: float
    slope: float
    figures: tuple[float, ...]
    sources: str

    def ability(self, family: str) -> float:
        """Log-odds of a right answer at the middle difficulty."""
        share = self.figures[FAMILIES.index(family)] / 100.0
        return log(share / (1.0 - share))

    def chance(self, family: str, difficulty: int) -> float:
        """Probability of a right answer: logistic(ability - slope x steps above the middle)."""
        return 1.0 / (1.0 + exp(self.slope * (difficulty - 2) - self.ability(family)))

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Price of a call in dollars."""
        return (input_tokens * self.usd_per_m_input + output_tokens * self.usd_per_m_output) / 1e6


# Columns:                 arithm code  extr  dates units class logic tools string transl
MODELS = (
    SimulatedModel(
        "sim-tiny", "Llama 3.2 3B Instruct", 0.06, 0.06, Speed(0.25, 180.0), 1.1, 1.2,
        (77.7, 35.3, 45.2, 62.5, 47.3, 63.4, 30.0, 67.0, 77.4, 58.2), "LZLLLLaLLL",
    ),  # code_output: Qwen2.5-3B-Instruct, the model of that size in Z
    SimulatedModel(
        "sim-small", "Llama 3.1 8B Instruct", 0.18, 0.18, Speed(0.30, 150.0), 1.1, 1.1,
        (85.0, 39.4, 59.5, 68.5, 51.9, 73.0, 42.0, 76.1, 80.4, 68.9), "ZZLLLLaLLL",
    ),
    SimulatedModel(
        "sim-tools", "xLAM-7b-fc-r, a 7B model tuned for calls", 0.20, 0.20, Speed(0.30, 150.0), 0.9, 1.1,
        (60.0, 40.0, 50.0, 45.0, 30.0, 55.0, 25.0, 94.6, 50.0, 35.0), "aaaaaaaBaa",
    ),
    SimulatedModel(
        "sim-math", "Qwen2.5-Math-7B-Instruct", 0.20, 0.20, Speed(0.30, 150.0), 1.8, 1.0,
        (95.2, 45.0, 45.0, 89.4, 83.6, 71.9, 45.0, 40.0, 45.0, 40.0), "MaaMMMaaaa",
    ),
    SimulatedModel(
        "sim-code", "DeepSeek-Coder-V2 and Qwen2.5-Coder-32B", 0.14, 0.28, Speed(0.60, 60.0), 1.0, 0.9,
        (94.9, 83.4, 70.0, 85.3, 75.7, 79.2, 64.6, 80.0, 75.0, 70.0), "DQaDDDGaaa",
    ),
    SimulatedModel(
        "sim-mini", "GPT-4o mini (2024-07-18)", 0.15, 0.60, Speed(0.45, 90.0), 1.1, 0.9,
        (94.1, 76.2, 79.7, 82.2, 70.2, 82.0, 62.5, 94.3, 80.0, 87.0), "ZZSSSSGBaS",
    ),
    SimulatedModel(
        "sim-medium", "Llama 3.1 70B Instruct", 0.88, 0.88, Speed(0.50, 70.0), 1.0, 0.9,
        (94.5, 64.2, 79.6, 81.3, 68.0, 86.0, 52.9, 84.8, 87.5, 86.9), "ZZLLLLGLLL",
    ),
    SimulatedModel(
        "sim-large", "Claude 3.5 Sonnet (2024-06-20)", 3.00, 15.00, Speed(0.80, 60.0), 1.0, 0.7,
        (95.5, 79.6, 87.1, 83.3, 71.1, 88.3, 87.5, 96.4, 88.0, 91.6), "ZZSSSSGBaS",
    ),
)  # fmt: skip
"""The table, from the cheapest to the dearest class."""

MODELS_BY_NAME: Mapping[str, SimulatedModel] = {model.name: model for model in MODELS}


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """What a model replied: a text or a tool call, whether it is right, and what it took (tokens, seconds)."""

    text: str
    tool_call: ToolCall | None
    correct: bool
    input_tokens: int
    output_tokens: int
    latency_s: float
    ttft_s: float


def solves(task: Task, model: SimulatedModel, seed: int) -> bool:
    """Whether the model gets the task right, drawn with `chance`.

    The luck of a model on a task is half the task's and half its own (a one-factor Gaussian copula), which leaves each
    model's chance as stated and makes models fail together as real ones do.
    """
    shared = normal("shared", task.id, task.prompt, seed)
    own = normal("own", task.id, task.prompt, model.name, seed)
    luck = sqrt(SHARED_DIFFICULTY) * shared + sqrt(1.0 - SHARED_DIFFICULTY) * own
    return normal_cdf(luck) < model.chance(task.family, task.difficulty)


def simulate(task: Task, model_name: str, seed: int = 0) -> SimulatedReply:
    """The model's reply; the same for the same task, model and seed. KeyError for an unknown model.

    A wrong reply is one of the task's plausible mistakes. `seed` draws another run of the same models.
    """
    model = MODELS_BY_NAME[model_name]
    correct = solves(task, model, seed)
    reply = task.answer if correct else task.wrong[int(uniform("slip", task.id, model_name, seed) * len(task.wrong))]
    text = reply if isinstance(reply, str) else ""
    call = reply if isinstance(reply, ToolCall) else None
    tools = json.dumps(task.tools) if task.tools else ""
    median = TOKENS[task.family] * _LENGTH_FACTOR[task.difficulty] * model.verbosity
    drawn = round(lognormal(median, _LENGTH_SIGMA, "length", task.id, model_name, seed))
    tokens = max(drawn, estimate_tokens(text))
    latency, ttft = model.speed.stated(tokens, task.id, model_name, seed)
    return SimulatedReply(text, call, correct, estimate_tokens(task.prompt + tools), tokens, latency, ttft)
