"""LiteLLM's spend logs: table LiteLLM_SpendLogs as CSV, Parquet or JSON, or what `/spend/logs` answers.

A row is one call. Columns used: `call_type`, `status`, `model_group` (else `model`), `messages` or
`proxy_server_request`, `metadata`, `spend` (US dollars), `prompt_tokens`, `completion_tokens`, `startTime`, `endTime`,
`request_duration_ms`, `cache_hit`. Prompts are there only if `store_prompts_in_spend_logs` was set. A score stands in
the metadata, or comes from elsewhere by `request_id` or `litellm_call_id`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from routeiq.learn.formats.answers import Answer, Item, Place, Skipped, amount, text
from routeiq.learn.formats.conversations import NO_PROMPT, asked, stated_score, unusable
from routeiq.learn.formats.tables import rows


def read(paths: Sequence[Path]) -> Iterator[Item]:
    """Yield an answer per call; its score is None where the log has none."""
    for path in paths:
        for row in rows(path):
            yield row if isinstance(row, Skipped) else _answer(*row)


def _answer(place: Place, row: Mapping[str, Any]) -> Item:
    if why := unusable(row.get("call_type"), row.get("status")):
        return Skipped(place, why)
    model = text(row, "model_group", "model")
    if not model:
        return Skipped(place, "names neither model_group nor model")
    prompt, tools = asked(row.get("messages"), row.get("proxy_server_request"))
    if not prompt:
        return Skipped(place, NO_PROMPT)
    cached = str(row.get("cache_hit")).lower() == "true"
    return Answer(
        place=place,
        prompt=prompt,
        model=model,
        score=stated_score(row.get("metadata")),
        call=tuple(found for name in ("request_id", "litellm_call_id") if (found := text(row, name))),
        tools=tools,
        # LiteLLM writes 0 for a model it has no price of and for an answer from its cache: no call costs that.
        cost_usd=None if cached else amount(row.get("spend")) or None,
        input_tokens=amount(row.get("prompt_tokens")) or None,
        output_tokens=amount(row.get("completion_tokens")),
        latency_s=None if cached else _duration(row),
    )


def _duration(row: Mapping[str, Any]) -> float | None:
    stated = amount(row.get("request_duration_ms"))
    if stated is not None:
        return stated / 1000
    start, end = _moment(row.get("startTime")), _moment(row.get("endTime"))
    return max(0.0, end - start) if start is not None and end is not None else None


def _moment(value: Any) -> float | None:
    """Return seconds since the epoch of a time, its ISO text, or a number; only differences of them are used."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return amount(value)
    return value.timestamp() if isinstance(value, datetime) else amount(value)
