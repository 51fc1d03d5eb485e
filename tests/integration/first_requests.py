"""What the first requests after a start cost in processor time: printed as JSON, by kind, in the order they were sent.

    python -m tests.integration.first_requests CONFIG

The gateway is started in this process and asked without a network, so that only its own work is counted.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from routeiq.config.environment import export_for_litellm
from routeiq.http.edge import Edge

KINDS = {
    "chat": ("/v1/chat/completions", {}),
    "streamed": ("/v1/chat/completions", {"stream": True}),
    "messages": ("/v1/messages", {"max_tokens": 10}),
}
EACH = 9


async def started(edge: Edge) -> None:
    """Return when the application says that it has started, which is when it is ready."""
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    done = asyncio.Event()

    async def send(message: Any) -> None:
        assert message["type"] == "lifespan.startup.complete", message
        done.set()

    told.put_nowait({"type": "lifespan.startup"})
    running = asyncio.ensure_future(edge({"type": "lifespan", "state": {}}, told.get, send))
    await asyncio.wait([asyncio.ensure_future(done.wait()), running], return_when=asyncio.FIRST_COMPLETED)
    assert edge.health.started


async def main(path: Path) -> None:
    """Start, ask, print, and leave at once."""
    from routeiq.wiring import app

    export_for_litellm(path)
    edge = app()
    await started(edge)
    key = {"authorization": f"Bearer {os.environ['LITELLM_MASTER_KEY']}"}
    client = httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://gateway", headers=key, timeout=60)
    spent: dict[str, list[float]] = {}
    for kind, (where, more) in KINDS.items():
        for _ in range(EACH):
            body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **more}
            begun = time.process_time()
            answer = await client.post(where, json=body)
            spent.setdefault(kind, []).append(time.process_time() - begun)
            assert answer.status_code == 200, answer.text
    print(json.dumps(spent), file=sys.stderr, flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
