"""Production that is configured from an object store: two replicas of two workers behind nginx, Redis, and S3.

Owns what stands in the store, and how a test sees what each of the four workers makes of it. The clock of the second
replica is an hour ahead, always: nothing here may compare the times of two machines.
"""

import asyncio
import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import psutil
import yaml

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.cli.app import run
from routeiq.core.artifact import Artifact
from routeiq.learn import knn
from routeiq.routing.embedding import load_default
from routeiq.testing.load import Load, Plan
from routeiq.testing.replay import ReplayProcess
from tests.chaos.line import Line, line, skew
from tests.chaos.replica import MASTER_KEY, Replica
from tests.chaos.topology import ANSWER_S, POOL, aside, configuration, teams
from tests.integration.proxy import ROOT
from tests.servers.nginx import Nginx, running_nginx
from tests.servers.ports import free_port
from tests.servers.redis import redis_servers
from tests.servers.s3 import S3Server, s3_server
from tests.unit.learn.scene import world

SKEW_S = 3_600.0
PATIENCE_S = 120.0
WORKERS = 4
RATE = 4.0
"""Requests per second of each of the two teams."""

Said = Mapping[str, Any]
"""What a worker says of itself."""


@dataclass
class Site:
    """Everything that runs, and the configuration as it stands in the store."""

    provider: ReplayProcess
    nginx: Nginx
    replicas: list[Replica]
    s3: S3Server
    line: Line
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> None:
        """Store an object, now and whenever the store comes back empty."""
        self.objects[name] = content
        self.s3.put(f"eu/{name}", content)

    def write(self, change: Callable[[dict[str, Any]], object] | None = None) -> None:
        """Store the configuration, changed."""
        wanted = copy.deepcopy(self.config)
        if change is not None:
            change(wanted)
        self.put("config.yaml", yaml.safe_dump(wanted).encode())

    def artifact(self, seed: int, key: str = "signing") -> dict[str, bytes]:
        """A router that was trained and signed: the two objects of it."""
        path = self.folder / f"{key}-{seed}.npz"
        if not path.exists():
            FileArtifactStore().save(str(path), trained(seed))
            with redirect_stdout(StringIO()):
                assert run(["admin", "sign", str(path), "--key", str(self.folder / f"{key}.pem")]) == 0
        return {f"router{end}": path.with_suffix(end).read_bytes() for end in (".npz", ".json")}

    def restock(self) -> None:
        """Put everything into a store that is empty."""
        for name, content in self.objects.items():
            self.s3.put(f"eu/{name}", content)

    def workers(self) -> list[Said]:
        """What each of the four workers says of itself, as the first replica has heard it."""
        found: list[Said] = self.replicas[0].ask("GET", "/routeiq/status")["workers"]
        return found

    def reload(self) -> None:
        """Have all look now, by asking one of them through nginx, whatever they find."""
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        request = Request(f"{self.nginx.url}/routeiq/reload", b"", headers, method="POST")
        try:
            with urlopen(request, timeout=60) as answer:
                json.load(answer)
        except OSError as error:
            if getattr(error, "code", None) != 422:  # some worker refuses what it found
                raise

    def chat(self, model: str = "auto") -> tuple[int, Mapping[str, str]]:
        """Status and headers of a chat completion through nginx."""
        body = {"model": model, "messages": [{"role": "user", "content": "Which river is the longest?"}]}
        headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
        try:
            with urlopen(
                Request(f"{self.nginx.url}/v1/chat/completions", json.dumps(body).encode(), headers), timeout=60
            ) as answer:
                answer.read()
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        except OSError as error:
            return int(getattr(error, "code", 0)), {}

    def sync(self) -> list[Said]:
        """What /_health/config-sync says at each replica, at whichever worker."""
        return [replica.ask("GET", "/_health/config-sync") for replica in self.replicas]

    def models(self) -> list[str]:
        """The deployments that LiteLLM has at each replica, by name, sorted."""
        found = [replica.ask("GET", "/model/info")["data"] for replica in self.replicas]
        return sorted(str(model["model_name"]) for models in found for model in models)

    def pids(self) -> list[int]:
        """The process ids of the four workers."""
        return [pid for replica in self.replicas for pid in replica.worker_pids()]

    def held(self) -> dict[int, tuple[int, int, int]]:
        """Memory in bytes, threads and open files of each worker."""
        processes = [psutil.Process(pid) for pid in self.pids()]
        return {p.pid: (p.memory_info().rss, p.num_threads(), p.num_fds()) for p in processes}

    def load(self) -> Load:
        """The steady load of two teams, streamed and plain, begun; it ends when it is stopped."""
        load = Load(Plan(teams(RATE), 900.0, timeout_s=60.0), self.nginx.url)
        load.start()
        return load

    async def until(self, so: Callable[[list[Said]], bool], what: str) -> float:
        """Wait until the workers say so, and return the seconds that took."""
        begun = time.monotonic()
        while True:
            found = await aside(self.workers)
            if len(found) == WORKERS and so(found):
                return time.monotonic() - begun
            assert time.monotonic() - begun < PATIENCE_S, (what, found, self.sync())
            await asyncio.sleep(0.05)

    async def settled(self, besides: str | None = None) -> tuple[float, float]:
        """Wait until all serve one version (`besides` another), and return when the first and when the last did."""
        begun = time.monotonic()
        await self.until(lambda said: any(one["snapshot"] != besides for one in said), "the first worker")
        first = time.monotonic() - begun
        await self.until(lambda said: agreed(said) and said[0]["snapshot"] != besides, "all workers")
        return first, time.monotonic() - begun

    async def calm(self) -> str:
        """Have the configuration in the store be the good one, and return the version that all serve then."""
        self.line.cut_after, self.line.skew_s = None, 0.0
        for name, content in self.artifact(0).items():
            self.put(name, content)
        self.write()
        await aside(self.reload)
        await self.until(agreed, "all workers are well")
        return str((await aside(self.workers))[0]["snapshot"])


