"""LiteLLM's proxy inside the edge, with the real hook and LiteLLM's own keys; models answer by themselves."""

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from routeiq.adapters.litellm import host, refusals, translate
from routeiq.adapters.litellm.access import Access, KeyAuthenticator
from routeiq.adapters.litellm.hook import RouteIQHook
from routeiq.core.candidate import Candidate
from routeiq.core.request import Caller, RouteRequest, Surface
from routeiq.flow import RequestFlow
from routeiq.http.edge import Edge
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import RecordingLog, RecordingTelemetry

MASTER_KEY = "sk-integration-7Hq2vLw9"
ALIASES = {"auto": ["small", "medium", "large"], "doomed": ["limited"]}
CONFIG = {
    "model_list": [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}-upstream", "api_key": "x", "mock_response": answer},
        }
        for name, answer in [*((name, "hello") for name in ALIASES["auto"]), ("limited", "litellm.RateLimitError")]
    ],
    "router_settings": {
        "num_retries": 0,
        "routing_groups": [
            {
                "group_name": alias,
                "models": names,
                "routing_strategy": "priority",
                "model_priorities": dict.fromkeys(names, 1),
            }
            for alias, names in ALIASES.items()
        ],
    },
}


class WallClock:
    """The time of the machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def asked(body: Mapping[str, Any], headers: Mapping[str, str], caller: Caller) -> RouteRequest:
    """Read the body of a dry run as LiteLLM's hooks would see it."""
    data = {**body, "proxy_server_request": {"headers": dict(headers)}}
    return replace(translate.request(data, host.resolve(body["model"]), Surface.CHAT, "preview"), caller=caller)


def picture() -> Snapshot:
    """One route per alias; the smallest model first."""
    pools = {
        alias: tuple(Candidate(name, size=i + 1) for i, name in enumerate(names)) for alias, names in ALIASES.items()
    }
    tables = {alias: CandidateTable(pool) for alias, pool in pools.items()}
    chosen = recipe("smallest")
    return Snapshot("v1", {a: Route(a, table, build(chosen, table, None, Tuning())) for a, table in tables.items()})


def app() -> Edge:
    """Return the application; called by the server, which has set CONFIG_FILE_PATH."""
    inner = host.load_app()
    clock, log, telemetry = WallClock(), RecordingLog(), RecordingTelemetry()
    flow = RequestFlow(SnapshotHolder(picture()), None, log, telemetry, clock, random.Random(1))
    access = Access(clock, telemetry.failed)

    async def start() -> None:
        host.register(RouteIQHook(flow, access))

    return Edge(
        inner,
        flow=flow,
        log=log,
        auth=KeyAuthenticator(access),
        translate=asked,
        worded=refusals.worded,
        metrics=lambda: (b"", "text/plain"),
        on_startup=start,
        on_shutdown=log.close,
        status=lambda: {"swallowed": [f"{where}: {error!r}" for where, error in telemetry.failures]},
    )
