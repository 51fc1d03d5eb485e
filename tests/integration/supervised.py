"""A supervised gateway without LiteLLM, for tests of processes and signals: a small application behind the real edge.

    python -m tests.integration.supervised PORT WORKERS

`/plain` tells the worker's process id. Everything else is a stream that begins at once and ends when the file `go`
exists in the current folder. `SUPERVISED` chooses what is odd about the workers, `ROUTEIQ_*` the times of a drain.
"""

import asyncio
import logging
import os
import random
import sys
from multiprocessing import get_context
from pathlib import Path

from starlette.types import Receive, Scope, Send

from routeiq.flow import RequestFlow
from routeiq.guard.drain import Drain
from routeiq.http.acceptor import bound
from routeiq.http.edge import Edge
from routeiq.http.supervisor import Supervisor
from routeiq.http.worker import Place, serve
from routeiq.routing.snapshot import SnapshotHolder
from routeiq.testing.fakes import FixedKeys, RecordingLog, RecordingTelemetry
from tests.integration.edge_app import WallClock, translate
from tests.unit.routing.scene import snapshot

LAME_DUCK_S = float(os.environ.get("ROUTEIQ_LAME_DUCK_SECONDS", "0"))
LIMIT_S = float(os.environ.get("ROUTEIQ_DRAIN_TIMEOUT_SECONDS", "30"))
ODD = os.environ.get("SUPERVISED", "")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind the edge."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    streamed = scope["path"] != "/plain"
    media = b"text/event-stream" if streamed else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media)]})
    if not streamed:
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
        return
    await send({"type": "http.response.body", "body": b"data: begun %d\n\n" % os.getpid(), "more_body": True})
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def edge() -> Edge:
    """The edge of one worker."""
    if ODD == "broken":
        raise SystemExit(7)
    clock, log = WallClock(), RecordingLog()
    flow = RequestFlow(SnapshotHolder(snapshot("smallest")), None, log, RecordingTelemetry(), clock, random.Random(1))

    async def nothing() -> None:
        """Nothing starts or stops here."""

    return Edge(
        inner,
        flow=flow,
        log=log,
        auth=FixedKeys({}),
        translate=translate,
        metrics=lambda: (b"", "text/plain"),
        on_startup=nothing,
        on_shutdown=nothing,
        drain=Drain(LAME_DUCK_S, LIMIT_S),
    )


def work(place: Place) -> None:
    """What a worker does."""
    serve(edge, place, "info")


def reload() -> None:
    """What is loaded again before workers are replaced; refuses when there is a file `bad`."""
    if Path("bad").exists():
        raise ValueError("this configuration is bad")


def main() -> None:
    """Run the workers, or one of them in this process."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig(level=logging.INFO, format="supervisor: %(message)s")
    listener = bound("127.0.0.1", port)
    if count == 1:
        work(Place(listener))
        return
    context = get_context("spawn") if ODD == "spawn" else get_context("fork")
    sys.exit(Supervisor(context, work, listener, count, LIMIT_S, reload).run())


if __name__ == "__main__":
    main()
