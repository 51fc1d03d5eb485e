"""Real Redis servers for tests: one alone, a primary with a replica and three sentinels, a cluster of six.

Owns their start on free ports in a folder of the caller's, bounded waits until they can be used, and their end by
process id. Debian's `redis-server` and `redis-sentinel` (requirements/debian.txt) must be installed.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_LIMIT_S = 60.0
SERVICE = "routeiq"
"""The name under which the sentinels watch the primary."""


def free_port(below: int = 65_536) -> int:
    """Return a port that nobody listens on, under a bound where a second port is derived from it."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        if port < below:
            return port


def wait(done: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
    """Wait until something is so, or fail with what was waited for."""
    end = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {limit_s:.0f} s")
        time.sleep(0.02)


def installed() -> bool:
    """Return whether the servers' programs are here."""
    return all(shutil.which(name) for name in ("redis-server", "redis-sentinel", "redis-cli"))


@dataclass
class RedisServer:
    """One server process. Kill, freeze, thaw and start again as often as a test likes; the port stays."""

    folder: Path
    options: tuple[str, ...] = ()
    program: str = "redis-server"
    config: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address as RouteIQ and LiteLLM take it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "RedisServer":
        """Start it, on a free port the first time, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # A cluster node also listens on its port plus 10000.
        self.port = self.port or free_port(below=55_000)
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command = [self.program, *fixed, *self.options]
        if self.config:
            file = self.folder / "server.conf"
            if not file.exists():  # the server rewrites it as it learns
                file.write_text(self.config)
            command = [self.program, str(file), *fixed, *self.options]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait(lambda: self.ask("ping") == "PONG", f"an answer of {self.program} on port {self.port}")
        return self

    def ask(self, *command: str) -> str:
        """Return the plain text that redis-cli prints for a command, empty when the server does not answer."""
        cli = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *command]
        try:
            done = subprocess.run(cli, capture_output=True, text=True, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip()

    def kill(self) -> None:
        """End it at once, as a crash does; what it had not written is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@dataclass
class RedisSentinels:
    """A primary and a replica watched by three sentinels, which agree on a fail-over within about two seconds."""

    servers: list[RedisServer]
    sentinels: list[RedisServer]

    @property
    def url(self) -> str:
        """The sentinels' addresses and the service."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + f"/{SERVICE}"

    def primary(self) -> RedisServer:
        """The server that the sentinels name, as soon as it says so itself."""
        port = self.sentinels[-1].ask("sentinel", "get-master-addr-by-name", SERVICE).split()[-1]
        return next(server for server in self.servers if str(server.port) == port)

    def fail_over(self) -> None:
        """Kill the primary and wait until the other server has taken over."""
        gone = self.primary()
        gone.kill()
        wait(lambda: self.primary() is not gone and self.primary().ask("role").startswith("master"), "the fail-over")


@dataclass
class RedisCluster:
    """Six nodes: three primaries, each with a replica."""

    nodes: list[RedisServer]

    @property
    def url(self) -> str:
        """The addresses of three of them; the others are found."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def alive(self) -> list[RedisServer]:
        """The nodes whose process runs."""
        return [node for node in self.nodes if node.process is not None and node.process.poll() is None]

    def primary_of(self, key: str) -> RedisServer:
        """The node that answers for a key now."""
        asked = self.alive()[-1]
        slot = int(asked.ask("cluster", "keyslot", key))
        for line in asked.ask("cluster", "nodes").splitlines():
            words = line.split()
            if "master" in words[2] and "fail" not in words[2] and any(_holds(span, slot) for span in words[8:]):
                port = words[1].split("@")[0].rsplit(":", 1)[1]
                return next(node for node in self.nodes if str(node.port) == port)
        raise LookupError(f"no node answers for slot {slot}")

    def fail_over(self, key: str) -> None:
        """Kill the primary that holds a key and wait until its replica has taken over."""
        gone = self.primary_of(key)
        gone.kill()

        def promoted() -> bool:
            try:
                return self.primary_of(key) is not gone and self.healthy()
            except (LookupError, ValueError):
                return False

        wait(promoted, "the promotion of a replica")

    def healthy(self) -> bool:
        """Whether every node that runs says that all slots are served."""
        return all("cluster_state:ok" in node.ask("cluster", "info") for node in self.alive())


def _holds(span: str, slot: int) -> bool:
    if span.startswith("["):
        return False
    first, _, last = span.partition("-")
    return int(first) <= slot <= int(last or first)


@dataclass
class RedisServers:
    """Starts servers below a folder and ends all of them with `close`."""

    folder: Path
    started: list[RedisServer] = field(default_factory=list)

    def single(self, *options: str, durable: bool = False) -> RedisServer:
        """Start one server; a durable one has every write on disk before it answers, and survives a kill."""
        kept = ("--appendonly", "yes", "--appendfsync", "always") if durable else ("--appendonly", "no")
        return self._start(RedisServer(self._next(), ("--save", "", *kept, *options)))

    def sentinels(self) -> RedisSentinels:
        """Start a primary, its replica and three sentinels, and wait until they all know each other."""
        at_once = ("--repl-diskless-sync-delay", "0")
        primary = self.single(*at_once)
        replica = self.single(*at_once, "--replicaof", f"127.0.0.1 {primary.port}")
        wait(lambda: "master_link_status:up" in replica.ask("info", "replication"), "the replica's first copy")
        config = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 800\n"
            f"sentinel failover-timeout {SERVICE} 4000\n"
            f"sentinel parallel-syncs {SERVICE} 1\n"
        )
        watching = [self._start(RedisServer(self._next(), (), "redis-sentinel", config)) for _ in range(3)]

        def complete(sentinel: RedisServer) -> bool:
            words = sentinel.ask("sentinel", "master", SERVICE).split()
            return all(
                name in words and words[words.index(name) + 1] == count
                for name, count in (("num-slaves", "1"), ("num-other-sentinels", "2"))
            )

        for sentinel in watching:
            wait(lambda sentinel=sentinel: complete(sentinel), "the sentinels' agreement")  # type: ignore[misc]
        return RedisSentinels([primary, replica], watching)

    def cluster(self) -> RedisCluster:
        """Start six nodes, join them and wait until every replica has its copy."""
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-config-file", "nodes.conf")
        nodes = [self.single("--repl-diskless-sync-delay", "0", *options) for _ in range(6)]
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        join = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(join, check=True, capture_output=True, timeout=START_LIMIT_S)
        cluster = RedisCluster(nodes)
        wait(cluster.healthy, "the cluster's agreement")

        def copied(node: RedisServer) -> bool:
            told = node.ask("info", "replication")
            return "role:master" in told or "master_link_status:up" in told

        for node in nodes:
            wait(lambda node=node: copied(node), "the replicas' first copies")  # type: ignore[misc]
        return cluster

    def close(self) -> None:
        """End every server that was started, frozen ones too."""
        for server in reversed(self.started):
            server.kill()

    def _next(self) -> Path:
        return self.folder / f"redis-{len(self.started)}"

    def _start(self, server: RedisServer) -> RedisServer:
        self.started.append(server)
        return server.start()


@contextmanager
def redis_servers(folder: Path) -> Iterator[RedisServers]:
    """Servers for as long as the block runs; skips where they are not installed, which CI does not allow."""
    if not installed():
        pytest.skip("redis-server is not here; run scripts/bootstrap debian")
    servers = RedisServers(folder)
    try:
        yield servers
    finally:
        servers.close()
