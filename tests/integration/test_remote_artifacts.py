"""A gateway of two workers whose champion is named by a pointer in an object store: changed, refused, put back."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from routeiq.adapters.signing import SigningKey
from routeiq.core.artifact import Artifact, Manifest
from routeiq.routing import codec
from routeiq.testing.replay import ReplayProcess
from tests.contract.artifact_scene import pointer
from tests.integration.reloaded import AUTH, MODELS, Running, config, under_load
from tests.integration.serving import Serving, free_port
from tests.servers.redis import redis_servers
from tests.servers.relay import Relay, relay
from tests.servers.s3 import S3Server, environment, s3_server

pytestmark = pytest.mark.integration

OURS, STRANGER = SigningKey.generate(), SigningKey.generate()
IN_A_ROW = 8


def champion(best: str, signer: SigningKey | None = OURS, weight: int = 40_000) -> codec.Encoded:
    """An artifact for which one model is the best, heavy enough to be cut in the middle."""
    score = np.array([0.9 if name == best else 0.4 for name in MODELS])
    price = np.full(len(MODELS), 1e-6)
    arrays = {"prior_score": score, "prior_tokens": 50.0 + 0 * score, "input_price": price, "output_price": price}
    sealed = codec.seal(Artifact(Manifest("fixed", "", MODELS, "", ""), {**arrays, "ballast": np.zeros(weight)}))
    signature = None if signer is None else signer.sign(sealed.manifest)
    return codec.encode(replace(sealed, manifest=replace(sealed.manifest, signature=signature)))


@dataclass
class Scene:
    running: Running
    store: S3Server
    between: Relay
    cache: Path

    def upload(self, arrays: codec.Encoded) -> str:
        """Store an artifact under its version and return that."""
        version = str(json.loads(arrays.manifest)["version"])
        self.store.put(f"reg/{version}.npz", arrays.arrays)
        self.store.put(f"reg/{version}.json", arrays.manifest)
        return version

    def promote(self, arrays: codec.Encoded, **changes: Any) -> str:
        """Store an artifact, point to it and return its version."""
        version = self.upload(arrays)
        self.store.put("reg/champion.json", pointer(f"{version}.npz", arrays, **changes))
        return version

    def audited(self, kind: str) -> None:
        """Wait until an event of a kind is in the audit."""
        deadline = time.monotonic() + 60
        while not any(kind in path.read_text() for path in self.cache.with_name("audit").glob("*.jsonl")):
            assert time.monotonic() < deadline, kind
            time.sleep(0.05)

    def chosen(self) -> str:
        return self.running.ask().headers["x-routeiq-model"]

    def settled(self, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until whichever worker answers says something of its configuration."""
        deadline, row = time.monotonic() + 90, 0
        while row < IN_A_ROW:
            found = self.running.sync()
            row = row + 1 if seen(found) else 0
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def serves(self, model: str) -> None:
        """Wait until every worker chooses a model."""
        deadline, row = time.monotonic() + 90, 0
        while row < IN_A_ROW:
            row = row + 1 if self.chosen() == model else 0
            assert time.monotonic() < deadline, f"{self.chosen()}, {self.running.sync()}"

    def refused(self, reason: str) -> None:
        """Wait until every worker says why the newest version is refused, while the former one serves."""
        self.settled(lambda found: (found["state"], found["reason"]) == ("rejected", reason))
        assert {self.chosen() for _ in range(4)} == {"sim-large"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("artifacts")
    with (
        s3_server(folder) as store,
        redis_servers(tmp_path_factory.mktemp("redis")) as redis,
        relay(urlsplit(store.url).port or 0) as between,
        ReplayProcess.start(time_scale=1_000.0) as provider,
    ):
        first = champion("sim-tiny")
        store.put("reg/first.npz", first.arrays)
        store.put("reg/first.json", first.manifest)
        store.put("reg/champion.json", pointer("first.npz", first))
        wanted = config(provider.base_url, strategy="fixed")
        wanted["routeiq_settings"] |= {
            "artifact": f"s3://{store.bucket}/reg/champion.json",
            "artifact_cache": {"path": "cache", "lease_s": 5},
            "signatures": {"trusted_keys": [OURS.public], "required": True},
        }
        settings = {"ROUTEIQ_RELOAD_INTERVAL": "0.3", "ROUTEIQ_WORKERS": "2", "REDIS_URL": redis.single().url}
        settings |= environment(between.url)
        gateway = Serving.start(wanted, folder, free_port(), settings)
        with under_load(gateway, provider.base_url, folder / "config.yaml") as running:
            yield Scene(running, store, between, folder / "cache")


@pytest.fixture(autouse=True)
def nothing_is_dropped(scene: Scene) -> Iterator[None]:
    """Whatever a test changes, the load beside it loses nothing, and each begins with the same champion."""
    scene.promote(champion("sim-large"))
    scene.serves("sim-large")
    scene.settled(lambda found: found["state"] == "ok" and found["in_sync"] and found["source_ok"])
    yield
    assert scene.running.failures == []


def test_a_champion_is_fetched_once_and_shared(scene: Scene) -> None:
    """A new pointer changes what all workers choose; the arrays were asked for once, and both workers map them."""
    version = scene.promote(champion("sim-small", weight=41_000))
    scene.serves("sim-small")
    scene.settled(lambda found: found["in_sync"])
    assert sum(method == "GET" and f"{version}.npz" in path for method, path, _ in scene.between.asked) == 1
    process = psutil.Process(scene.running.gateway.process.pid)
    maps = [Path(f"/proc/{child.pid}/maps").read_text() for child in process.children(recursive=True)]
    kept = {path.parent.name for path in scene.cache.glob("content/*/artifact.npz")}
    shared = [{name for name in kept if name in text} for text in maps]
    assert sum(bool(found) for found in shared) >= 2
    assert any(f"is {version} now" in line for line in scene.running.gateway.lines)
    scene.audited("artifact.fetched")


def test_the_former_champion_can_be_put_back(scene: Scene) -> None:
    """The way back is the ordinary one, for all workers, and does not ask the store."""
    before = scene.running.sync()["version"]
    scene.promote(champion("sim-tiny", weight=42_000))
    scene.serves("sim-tiny")
    scene.settled(lambda found: before in found["former"])
    answer = httpx.post(
        f"{scene.running.gateway.url}/routeiq/admin/rollback", json={"to": before}, headers=AUTH, timeout=60
    )
    assert answer.status_code == 200, answer.text
    scene.serves("sim-large")
    assert scene.settled(lambda found: found["state"] == "rolled_back")["version"] == before


@pytest.mark.parametrize(
    ("best", "changes", "reason"),
    [
        (champion("sim-small", signer=STRANGER), {}, "artifact_signature"),
        (champion("sim-small", signer=None), {}, "artifact_signature"),
        (champion("sim-small"), {"sha256": "0" * 64}, "artifact_digest"),
        (champion("sim-small"), {"artifact": "https://elsewhere.example/fixed.npz"}, "artifact_invalid"),
    ],
    ids=["stranger", "unsigned", "other", "elsewhere"],
)
def test_a_wrong_champion_changes_nothing(
    scene: Scene, best: codec.Encoded, changes: dict[str, str], reason: str
) -> None:
    """Signed by nobody who is trusted, or not what the pointer says: the former one serves, and the reason is shown."""
    scene.promote(best, **changes)
    scene.refused(reason)


def test_tampered_and_truncated_arrays_change_nothing(scene: Scene) -> None:
    """Arrays that are not those of the manifest are refused, and taken when they have been mended."""
    best = champion("sim-small", weight=43_000)
    for arrays in (best.arrays[:-1] + b"x", best.arrays[:-5_000]):
        version = scene.upload(replace(best, arrays=arrays))
        scene.store.put("reg/champion.json", pointer(f"{version}.npz", best, note=str(len(arrays))))
        scene.refused("artifact_digest")
    scene.audited("artifact.refused")
    scene.promote(best)
    scene.serves("sim-small")


def test_a_download_that_is_cut_is_gone_on_with(scene: Scene) -> None:
    """A store that goes in the middle is said; when it is back, only the rest is read."""
    best = champion("sim-small", weight=44_000)
    scene.between.asked.clear()
    scene.between.cut = [200_000, *[1] * 40]
    scene.promote(best)
    scene.settled(lambda found: not found["source_ok"])
    assert scene.chosen() == "sim-large"
    scene.between.cut = []
    scene.serves("sim-small")
    reads = scene.between.reads()
    assert reads[0] == 0 < 100_000 < reads[-1]


def test_a_store_that_is_slow_keeps_nothing_up(scene: Scene) -> None:
    """While a download hangs the former champion serves, another part of the configuration changes and comes back."""
    scene.between.hold, scene.between.hold_after = threading.Event(), 100_000
    scene.between.holding.clear()
    try:
        scene.promote(champion("sim-small", weight=45_000))
        assert scene.between.holding.wait(60)
        before = scene.running.sync()
        text = scene.running.path.read_text()
        scene.running.put(text.replace("num_retries: 0", "num_retries: 1"))
        scene.settled(lambda found: found["in_sync"] and found["digest"] != before["digest"])
        assert scene.chosen() == "sim-large"
    finally:
        scene.between.hold_after = None
        scene.between.hold.set()
    scene.serves("sim-small")


def test_a_gateway_starts_without_its_store(scene: Scene) -> None:
    """Once the store is gone for good, workers serve and say so, and one that starts serves from the cache."""
    scene.store.stop()
    scene.settled(lambda found: not found["source_ok"] and found["state"] == "ok")
    assert scene.chosen() == "sim-large"
    main = scene.running.gateway_pid()
    before = {child.pid for child in main.children()}
    main.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + 90
    while before & {child.pid for child in main.children() if child.status() != psutil.STATUS_ZOMBIE}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    scene.serves("sim-large")
