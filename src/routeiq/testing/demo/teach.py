"""Teaching the router: collect scored outcomes through the gateway and write them down.

Owns the folder of outcomes, in the same form as recorded ones, so that training has one way in.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from routeiq.testing.demo.drive import Driver, all_of
from routeiq.testing.demo.gateway import GatewayProcess
from routeiq.testing.demo.workload import Item, Model, Reply, Workload
from routeiq.testing.tasks.draws import uniform

SUITE = "collected"
_VALID_SHARE = 0.3

_PRICES = ("usd_per_m_input", "usd_per_m_output")
_MODEL_COLUMNS = ("suite", "model", "source_name", "in_pool", *_PRICES, "price_source", "rows", "coverage")

Scored = tuple[Item, Model, Reply, float]


async def collect(
    workload: Workload, items: Sequence[Item], gateway: GatewayProcess, done: Callable[[], None]
) -> list[Scored]:
    """Ask every model every prompt by name through the gateway, score the answers, post the scores as feedback."""
    driver = Driver(gateway.base_url, gateway.key)
    rows: list[Scored] = []

    async def one(item: Item, model: Model) -> None:
        reply = await driver.ask(item, model.name, turn=0)
        score = workload.grade(reply)
        await driver.feedback(reply, score)
        rows.append((item, model, reply, score))
        if workload.measured is not None:
            workload.measured(item, model.name, reply, score)

    try:
        jobs = [lambda i=item, m=model: one(i, m) for item in items for model in workload.models]
        await all_of(jobs, done)
    finally:
        await driver.close()
    return rows


def write(folder: Path, models: Sequence[Model], rows: Sequence[Scored]) -> None:
    """Write prompts.parquet, outcomes.parquet and models.csv; a part of the prompts, by hash, is for validation."""
    items = {item.id: (item, reply.input_tokens) for item, _, reply, _ in rows}
    prompts = [
        {
            "suite": SUITE,
            "prompt_id": item.id,
            "dataset": SUITE,
            "category": item.group,
            "prompt": item.prompt,
            "tools": None,
            "input_tokens": tokens,
            "contaminated": False,
            "split": "valid" if uniform("valid", item.prompt) < _VALID_SHARE else "train",
        }
        for item, tokens in items.values()
    ]
    outcomes = [
        {
            "suite": SUITE,
            "prompt_id": item.id,
            "model": model.name,
            "score": score,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cost_usd": model.cost(reply.input_tokens, reply.output_tokens),
            "latency_s": None,
        }
        for item, model, reply, score in rows
    ]
    _parquet(folder / "prompts.parquet", prompts, tools="string")
    _parquet(folder / "outcomes.parquet", outcomes, latency_s="float")
    with (folder / "models.csv").open("w", newline="", encoding="utf-8") as sink:
        out = csv.writer(sink)
        out.writerow(_MODEL_COLUMNS)
        for model in models:
            prices = [model.usd_per_m_input, model.usd_per_m_output]
            out.writerow([SUITE, model.name, model.name, True, *prices, "stated", len(items), 1.0])


def _parquet(path: Path, rows: Sequence[Mapping[str, object]], **types: str) -> None:
    """Write rows; `types` names the types of columns in which every value is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(list(rows))
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(getattr(pa, f"{kind}32" if kind == "float" else kind)()))
    pq.write_table(table, path)