def agreed(said: list[Said]) -> bool:
    """Whether all serve one version, and want no other."""
    well = all(one["state"] == "ok" and one["seen"] == one["digest"] for one in said)
    return well and len({(one["snapshot"], one["digest"]) for one in said}) == 1


def trained(seed: int) -> Artifact:
    """A router over the pool of the chaos tests, of about a third of a megabyte."""
    matrix, embedder = world(300, seed), load_default()
    vectors = np.random.default_rng(seed).standard_normal((len(matrix), embedder.dimensions)).astype(np.float32)
    renamed = dict(zip(matrix.models, POOL, strict=True))
    made = knn.fit(matrix, vectors, embedder.id)
    candidates = tuple(renamed[model] for model in made.manifest.candidates)
    return replace(made, manifest=replace(made.manifest, candidates=candidates))


def settings(provider: str, public: str) -> dict[str, Any]:
    """The configuration that all begin with."""
    config = configuration(provider)
    config["routeiq_settings"] |= {
        "aliases": {"auto": {"strategy": "knn", "exploration": {"epsilon": 0.3}}},
        "artifact": "router.npz",
        "signatures": {"trusted_keys": [public], "required": True},
        "outcome_log": {"path": "outcomes.db"},
    }
    del config["routeiq_settings"]["limits"]
    return config


@contextmanager
def configured(folder: Path, interval_s: float) -> Iterator[Site]:
    """Start everything, and end it afterwards; the gateways look into the store every so many seconds."""
    (folder / "ahead").mkdir()
    (folder / "ahead" / "sitecustomize.py").write_text(skew(SKEW_S))
    with ExitStack() as stack:
        provider = stack.enter_context(ReplayProcess.start(time_scale=float("inf")))
        redis = stack.enter_context(redis_servers(folder / "redis")).single()
        s3 = stack.enter_context(s3_server(folder))
        between = stack.enter_context(line(int(s3.url.rpartition(":")[2])))
        with redirect_stdout(StringIO()) as printed:
            for key in ("stranger", "signing"):
                assert run(["admin", "keygen", "--output", str(folder / f"{key}.pem")]) == 0
        public = printed.getvalue().split()[-1]
        env = {**s3.env, "AWS_ENDPOINT_URL_S3": between.url, "ROUTEIQ_CONFIG_SOURCE": f"s3://{s3.bucket}/eu"}
        env |= {"ROUTEIQ_REDIS_URL": redis.url, "ROUTEIQ_RELOAD_INTERVAL": f"{interval_s:g}"}
        replicas = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            path = os.pathsep.join(str(part) for part in (folder / "ahead", ROOT / "src", ROOT))
            own = {**env, "PYTHONPATH": path} if name == "two" else env
            replicas.append(Replica(folder / name, free_port(), 2, own))
        (folder / "nginx").mkdir()
        nginx = stack.enter_context(running_nginx([replica.address for replica in replicas], folder / "nginx"))
        site = Site(provider, nginx, replicas, s3, between, folder, settings(provider.base_url, public))
        for name, content in site.artifact(0).items():
            site.put(name, content)
        site.write()
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
            replica.warm_up()
        provider.fault("*", "pace", delay_s=ANSWER_S)
        yield site
