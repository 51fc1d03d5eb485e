"""RouterBench and tables like it (arXiv 2403.12031): a row per prompt, and a column per model.

`prompt` and `eval_name` (or `task`, `category`), then for each model a column by its name with the score, and beside it
`MODEL|total_cost` in US dollars. A model is a column that has a `|total_cost` beside it; in a table without any, every
column that holds nothing but numbers. `MODEL|model_response` is not needed; `sample_id` is the prompt's id.
RouterBench itself is published as a pickle: convert it to Parquet with pandas on a machine you can lose.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from routeiq.core.errors import DataError
from routeiq.learn.formats.answers import Answer, Item, Skipped, amount, number, text
from routeiq.learn.formats.tables import Row, nested, rows

COST, RESPONSE = "|total_cost", "|model_response"
_FACTS = frozenset(
    ("sample_id", "prompt", "query", "eval_name", "task", "category", "dataset", "oracle_model_to_route_to", "split",
     "id", "index", "", "__index_level_0__", "Unnamed: 0")
)  # fmt: skip


def read(paths: Sequence[Path]) -> Iterator[Item]:
    """Yield an answer per row and model; raises DataError for a table without models."""
    for path in paths:
        if path.suffix.lower() in (".pkl", ".pickle"):
            raise DataError(f"{path} is a pickle, which runs code when opened; convert it to Parquet or CSV first")
        models: list[str] | None = None
        for row in rows(path):
            if isinstance(row, Skipped):
                yield row
                continue
            if models is None:
                models = _models(path, row[1])
            yield from _answers(row, models)


def _models(path: Path, first: Mapping[str, Any]) -> list[str]:
    named = [column.removesuffix(COST) for column in first if column.endswith(COST)]
    found = [name for name in named if name in first] or [
        column for column, value in first.items() if column not in _FACTS and "|" not in column and _scorelike(value)
    ]
    if not found:
        raise DataError(f"{path} has no column of scores; expected one per model, and MODEL{COST} beside it")
    return found


def _scorelike(value: Any) -> bool:
    return number(value) is not None or value in (None, "")


def _answers(row: Row, models: Sequence[str]) -> Iterator[Item]:
    place, columns = row
    prompt = _prompt(columns)
    if prompt is None:
        yield Skipped(place, "has no `prompt`")
        return
    for model in models:
        yield Answer(
            place=place,
            prompt=prompt,
            model=model,
            score=number(columns[model]),
            category=text(columns, "eval_name", "task", "category", "dataset"),
            key=str(columns.get("sample_id") or ""),
            cost_usd=amount(columns.get(model + COST)),
        )


def _prompt(columns: Mapping[str, Any]) -> str | None:
    """RouterBench stores a prompt as the text of a list of turns; these are joined."""
    found = columns.get("prompt", columns.get("query"))
    turns = nested(found)
    if isinstance(turns, list) and all(isinstance(turn, str) for turn in turns):
        return "\n".join(turns)
    return found if isinstance(found, str) else None
