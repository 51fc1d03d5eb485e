"""Recorded outcomes as a source of answers.

Owns the reading of a folder with `prompts.parquet`, `outcomes.parquet` and `models.csv`, and the look-up of a prompt
by its text. The recordings hold no answer texts, so an answer is one line that names prompt and model; its usage is
the recorded one, whatever the length of the line. Latency is the recorded one, or else the one `latency` states.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeiq.testing.replay.answers import Answer, UnknownModel, UnknownPrompt, normalise
from routeiq.testing.replay.latency import speed_for_price
from routeiq.testing.tasks.usage import Speed, estimate_tokens

ASSUMED_OUTPUT_TOKENS = 30
"""Where a run recorded no output tokens (bfcl only): the median of the function calls that did."""

_LINE = re.compile(r"prompt=(\S+) model=(\S+)")
_NOT_A_NAME = re.compile(r"\W")


class BadRecording(ValueError):
    """The folder does not hold the recordings asked for; the text says which file or name."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    prompt_id: str
    input_tokens: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float | None


def answer_line(prompt_id: str, model: str) -> str:
    """The text that stands for an answer that was not recorded."""
    return f"recorded answer prompt={prompt_id} model={model}"


def parse_answer_line(text: str) -> tuple[str, str]:
    """The prompt id and the model an `answer_line` names; ValueError for any other text."""
    found = _LINE.search(text)
    if found is None:
        raise ValueError("the text is not the line of a recorded answer")
    return found[1], found[2]


def _tool_key(names: Iterable[str]) -> tuple[str, ...]:
    """Tool names as they compare: clients must rewrite `a.b` as `a_b`, and order means nothing."""
    return tuple(sorted(_NOT_A_NAME.sub("_", name) for name in names))


class RecordedSource:
    """Answers from recordings; see the module. `load` reads a folder."""

    def __init__(
        self,
        prompts: Mapping[tuple[str, tuple[str, ...]], _Prompt],
        outcomes: Mapping[str, Mapping[str, _Outcome]],
        speeds: Mapping[str, Speed],
        seed: int,
    ) -> None:
        self._outcomes = outcomes
        self._speeds = speeds
        self._seed = seed
        self._exact = prompts
        self._by_text: dict[str, _Prompt] = {}
        for (text, _), prompt in prompts.items():
            self._by_text.setdefault(text, prompt)

    @classmethod
    def load(cls, folder: Path, suites: Sequence[str], models: Sequence[str] | None, seed: int) -> RecordedSource:
        """Read the suites' prompts and the outcomes of `models` (None: the models marked `in_pool`).

        Raises `BadRecording` for a missing file, suite or model. Of prompts with the same text and tools the first
        answers for all.
        """
        prices = _read_prices(folder, suites, models)
        prompts: dict[tuple[str, tuple[str, ...]], _Prompt] = {}
        columns = ["prompt_id", "prompt", "tools", "input_tokens"]
        for prompt_id, text, tools, tokens in _read_columns(folder / "prompts.parquet", columns, suites):
            key = (normalise(text), _tool_key(recorded_tools(tools)))
            prompts.setdefault(key, _Prompt(prompt_id, tokens or estimate_tokens(text)))
        outcomes: dict[str, dict[str, _Outcome]] = {model: {} for model in prices}
        columns = ["prompt_id", "model", "input_tokens", "output_tokens", "latency_s"]
        for prompt_id, model, tokens_in, tokens_out, latency in _read_columns(
            folder / "outcomes.parquet", columns, suites
        ):
            if model in outcomes:
                outcomes[model][prompt_id] = _Outcome(tokens_in, tokens_out, latency)
        speeds = {model: speed_for_price(price) for model, price in prices.items()}
        return cls(prompts, outcomes, speeds, seed)

    @property
    def models(self) -> Sequence[str]:
        """The models of the recording, in the order of `models.csv`."""
        return list(self._outcomes)

    def answer(self, model: str, prompt_text: str, tools: Sequence[str]) -> Answer:
        """The recorded answer; the tools matter only where one text was asked with different tools."""
        rows = self._outcomes.get(model)
        if rows is None:
            raise UnknownModel(f"The model '{model}' does not exist")
        text = normalise(prompt_text)
        prompt = self._exact.get((text, _tool_key(tools))) or self._by_text.get(text)
        if prompt is None:
            raise UnknownPrompt("No recorded prompt has this text; the replay provider answers recorded prompts only")
        row = rows.get(prompt.prompt_id)
        if row is None:
            raise UnknownPrompt(f"No outcome of '{model}' was recorded for the prompt {prompt.prompt_id}")
        tokens = ASSUMED_OUTPUT_TOKENS if row.output_tokens is None else row.output_tokens
        speed = self._speeds[model]
        if row.latency_s is None:
            latency, ttft = speed.stated(tokens, prompt.prompt_id, model, self._seed)
        else:
            latency, ttft = row.latency_s, speed.first_token(row.latency_s, tokens)
        return Answer(
            text=answer_line(prompt.prompt_id, model),
            tool_call=None,
            input_tokens=prompt.input_tokens if row.input_tokens is None else row.input_tokens,
            output_tokens=tokens,
            latency_s=latency,
            ttft_s=ttft,
        )


def recorded_tools(tools: str | None) -> list[str]:
    """Names of the tools in a cell of the column `tools`, as they were recorded."""
    import orjson

    return [] if not tools else [tool["name"] for tool in orjson.loads(tools)]


def _read_columns(path: Path, columns: list[str], suites: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    import pyarrow.parquet as parquet

    _require(path)
    table = parquet.read_table(path, columns=columns, filters=[("suite", "in", list(suites))])
    return zip(*(table.column(name).to_pylist() for name in columns), strict=True)


def _require(path: Path) -> None:
    if not path.is_file():
        raise BadRecording(
            f"{path}: no such file; expected a folder with prompts.parquet, outcomes.parquet, models.csv"
        )


def _read_prices(folder: Path, suites: Sequence[str], models: Sequence[str] | None) -> dict[str, float | None]:
    """Output price of each model wanted, in dollars per million tokens."""
    path = folder / "models.csv"
    _require(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = {row["suite"] for row in rows}
    for suite in suites:
        if suite not in known:
            raise BadRecording(f"{path}: no suite {suite!r}; known: {', '.join(sorted(known))}")
    rows = [row for row in rows if row["suite"] in suites]
    names = {row["model"] for row in rows}
    for model in models or ():
        if model not in names:
            raise BadRecording(f"{path}: no model {model!r} in {', '.join(suites)}; known: {', '.join(sorted(names))}")
    wanted = [row for row in rows if (row["model"] in models if models else row["in_pool"] == "True")]
    return {row["model"]: float(row["usd_per_m_output"]) if row["usd_per_m_output"] else None for row in wanted}
