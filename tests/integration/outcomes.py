"""Outcomes of the built-in tasks as a data folder, for gateways that route by something learned."""

from collections.abc import Collection
from pathlib import Path

from routeiq.testing.demo.builtin import builtin
from routeiq.testing.demo.teach import write
from routeiq.testing.demo.workload import Reply


def write_outcomes(folder: Path, pool: Collection[str], prompts: int, *, tools: bool = True) -> None:
    """Write how well each model of a pool did on so many training prompts, with or without those that offer tools.

    Each call has 40 tokens in and 20 out.
    """
    workload = builtin(1, prompts, 0)
    models = [model for model in workload.models if model.name in pool]
    rows = [
        (item, model, Reply(item, model.name, "", None, "", "", "", "", 40, 20), workload.train_score(item, model.name))
        for item in workload.train
        if tools or not item.tools
        for model in models
    ]
    write(folder, models, rows)
