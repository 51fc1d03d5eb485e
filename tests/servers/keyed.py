"""A provider of chat completions that looks at keys: only those it accepts may begin, what has begun may end.

Owns the keys, what was begun and ended with which, and what was refused.
"""

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

PIECES = 12
HELD = "wait for it"


@dataclass
class KeyedProvider:
    """An async context manager. Streams take `stream_s` seconds; `recent` are the keys of the last requests.

    A stream that is asked for with `HELD` ends when it is let go.
    """

    stream_s: float = 1.0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: set[str] = field(default_factory=set)
    begun: Counter[str] = field(default_factory=Counter)
    outlived: Counter[str] = field(default_factory=Counter)
    """Streams by their key that ended when it was not accepted any more."""
    refused: list[str] = field(default_factory=list)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=1_000))
    url: str = ""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        asked = await request.json()
        if key not in self.accepted:
            self.refused.append(key)
            return web.json_response({"error": {"message": f"Incorrect API key provided: {key}"}}, status=401)
        self.begun[key] += 1
        self.recent.append(key)
        if not asked.get("stream"):
            return web.json_response(_whole(asked["model"]))
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(PIECES):
            await asyncio.sleep(self.stream_s / PIECES)
            await answer.write(_event(_piece(asked["model"], f"{number} ", number == PIECES - 1)))
            if number == 0 and asked["messages"][-1]["content"] == HELD:
                await self.release.wait()
        await answer.write(b"data: [DONE]\n\n")
        self.outlived[key] += key not in self.accepted
        return answer


def _whole(model: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "answered"}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _piece(model: str, text: str, last: bool) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop" if last else None, "delta": {"role": "assistant", "content": text}}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
