"""What production looks like, on one machine: two replicas behind nginx, Redis with sentinels, the replay provider.

Owns the configuration, the order of start and end, and the load that is put on it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeiq.testing.load import Fate, Load, Plan, Report, Sender
from routeiq.testing.replay import ReplayProcess
from tests.chaos.auth import key_of
from tests.chaos.replica import Replica
from tests.servers.nginx import Nginx, running_nginx
from tests.servers.ports import free_port
from tests.servers.redis import RedisSentinels, redis_servers

POOL = ("sim-mini", "sim-small", "sim-medium")
ANSWER_S = 0.15
"""How long the provider takes for an answer when a test says nothing else."""

SLOTS = 16
"""How many requests a worker has under way at most."""

WORKERS = 2
"""Of each replica."""

DRAIN_S = 90
"""Longer than the longest stream of a test and the lame-duck period: what the page on drains asks of an operator."""

MODEL_TIMEOUT_S = 8.0
"""After this a call to the provider is given up and the next candidate is tried."""


def configuration(provider: str) -> dict[str, Any]:
    """LiteLLM's configuration with our section: one alias over a pool that is asked in turn."""

    def model(name: str) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_base": f"{provider}/v1", "api_key": "sk-replay", "max_retries": 0}
        price = {"input_cost_per_token": 1e-7, "output_cost_per_token": 1e-6}
        return {"model_name": name, "litellm_params": {**at, **price, "timeout": MODEL_TIMEOUT_S}}

    ranks = dict.fromkeys(POOL, 1)
    group = {"group_name": "auto", "models": list(POOL), "routing_strategy": "priority", "model_priorities": ranks}
    return {
        "model_list": [model(name) for name in POOL],
        "router_settings": {
            "routing_groups": [group],
            "num_retries": 2,
            "retry_after": 0,
            "disable_cooldowns": True,
        },
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "custom_auth": "tests.chaos.auth.authenticate",
        },
        "routeiq_settings": {
            "aliases": {"auto": {"strategy": "round-robin"}},
            "limits": {
                "max_concurrent_requests": SLOTS,
                "max_queued_requests": SLOTS,
                "queue_timeout_s": 0.5,
                "teams": {"noisy": {"max_concurrent": 1}},
            },
        },
    }


@dataclass
class Topology:
    """Everything that runs. `url` is where clients go."""

    provider: ReplayProcess
    nginx: Nginx
    replicas: list[Replica]
    redis: RedisSentinels

    @property
    def url(self) -> str:
        """nginx."""
        return self.nginx.url

    def calm(self) -> None:
        """All servers are up, the provider has no faults and an empty journal, and answers take `ANSWER_S`."""
        self.provider.reset()
        for server in self.redis.servers:
            if server.process is None or server.process.poll() is not None:
                server.start()
        for replica in self.replicas:
            if replica.process is None or replica.process.poll() is not None:
                replica.kill()
                replica.start()
        for replica in self.replicas:
            replica.wait_until_ready()
            replica.warm_up()
        self.provider.reset()
        self.provider.fault("*", "pace", delay_s=ANSWER_S)


def teams(rate: float, *names: str, **changes: Any) -> list[Sender]:
    """Senders of the same rate, one for each team."""
    return [Sender(name, key_of(name), rate, **changes) for name in names or ("alpha", "beta")]


def steady(topology: Topology, seconds: float, rate: float = 10.0, url: str | None = None, **changes: Any) -> Load:
    """The steady load of two teams, streamed and plain, begun."""
    load = Load(Plan(teams(rate, **changes), seconds, timeout_s=60.0), url or topology.url)
    load.start()
    return load


def lost(report: Report) -> dict[str, object]:
    """What an operator counts after an incident."""
    counts: dict[str, object] = {"sent": len(report), "failed": report.count(Fate.FAILED)}
    counts["cut"] = report.count(Fate.CUT)
    reasons = report.reasons(Fate.FAILED, Fate.CUT)
    return {**counts, "reasons": reasons} if reasons else counts


async def aside(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Run something that blocks while the load goes on."""
    return await asyncio.to_thread(call, *arguments, **named)


@contextmanager
def running(
    folder: Path,
    *,
    workers: int = WORKERS,
    env: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Topology]:
    """Start everything, and end it afterwards; `settings` are added to the section of ours."""
    with ExitStack() as stack:
        provider = stack.enter_context(ReplayProcess.start(time_scale=float("inf")))
        redis = stack.enter_context(redis_servers(folder / "redis")).sentinels()
        shared = {"ROUTEIQ_REDIS_URL": redis.url, "ROUTEIQ_DRAIN_TIMEOUT_SECONDS": str(DRAIN_S), **(env or {})}
        config = configuration(provider.base_url)
        config["routeiq_settings"].update(settings or {})
        replicas = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            replica = Replica(folder / name, free_port(), workers, shared, small_disk=name == "two")
            replica.configure(config)
            stack.callback(replica.kill)
            replica.start()
            replicas.append(replica)
        for replica in replicas:
            replica.wait_until_ready()
        (folder / "nginx").mkdir()
        nginx = stack.enter_context(running_nginx([replica.address for replica in replicas], folder / "nginx"))
        yield Topology(provider, nginx, replicas, redis)
