"""Recorded outcomes as a workload: real prompts, real scores, nothing simulated.

Owns the choice of prompts and models of one suite. Reading the files is `learn.dataset`.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeiq.core.errors import DataError
from routeiq.learn.dataset import read
from routeiq.learn.matrix import TEST, TRAIN, OutcomeMatrix
from routeiq.testing.demo.workload import Cell, Item, Model, Reply, Workload
from routeiq.testing.replay.latency import speed_for_price
from routeiq.testing.replay.recorded import ASSUMED_OUTPUT_TOKENS


def recorded(folder: Path, suites: Sequence[str], models: Sequence[str] | None, prompts: int, seed: int) -> Workload:
    """Return the workload of a suite: its train split teaches, `prompts` of its test split (0: all) are routed."""
    matrix = read(folder, suites, models)
    test = matrix.split(TEST).complete()
    if len(test) == 0:
        raise DataError(f"{folder}: no prompt of the test split of {', '.join(suites)} has a score for every model")
    chosen = list(range(len(test)))
    if prompts and prompts < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, prompts))  # noqa: S311 - a sample, not a secret
    sample = test.rows(chosen)
    tools = _tools(folder, set(sample.ids))
    cells = _cells(sample, seed)
    train = matrix.split(TRAIN)
    taught = {(p, m): float(train.score[i, j]) for i, p in enumerate(train.ids) for j, m in enumerate(train.models)}

    def grade(reply: Reply) -> float:
        return cells[reply.item.id, reply.served].score

    return Workload(
        title=f"recorded outcomes: {', '.join(suites)}",
        note=(
            f"{len(sample)} prompts of the test split, answered by {len(matrix.models)} models; scores, tokens and "
            "prices are recorded ones. "
            + (
                "Latency is recorded too."
                if not np.isnan(sample.latency_s).all()
                else "Latency was not recorded: it is stated, by price tier and output tokens."
            )
        ),
        models=tuple(_model(matrix, j) for j in range(len(matrix.models))),
        train=_items(train, {}),
        test=_items(sample, tools),
        cell=lambda item, model: cells[item.id, model],
        train_score=lambda item, model: taught[item.id, model],
        grade=grade,
        provider={"data": folder, "suite": ",".join(suites), "models": list(matrix.models)},
        data=folder,
        suites=tuple(suites),
    )


def _model(matrix: OutcomeMatrix, j: int) -> Model:
    return Model(matrix.models[j], float(matrix.input_price[j]) * 1e6, float(matrix.output_price[j]) * 1e6)


def _items(matrix: OutcomeMatrix, tools: Mapping[str, tuple[Mapping[str, Any], ...]]) -> list[Item]:
    rows = zip(matrix.ids, matrix.texts, matrix.categories, strict=True)
    return [Item(name, text, group, tools.get(name, ())) for name, text, group in rows]


def _cells(matrix: OutcomeMatrix, seed: int) -> dict[tuple[str, str], Cell]:
    """Return what was recorded; a latency that was not is the one that the replay provider states."""
    speeds = [speed_for_price(price * 1e6) for price in matrix.output_price.tolist()]
    found = {}
    for i, name in enumerate(matrix.ids):
        for j, model in enumerate(matrix.models):
            latency, tokens = float(matrix.latency_s[i, j]), float(matrix.output_tokens[i, j])
            if math.isnan(latency):
                length = ASSUMED_OUTPUT_TOKENS if math.isnan(tokens) else int(tokens)
                latency, _ = speeds[j].stated(length, name, model, seed)
            cost = float(matrix.cost_usd[i, j])
            found[name, model] = Cell(float(matrix.score[i, j]), 0.0 if math.isnan(cost) else cost, latency)
    return found


def _tools(folder: Path, wanted: set[str]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Return the recorded function schemas as OpenAI tools, by prompt id."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "prompts.parquet", columns=["prompt_id", "tools"]).to_pylist()
    return {
        row["prompt_id"]: tuple(_tool(schema) for schema in json.loads(row["tools"]))
        for row in table
        if row["prompt_id"] in wanted and row["tools"]
    }


def _tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return one recorded function in OpenAI's form: names without dots, JSON schema's own word for an object."""
    parameters = {"type": "object", **schema.get("parameters", {})}
    parameters["type"] = "object"
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in str(schema.get("name", "tool")))
    return {
        "type": "function",
        "function": {"name": name[:64], "description": schema.get("description", ""), "parameters": parameters},
    }
