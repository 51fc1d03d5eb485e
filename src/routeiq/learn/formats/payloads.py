"""LiteLLM's standard logging payloads: what its loggers (s3, gcs, generic API, a file) write, a JSON object per call.

Fields used: `call_type`, `status`, `model_group` (else `model`), `messages`, `model_parameters.tools`, `metadata`,
`response_cost` (US dollars), `prompt_tokens`, `completion_tokens`, `response_time` (seconds), `cache_hit`, and the
prices in `model_map_information`. A score stands in the metadata, or comes from elsewhere by `id` or
`litellm_call_id`. A call whose content was redacted has no prompt and is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from routeiq.learn.formats.answers import Answer, Item, Place, Price, Skipped, amount, text
from routeiq.learn.formats.conversations import asked, stated_score, unusable
from routeiq.learn.formats.tables import Row, rows

REDACTED = "redacted-by-litellm"


def read(paths: Sequence[Path]) -> Iterator[Item]:
    """Yield an answer per call, and each model's price where its payloads carry it."""
    priced: set[str] = set()
    for path in paths:
        for row in rows(path):
            if isinstance(row, Skipped):
                yield row
                continue
            answer = _answer(row)
            yield answer
            if isinstance(answer, Answer) and answer.model not in priced and (price := _price(row[0], row[1], answer)):
                priced.add(answer.model)
                yield price


def _answer(row: Row) -> Item:
    place, payload = row
    if why := unusable(payload.get("call_type"), payload.get("status")):
        return Skipped(place, why)
    model = text(payload, "model_group", "model")
    if not model:
        return Skipped(place, "names neither model_group nor model")
    prompt, tools = asked(payload.get("messages"), payload.get("model_parameters"))
    if not prompt or prompt == REDACTED:
        return Skipped(place, "holds no prompt: message logging was off or redacted")
    cached = payload.get("cache_hit") is True
    return Answer(
        place=place,
        prompt=prompt,
        model=model,
        score=stated_score(payload.get("metadata")),
        call=tuple(found for name in ("id", "litellm_call_id") if (found := text(payload, name))),
        tools=tools,
        cost_usd=None if cached else amount(payload.get("response_cost")) or None,
        input_tokens=amount(payload.get("prompt_tokens")) or None,
        output_tokens=amount(payload.get("completion_tokens")),
        latency_s=None if cached else amount(payload.get("response_time")),
    )


def _price(place: Place, payload: Mapping[str, Any], answer: Answer) -> Price | None:
    found = payload.get("model_map_information")
    value = found.get("model_map_value") if isinstance(found, Mapping) else None
    if not isinstance(value, Mapping):
        return None
    per_token = [amount(value.get(name)) for name in ("input_cost_per_token", "output_cost_per_token")]
    # Six decimals of a dollar per million tokens: what lies beyond is the noise of the multiplication.
    price = [None if found is None else round(found * 1e6, 6) for found in per_token]
    return None if price == [None, None] else Price(place, answer.model, price[0], price[1])
