"""Sends prompts through the gateway as its users would: the official openai and anthropic clients, streamed or not.

Owns the clients and the concurrency. Knows models only by the name it is told to ask for.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import anthropic
import httpx
import openai
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from routeiq.core.headers import DECISION_ID, MODEL, REASON, SCORE
from routeiq.testing.demo.workload import Item, Reply

CONCURRENCY = 12
TIMEOUT_S = 90.0
MAX_TOKENS = 4_096

ToolCall = tuple[str, Mapping[str, Any]]


class AskFailed(RuntimeError):
    """A request to the gateway was not answered; the text holds what the client was told."""


class Driver:
    """Clients of one gateway; close it when done."""

    def __init__(self, base_url: str, key: str) -> None:
        self._openai = AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, timeout=TIMEOUT_S, max_retries=1)
        self._anthropic = AsyncAnthropic(base_url=base_url, api_key=key, timeout=TIMEOUT_S, max_retries=1)
        headers = {"authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._openai.close(), self._anthropic.close(), self._http.aclose())

    async def ask(self, item: Item, model: str, turn: int) -> Reply:
        """Ask one prompt; every third is streamed, and every fifth without tools goes through the anthropic client."""
        stream = turn % 3 == 1
        begun = time.monotonic()
        if turn % 5 == 2 and not item.tools:
            reply = await self._ask_anthropic(item, model, stream)
        else:
            reply = await self._ask_openai(item, model, stream)
        return replace(reply, latency_s=time.monotonic() - begun)

    async def _ask_openai(self, item: Item, model: str, stream: bool) -> Reply:
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": item.prompt}]}
        if item.tools:
            body["tools"] = list(item.tools)
        raw = await self._openai.chat.completions.with_raw_response.create(**body, stream=stream)
        answer: Any = raw.parse()
        text, call = await _streamed_chat(answer) if stream else _whole_chat(answer)
        reply = _reply(item, raw.headers, text, call, "openai, streamed" if stream else "openai")
        if stream or answer.usage is None:
            return reply
        usage = answer.usage
        return replace(reply, input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)

    async def _ask_anthropic(self, item: Item, model: str, stream: bool) -> Reply:
        raw = await self._anthropic.messages.with_raw_response.create(
            model=model, max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": item.prompt}], stream=stream
        )
        answer: Any = raw.parse()
        if isawaitable(answer):  # in the client's later versions
            answer = await answer
        if stream:
            events = [event async for event in answer if event.type == "content_block_delta"]
            text = "".join(getattr(event.delta, "text", "") for event in events)
        else:
            text = "".join(block.text for block in answer.content if block.type == "text")
        return _reply(item, raw.headers, text, None, "anthropic, streamed" if stream else "anthropic")

    async def feedback(self, reply: Reply, score: float) -> None:
        """Tell the gateway what the answer was worth, by decision id."""
        body = {"decision_id": reply.decision_id, "score": score, "source": "checker"}
        answer = await self._http.post("/routeiq/feedback", json=body)
        answer.raise_for_status()

    async def decision(self, decision_id: str) -> dict[str, Any]:
        """Return what the gateway remembers of a decision."""
        answer = await self._http.get(f"/routeiq/decisions/{decision_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


async def all_of(
    jobs: Sequence[Callable[[], Awaitable[None]]], done: Callable[[], None], concurrency: int = CONCURRENCY
) -> None:
    """Run jobs, a bounded number at a time; `done` is called after each. The first failure ends the rest."""
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            await job()
            done()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except* (openai.APIError, anthropic.APIError, httpx.HTTPError) as failures:
        first = failures.exceptions[0]
        raise AskFailed(f"a request failed: {type(first).__name__}: {first}") from first


def _whole_chat(answer: Any) -> tuple[str, ToolCall | None]:
    message = answer.choices[0].message
    calls = message.tool_calls or []
    return message.content or "", _call(calls[0].function.name, calls[0].function.arguments) if calls else None


async def _streamed_chat(chunks: AsyncIterator[Any]) -> tuple[str, ToolCall | None]:
    text, name, arguments = "", "", ""
    async for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    return text, _call(name, arguments) if name else None


def _call(name: str, arguments: str) -> ToolCall:
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError:
        parsed = {}
    return name, parsed if isinstance(parsed, dict) else {}


def _reply(item: Item, headers: Mapping[str, str], text: str, call: ToolCall | None, client: str) -> Reply:
    return Reply(
        item=item,
        served=headers.get(MODEL, ""),
        text=text,
        tool_call=call,
        decision_id=headers.get(DECISION_ID, ""),
        reason=headers.get(REASON, ""),
        expected=headers.get(SCORE, ""),
        client=client,
    )
