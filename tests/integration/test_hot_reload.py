"""A configuration that changes while the gateway serves is taken up without a dropped request, or refused."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from routeiq.testing.replay import ReplayProcess
from tests.integration.serving import KEY, Serving, free_port

pytestmark = pytest.mark.integration

AUTH = {"authorization": f"Bearer {KEY}"}
MODELS = ("sim-tiny", "sim-small", "sim-large")
CHANGES = 60


def config(provider: str, models: tuple[str, ...] = MODELS, strategy: str = "smallest", dearer: float = 1.0) -> Any:
    """LiteLLM's configuration with one virtual model over some models, dearer the further to the right."""

    def model(name: str, size: int) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_base": f"{provider}/v1", "api_key": "provider-key"}
        price = {"input_cost_per_token": size * 1e-8 * dearer, "output_cost_per_token": size * 1e-7 * dearer}
        return {"model_name": name, "litellm_params": {**at, **price}, "model_info": {"size": size}}

    ranks = dict.fromkeys(models, 1)
    group = {"group_name": "auto", "models": list(models), "routing_strategy": "priority", "model_priorities": ranks}
    return {
        "model_list": [model(name, size) for size, name in enumerate(models, 1)],
        "router_settings": {"routing_groups": [group], "num_retries": 0},
        "routeiq_settings": {"strategy": strategy, "embedder": {"kind": "none"}, "aliases": {"auto": {}}},
    }


