"""A gateway whose configuration and artifacts are in an object store."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from routeiq.testing.replay import ReplayProcess
from tests.integration.reloaded import AUTH, Running, config, under_load
from tests.integration.serving import Serving, free_port
from tests.servers.s3 import S3Server, s3_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def running(store: S3Server, tmp_path: Path) -> Iterator[Running]:
    """A gateway that was started with nothing but an address, under load."""
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        store.put("eu/config.yaml", yaml.safe_dump(config(provider.base_url)))
        settings = {"ROUTEIQ_RELOAD_INTERVAL": "0.3", "ROUTEIQ_CONFIG_SOURCE": f"s3://{store.bucket}/eu", **store.env}
        gateway = Serving.start({}, tmp_path, free_port(), settings)
        with under_load(gateway, provider.base_url, tmp_path / "config.yaml") as found:
            yield found


def test_an_object_that_changes_changes_the_gateway(running: Running, store: S3Server) -> None:
    """A new version is fetched and taken up, a bad one refused, and a store that is gone leaves all as it is."""
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    largest = yaml.safe_dump(config(running.provider, strategy="largest"))
    running.accepted(lambda: store.put("eu/config.yaml", largest))
    assert running.ask().headers["x-routeiq-model"] == "sim-large"
    refused = running.rejected(lambda: store.put("eu/config.yaml", "routeiq_settings: [}"))
    assert (refused["reason"], refused["source_ok"]) == ("config_invalid", True)
    running.accepted(lambda: store.put("eu/config.yaml", yaml.safe_dump(config(running.provider))))
    store.stop()
    assert running.until(lambda found: not found["source_ok"])["state"] == "ok"
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    forced = httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60).json()
    assert "s3://gateway/eu" in forced["source_error"]
    ready = httpx.get(f"{running.gateway.url}/_health/ready", timeout=60).json()
    assert ready["checks"]["object_store"] == "source_unavailable"
    assert running.failures == []
    assert running.answered > 0


def test_the_sidecar_fetches_once(tmp_path: Path) -> None:
    """`routeiq sync --once` brings a folder, and says what it brought; a second run has nothing to do."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "config.yaml").write_text("model_list: []\n")

    def sync() -> str:
        command = [sys.executable, "-m", "routeiq", "sync", "--source", str(tmp_path / "from")]
        command += ["--dest", str(tmp_path / "to"), "--once"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "config.yaml" in sync()
    assert (tmp_path / "to" / "config.yaml").read_text() == "model_list: []\n"
    assert sync() == ""
