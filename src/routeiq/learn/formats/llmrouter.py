"""LLMRouter's files: routing data, query data, candidates and embeddings (github.com/ulab-uiuc/LLMRouter).

Routing data is JSON Lines with a row per query and model: `task_name`, `query`, `ground_truth`, `metric`, `model_name`,
`performance` (0..1), `token_num`, `input_tokens`, `output_tokens`, `response_time`. Query data lacks the model's part:
such rows have nothing to learn from. Candidates are a JSON object by model name with `input_price` and `output_price`
in US dollars per million tokens. Embeddings are left out: what routes here is embedded by the gateway itself, and
vectors of another encoder cannot be compared with those. A `.pt` is a pickle and is never opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from routeiq.learn.formats.answers import Answer, Item, Place, Price, Skipped, amount, number, text
from routeiq.learn.formats.tables import document, rows

_PICKLES = (".pt", ".pth", ".pkl", ".pickle")
_OTHER_VECTORS = "embeddings of another encoder are not used: prompts are embedded again by the gateway's own"


def read(paths: Sequence[Path]) -> Iterator[Item]:
    """Yield answers of routing data and prices of candidate files, whatever their order."""
    for path in paths:
        if path.suffix.lower() in _PICKLES:
            yield Skipped(Place(str(path)), f"{_OTHER_VECTORS}; the file is a pickle and was not opened")
        elif path.suffix.lower() == ".json" and isinstance(found := document(path), Mapping) and "data" not in found:
            yield from _candidates(path, found)
        else:
            for row in rows(path):
                yield row if isinstance(row, Skipped) else _answer(*row)


def _answer(place: Place, row: Mapping[str, Any]) -> Item:
    prompt, model = row.get("query"), text(row, "model_name", "llm")
    if not isinstance(prompt, str):
        return Skipped(place, "has no `query`: a score without its prompt cannot be learned from")
    if not model:
        return Skipped(place, "has no `model_name`: query data alone holds no outcome; import the routing data")
    task, metric = text(row, "task_name", "task_id"), text(row, "metric")
    # The same question may be asked in two tasks or be scored by two metrics; LLMRouter keeps these apart as well.
    return Answer(
        place=place,
        prompt=prompt,
        model=model,
        score=number(row.get("performance", row.get("effect"))),
        category=task,
        key="\0".join((task, prompt, str(row.get("ground_truth") or ""), metric)),
        cost_usd=amount(row.get("cost")),
        input_tokens=amount(row.get("input_tokens", row.get("input_token"))),
        output_tokens=amount(row.get("output_tokens", row.get("output_token"))),
        latency_s=amount(row.get("response_time")),
    )


def _candidates(path: Path, found: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the prices of a candidate file; row n is its n-th model."""
    for at, (name, facts) in enumerate(found.items(), start=1):
        place = Place(str(path), at)
        if not isinstance(facts, Mapping):
            yield Skipped(place, f"expected an object of facts on a model, found {type(facts).__name__}")
            continue
        price = Price(place, name, amount(facts.get("input_price")), amount(facts.get("output_price")))
        if price.usd_per_m_input is None and price.usd_per_m_output is None:
            yield Skipped(place, f"model {name!r} has neither input_price nor output_price")
        else:
            yield price
        if "embedding" in facts:
            yield Skipped(place, f"embedding of model {name!r}: {_OTHER_VECTORS}")