@dataclass
class Running:
    """The gateway, the file it is configured by, and a steady load whose every failure is kept."""

    gateway: Serving
    provider: str
    path: Path
    failures: list[str] = field(default_factory=list)
    answered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def write(self, **changes: Any) -> None:
        """Replace the file by a rename, as editors and deployments do."""
        self.put(yaml.safe_dump(config(self.provider, **changes)))

    def put(self, text: str) -> None:
        new = self.path.with_name("config.new")
        new.write_text(text)
        os.replace(new, self.path)

    def ask(self, model: str = "auto", stream: bool = False) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "What is 7 times 8?"}], "stream": stream}
        return httpx.post(f"{self.gateway.url}/v1/chat/completions", json=body, headers=AUTH, timeout=60)

    def gateway_pid(self) -> psutil.Process:
        """The process that serves: where the disk is mounted for it alone, a child of what was started."""
        process = psutil.Process(self.gateway.process.pid)
        inside = [child for child in process.children(recursive=True) if "routeiq" in child.cmdline()]
        return inside[0] if inside else process

    def lines_of(self, decision: str) -> list[str]:
        """The log lines that name a decision."""
        deadline = time.monotonic() + 20
        while not (found := [line for line in self.gateway.lines if json.dumps(decision) in line]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found

    def sync(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.gateway.url}/_health/config-sync").json()
        return found

    def until(self, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the gateway says something of its configuration."""
        deadline = time.monotonic() + 60
        while not seen(found := self.sync()):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def accepted(self, change: Callable[[], None]) -> dict[str, Any]:
        before = self.sync()["accepted"]
        change()
        return self.until(lambda found: found["accepted"] > before and found["in_sync"])

    def rejected(self, change: Callable[[], None]) -> dict[str, Any]:
        before = self.sync()["rejected"]
        change()
        return self.until(lambda found: found["rejected"] > before)

    def load(self) -> None:
        """Ask until told to stop, streamed and not in turn."""
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                body: Any = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
                body["stream"] = bool(self.answered % 2)
                try:
                    answer = client.post(f"{self.gateway.url}/v1/chat/completions", json=body, headers=AUTH)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                whole = not body["stream"] or answer.text.rstrip().endswith("data: [DONE]")
                if answer.status_code != 200 or not whole:
                    self.failures.append(f"{answer.status_code} {answer.text[:300]}")
                self.answered += 1
                time.sleep(0.02)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("reload")
    settings = {"ROUTEIQ_RELOAD_INTERVAL": "0.2"}
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        gateway = Serving.start(config(provider.base_url), folder, free_port(), settings)
        found = Running(gateway, provider.base_url, folder / "config.yaml")
        load = threading.Thread(target=found.load, daemon=True)
        load.start()
        try:
            yield found
        finally:
            found._stop.set()
            load.join(30)
            gateway.stop()


@pytest.fixture(autouse=True)
def nothing_is_dropped(running: Running) -> Iterator[None]:
    """Whatever a test changes, the load beside it loses no request and no end of a stream."""
    answered = running.answered
    yield
    running.write()
    assert httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60).status_code == 200
    assert running.failures == []
    assert running.answered > answered


def test_a_strategy_takes_effect(running: Running) -> None:
    """The next decisions are by the new strategy, the version is another, and a line says so."""
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    before = running.sync()["version"]
    after = running.accepted(lambda: running.write(strategy="largest"))
    assert after["version"] != before
    answer = running.ask()
    assert (answer.headers["x-routeiq-model"], answer.headers["x-routeiq-strategy"]) == ("sim-large", "largest")
    status = httpx.get(f"{running.gateway.url}/routeiq/status", headers=AUTH).json()
    assert status["snapshot"] == after["version"]
    assert any("Config reloaded" in line for line in running.gateway.lines)


def test_models_come_and_go(running: Running) -> None:
    """A model that is added is called, one that is removed is not, and a new price is what the next call costs."""
    running.accepted(lambda: running.write(models=(*MODELS, "sim-code"), strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-code"
    assert running.ask("sim-code").status_code == 200
    running.accepted(lambda: running.write(models=MODELS[:2], strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-small"
    assert running.ask("sim-code").status_code in (400, 404)
    cost = float(running.ask().headers["x-litellm-response-cost"])
    running.accepted(lambda: running.write(models=MODELS[:2], strategy="largest", dearer=10.0))
    assert float(running.ask().headers["x-litellm-response-cost"]) == pytest.approx(10 * cost)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text + "\n  : [", "config_invalid"),
        (lambda text: text.replace("strategy: smallest", "strategi: smallest"), "unknown_key"),
        (lambda text: text.replace("strategy: smallest", "strategy: smalest"), "unknown_strategy"),
        (lambda text: text.replace("auto: {}", "auto: {candidates: [sim-medium]}"), "unknown_candidate"),
        (lambda text: text.replace("strategy: smallest", "strategy: knn\n  artifact: none.npz"), "artifact_invalid"),
    ],
    ids=["yaml", "key", "strategy", "candidate", "artifact"],
)
def test_a_bad_version_changes_nothing(running: Running, change: Callable[[str], str], reason: str) -> None:
    """The old version goes on, the reason is shown to everybody and the message to admins, and it is not retried."""
    before = running.sync()
    text = yaml.safe_dump(config(running.provider))
    assert change(text) != text
    found = running.rejected(lambda: running.put(change(text)))
    assert (found["state"], found["reason"], found["in_sync"]) == ("rejected", reason, False)
    assert found["version"] == before["version"]
    assert "message" not in found
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    forced = httpx.post(f"{running.gateway.url}/routeiq/reload?force=true", headers=AUTH)
    assert forced.status_code == 422
    assert "config.yaml" in forced.json()["message"]
    time.sleep(0.6)
    assert running.sync()["rejected"] == found["rejected"] + 1
    assert any("Config rejected" in line for line in running.gateway.lines)


def test_what_needs_a_restart_is_said(running: Running) -> None:
    """A change that this process cannot take up is named; the rest of the version serves."""
    wanted = config(running.provider, strategy="largest")
    wanted["general_settings"] = {"max_parallel_requests": 7}
    wanted["routeiq_settings"]["decision_log"] = False
    found = running.accepted(lambda: running.put(yaml.safe_dump(wanted)))
    assert set(found["restart_needed"]) == {"routeiq_settings.decision_log", "general_settings"}
    assert running.ask().headers["x-routeiq-model"] == "sim-large"


def test_a_nudge_looks_at_once(running: Running) -> None:
    """SIGHUP and the endpoint reload without waiting for the next look, and the endpoint takes a key."""
    before = running.sync()["accepted"]
    running.gateway_pid().send_signal(signal.SIGHUP)
    running.until(lambda found: found["accepted"] > before)
    assert httpx.post(f"{running.gateway.url}/routeiq/reload").status_code == 401
    running.write(strategy="largest")
    answer = httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH)
    assert (answer.status_code, answer.json()["in_sync"]) == (200, True)
    assert running.ask().headers["x-routeiq-model"] == "sim-large"


def test_the_version_before_is_put_back(running: Running) -> None:
    """Going back takes effect at once and lasts until the files change; only admins may, and only to what served."""
    before = running.sync()["version"]
    running.accepted(lambda: running.write(models=(*MODELS, "sim-code"), strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-code"
    url = f"{running.gateway.url}/routeiq/admin/rollback"
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={"to": "never"}, headers=AUTH).json()["error"]["code"] == "unknown_version"
    assert httpx.post(url, json={"two": 1}, headers=AUTH).status_code == 400
    answer = httpx.post(url, json={}, headers=AUTH)
    assert (answer.json()["state"], answer.json()["version"]) == ("rolled_back", before)
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    assert running.ask("sim-code").status_code in (400, 404)
    time.sleep(0.6)
    assert running.sync()["version"] == before


def test_many_changes_leave_nothing_behind(running: Running) -> None:
    """After many changes in a row memory has not grown, and requests are still called back once."""

    def change(number: int) -> None:
        running.write(strategy=("smallest", "largest")[number % 2], dearer=1.0 + number / 100)
        answer = httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60)
        assert answer.status_code == 200, answer.text

    for number in range(10):
        change(number)
    before = running.gateway_pid().memory_info().rss
    for number in range(CHANGES):
        change(number)
    assert running.gateway_pid().memory_info().rss < 1.05 * before
    decision = running.ask().headers["x-routeiq-decision-id"]
    told = [line for line in running.lines_of(decision) if '"message":"routing decision"' in line]
    assert len(told) == 1
