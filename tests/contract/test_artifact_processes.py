"""Many processes, hosts and mishaps around one artifact: real processes, a real S3 server, a real Redis."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from routeiq.config.artifact_cache import ArtifactCache
from tests.contract.artifact_scene import BYTES, encoded
from tests.servers.redis import RedisServers, redis_servers, wait
from tests.servers.relay import Relay, relay
from tests.servers.s3 import S3Server, environment, s3_server

ONE, TWO = encoded(1), encoded(2)
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120


@dataclass
class Store:
    """An S3 server with its log of requests, a relay in front of it, and a Redis."""

    server: S3Server
    log: Path
    redis: str
    between: Relay

    def put(self, name: str, arrays: object) -> None:
        self.server.put(f"{name}.npz", arrays.arrays)
        self.server.put(f"{name}.json", arrays.manifest)

    def reads(self, name: str) -> int:
        """How often the server was asked for an object, by its own log."""
        return sum(f'"GET /{self.server.bucket}/{name} ' in line for line in self.log.read_text().splitlines())

    def start(self, root: Path, name: str, *, lease_s: float = 30.0, alone: bool = False) -> "subprocess.Popen[str]":
        """Start a process that waits for a word before it fetches."""
        address, redis = f"s3://{self.server.bucket}/{name}", "" if alone else self.redis
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.fetching_process", str(root), address, str(lease_s), "60", redis],
            cwd=ROOT,
            env={**os.environ, **environment(self.between.url), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return process


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path, RedisServers]]:
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as server, redis_servers(tmp_path_factory.mktemp("redis")) as redis:
        yield server, folder / "s3.log", redis


@pytest.fixture
def store(servers: tuple[S3Server, Path, RedisServers]) -> Iterator[Store]:
    server, log, redis = servers
    with relay(urlsplit(server.url).port or 0) as between:
        yield Store(server, log, redis.single().url, between)


def begun(*processes: "subprocess.Popen[str]") -> None:
    """Let processes begin together, once all are ready to."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def ended(*processes: "subprocess.Popen[str]") -> list[str]:
    """What processes said in the end."""
    return [process.communicate(timeout=LIMIT_S)[0].strip() for process in processes]


@pytest.mark.parametrize(("count", "alone"), [(8, False), (3, True)], ids=["redis", "no redis"])
def test_processes_of_a_host_download_once(store: Store, tmp_path: Path, count: int, alone: bool) -> None:
    """However many start together, the server is asked for the arrays once; all have them in the end."""
    name = f"together-{alone}"
    store.put(name, ONE)
    processes = [store.start(tmp_path, f"{name}.npz", alone=alone) for _ in range(count)]
    begun(*processes)
    assert ended(*processes) == ["has knn-1"] * count
    assert (store.reads(f"{name}.npz"), store.reads(f"{name}.json")) == (1, 1)


def test_hosts_download_one_after_another(store: Store, tmp_path: Path) -> None:
    """Hosts with disks of their own are admitted one at a time, and each reads the arrays once."""
    store.put("hosts", ONE)
    processes = [store.start(tmp_path / str(host), "hosts.npz") for host in range(3)]
    begun(*processes)
    assert ended(*processes) == ["has knn-1"] * 3
    assert (store.reads("hosts.npz"), store.between.most_at_once) == (3, 1)


def test_a_lease_is_renewed_while_it_is_needed(store: Store, tmp_path: Path) -> None:
    """A download may take longer than a lease: nobody else begins one as long as its holder lives."""
    store.put("long", ONE)
    store.between.hold_after = BYTES // 2
    first = store.start(tmp_path / "one", "long.npz", lease_s=1.0)
    begun(first)
    assert store.between.holding.wait(LIMIT_S)
    second = store.start(tmp_path / "two", "long.npz", lease_s=1.0)
    begun(second)
    heads = len(store.between.asked)
    wait(lambda: len(store.between.asked) > heads + 1, "the second host looked")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(4.0)
    assert store.reads("long.npz") == 1
    store.between.hold.set()
    assert ended(first, second) == ["has knn-1", "has knn-1"]
    assert store.between.most_at_once == 1


def test_a_holder_that_is_killed_is_replaced(store: Store, tmp_path: Path) -> None:
    """After the lease another process goes on, on the same host where the dead one was cut off."""
    store.put("killed", ONE)
    store.between.hold_after = BYTES // 2
    first = store.start(tmp_path, "killed.npz", lease_s=2.0)
    begun(first)
    wait(lambda: any(part.stat().st_size for part in tmp_path.glob("at/*/parts/*")), "something was written")
    first.kill()
    first.communicate(timeout=LIMIT_S)
    store.between.hold_after = None
    store.between.hold.set()
    second = store.start(tmp_path, "killed.npz", lease_s=2.0)
    begun(second)
    assert ended(second) == ["has knn-1"]
    assert 0 == store.between.reads()[0] < store.between.reads()[-1]


@pytest.mark.parametrize("alone", [False, True], ids=["redis", "no redis"])
def test_a_holder_that_stood_still_overwrites_nothing(store: Store, tmp_path: Path, alone: bool) -> None:
    """One that was stopped for longer than its lease is replaced, and when it goes on the newer version stays."""
    name = f"still-{alone}"
    store.put(name, ONE)
    store.between.hold_after = BYTES // 2
    first = store.start(tmp_path, f"{name}.npz", lease_s=1.0, alone=alone)
    begun(first)
    assert store.between.holding.wait(LIMIT_S)
    first.send_signal(signal.SIGSTOP)
    try:
        store.put(name, TWO)
        store.between.hold_after = None
        second = store.start(tmp_path, f"{name}.npz", lease_s=1.0, alone=alone)
        begun(second)
        assert ended(second) == ["has knn-2"]
        store.between.hold.set()
    finally:
        first.send_signal(signal.SIGCONT)
    assert ended(first) == ["has knn-2"]
    cache = ArtifactCache(tmp_path, 1)
    assert cache.state(f"s3://{store.server.bucket}/{name}.npz").version == "knn-2"
