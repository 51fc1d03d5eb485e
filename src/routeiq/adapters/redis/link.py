"""One worker's connections to Redis: made on first use, made again after a loss, never waited for beyond a bound.

Owns which client an address needs, how connections change over to another address, time limits, and the vendor's errors
as StateUnavailable. A step is sent once: what may be repeated is for the caller to know. A step that takes too long
goes on in the background, so that finding a new primary or a new slot map is not broken off at every bound.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any, Literal

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from routeiq.config.redis_url import RedisAddress
from routeiq.core.errors import StateUnavailable
from routeiq.guard.tasks import Errands, end

Script = Literal["put", "get", "changes", "put_alone", "add", "take", "acquire", "lock", "unlock"]
"""One file each in scripts/."""

CONNECT_S = 0.5
ANSWER_S = 2.0
"""How long a connection may take to be made and to answer; what waits for it may give up long before."""

AWAY_S = 0.2
"""For how long after a failure nothing more is sent."""

AT_ONCE = 32
UNDER_WAY = 512
"""How many steps may be on connections, and how many may exist, before more are refused."""

_LOST = (RedisError, RedisClusterException, OSError, TimeoutError)


@cache
def source(script: Script) -> tuple[str, str]:
    """Return a script's text and its SHA-1, by which Redis knows it."""
    text = resources.files("routeiq.adapters.redis").joinpath("scripts", f"{script}.lua").read_text(encoding="utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Sends commands and scripts to wherever an address leads. Belongs to one event loop."""

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._client: Redis | RedisCluster | None = None
        self._sentinels: Sentinel | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._away_until = float("-inf")
        self._subscribed = 0
        self._retiring = Errands()
        self.moves = 0

    def readdress(self, address: RedisAddress) -> None:
        """Send what comes from now on to another address, or with another password; what is under way ends as it began.

        `moves` counts these, so that whoever keeps a connection of its own makes it anew.
        """
        if address == self.address:
            return
        former, sentinels, under_way = self._client, self._sentinels, tuple(self._tasks)
        self.address, self._client, self._sentinels = address, None, None
        self._away_until = float("-inf")
        self.moves += 1
        self._retiring.start(self._retire(under_way, former, sentinels))

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes, bound_s: float) -> Any:
        """Return a script's answer; raises StateUnavailable."""
        return await self._bounded(lambda: self._run(script, keys, arguments), bound_s)

    async def execute(self, *words: str | bytes, bound_s: float) -> Any:
        """Return a command's answer; raises StateUnavailable."""
        return await self._bounded(lambda: self._connected().execute_command(*words), bound_s)

    def subscriber(self) -> Redis:
        """Return a client for a subscription, which the caller closes; in a cluster it leads to one node after another.

        What is published on any node of a cluster reaches all of them.
        """
        if self.address.kind != "cluster":
            return self._sentinel_client() if self.address.kind == "sentinel" else self._single_client()
        client = self._client
        known = client.get_nodes() if isinstance(client, RedisCluster) else []
        nodes = [(str(node.host), int(node.port)) for node in known]
        hosts = nodes or list(self.address.hosts)
        self._subscribed += 1
        host, port = hosts[self._subscribed % len(hosts)]
        return Redis(host=host, port=port, **self._options())

    async def close(self) -> None:
        """Break off what is under way and close the connections."""
        await end(*self._tasks)
        await self._retiring.end()
        client, self._client = self._client, None
        sentinels, self._sentinels = self._sentinels, None
        await _close(client, sentinels)

    async def _retire(
        self,
        under_way: "Collection[asyncio.Task[Any]]",
        client: Redis | RedisCluster | None,
        sentinels: Sentinel | None,
    ) -> None:
        """Close former connections when what was sent over them has been answered, or never will be."""
        try:
            if under_way:
                await asyncio.wait(under_way, timeout=CONNECT_S + ANSWER_S)
        finally:
            with suppress(*_LOST):
                await _close(client, sentinels)

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
        text, digest = source(script)
        client, count = self._connected(), str(len(keys))
        try:
            return await client.execute_command("EVALSHA", digest, count, *keys, *arguments)
        except NoScriptError:
            return await client.execute_command("EVAL", text, count, *keys, *arguments)

    async def _bounded(self, step: Callable[[], Any], bound_s: float) -> Any:
        if time.monotonic() < self._away_until:
            raise StateUnavailable(f"Redis at {self.address.shown} did not answer a moment ago")
        if len(self._tasks) >= UNDER_WAY:
            raise StateUnavailable(f"{UNDER_WAY} steps wait for Redis at {self.address.shown}")
        task = asyncio.create_task(self._in_turn(step))
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        done, _ = await asyncio.wait({task}, timeout=bound_s)
        if not done:
            self._away_until = time.monotonic() + AWAY_S
            raise StateUnavailable(f"Redis at {self.address.shown} did not answer within {bound_s * 1000:.0f} ms")
        try:
            return task.result()
        except ResponseError as error:
            raise StateUnavailable(f"Redis at {self.address.shown} refused: {str(error)[:120]}") from error
        except _LOST as error:
            self._away_until = time.monotonic() + AWAY_S
            raise StateUnavailable(f"Redis at {self.address.shown} is lost: {type(error).__name__}") from error

    async def _in_turn(self, step: Callable[[], Any]) -> Any:
        async with self._slots:
            return await step()

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    def _connected(self) -> Redis | RedisCluster:
        if self._client is None:
            kind = self.address.kind
            if kind == "cluster":
                nodes = [ClusterNode(host, port) for host, port in self.address.hosts]
                # A moved slot is noted by itself; redis-py's full refresh would cut what others have under way.
                own: dict[str, Any] = {
                    "max_connections": 2 * AT_ONCE,
                    "require_full_coverage": False,
                    "reinitialize_steps": 0,
                }
                self._client = RedisCluster(startup_nodes=nodes, **self._options(), **own)
            else:
                self._client = self._sentinel_client() if kind == "sentinel" else self._single_client()
        return self._client

    def _single_client(self) -> Redis:
        host, port = self.address.hosts[0]
        return Redis(host=host, port=port, db=self.address.db, **self._options())

    def _sentinel_client(self) -> Redis:
        if self._sentinels is None:
            given = {name: self.address.options.get(f"sentinel_{name}") for name in ("username", "password")}
            options = {**self._options(), **given}
            self._sentinels = Sentinel(self.address.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        client: Redis = self._sentinels.master_for(self.address.service, db=self.address.db, **self._options())
        return client

    def _options(self) -> dict[str, Any]:
        chosen = {name: value for name, value in self.address.options.items() if name.startswith("ssl_")}
        tls: dict[str, Any] = {"ssl": True, **chosen} if self.address.tls else {}
        return {
            "username": self.address.username,
            "password": self.address.password,
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": ANSWER_S,
            "retry": Retry(NoBackoff(), 0),
            "client_name": "routeiq",
            "protocol": 2,
            **tls,
        }


async def _close(client: Redis | RedisCluster | None, sentinels: Sentinel | None) -> None:
    if client is not None:
        await client.aclose()
    for sentinel in sentinels.sentinels if sentinels is not None else ():
        await sentinel.aclose()
