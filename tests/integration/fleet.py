"""Two replicas of two workers that share a Redis, and one configuration each that can be changed while they serve.

Owns their start and end, the files, and the load that is put on both.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from routeiq.testing.load import Load, Plan, Sender
from routeiq.testing.replay import ReplayProcess
from tests.chaos.replica import MASTER_KEY, Replica
from tests.chaos.topology import configuration
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer, redis_servers

LIMIT_S = 120.0
WORKERS = 2


@dataclass
class Fleet:
    """What runs."""

    provider: ReplayProcess
    redis: RedisServer
    replicas: list[Replica]
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, which: int, strategy: str = "round-robin", **sections: Any) -> None:
        """Replace the configuration file of one replica by a rename."""
        wanted = {**self.config, **sections}
        wanted["routeiq_settings"] = {**self.config["routeiq_settings"], "aliases": {"auto": {"strategy": strategy}}}
        path = self.replicas[which].folder / "config.yaml"
        new = path.with_name("config.new")
        new.write_text(yaml.safe_dump(wanted))
        new.replace(path)

    def status(self, which: int = 0) -> dict[str, Any]:
        """What one of the workers of a replica says of all."""
        found: dict[str, Any] = self.replicas[which].ask("GET", "/routeiq/status")
        return found

    def until(self, seen: Callable[[dict[str, Any]], bool], which: int = 0) -> tuple[dict[str, Any], float]:
        """Wait until the status is as wanted; return it and how long that took."""
        begun = time.monotonic()
        while not seen(found := self.status(which)):
            assert time.monotonic() - begun < LIMIT_S, found
            time.sleep(0.05)
        return found, time.monotonic() - begun

    def all_serve(self, strategy: str) -> bool:
        """Whether the worker that answers uses this strategy and says that all agree."""
        return all(
            (found := self.status(which))["aliases"]["auto"]["strategy"] == strategy and found["agreement"]["settled"]
            for which in (0, 1)
        )

    def load(self, seconds: float, rate: float, streamed: float, prompt: str, which: int) -> Load:
        """An open-loop load on one replica, begun."""
        sender = Sender(f"team-{which}", MASTER_KEY, rate, streamed=streamed, prompt=prompt)
        load = Load(Plan([sender], seconds, timeout_s=120.0), self.replicas[which].url)
        load.start()
        return load


@contextmanager
def fleet(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Start everything, and end it afterwards."""
    with ExitStack() as stack:
        provider = stack.enter_context(ReplayProcess.start(time_scale=float("inf")))
        redis = stack.enter_context(redis_servers(folder / "redis")).single()
        config = configuration(provider.base_url)
        del config["general_settings"]["custom_auth"]
        config["routeiq_settings"] = {"aliases": {"auto": {"strategy": "round-robin"}}, "embedder": {"kind": "none"}}
        settings = {"ROUTEIQ_REDIS_URL": redis.url, "ROUTEIQ_LAME_DUCK_SECONDS": "0", **(env or {})}
        made = Fleet(provider, redis, [], config)
        for name in ("one", "two"):
            (folder / name).mkdir()
            replica = Replica(folder / name, free_port(), WORKERS, settings)
            made.replicas.append(replica)
            stack.callback(replica.kill)
            made.write(len(made.replicas) - 1)
            replica.start()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Replica.wait_until_ready, made.replicas))
        yield made


async def aside(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Run something that blocks while a load goes on."""
    return await asyncio.to_thread(call, *arguments, **named)
