"""A gateway whose configuration changes while a steady load asks it.

Owns the configuration with one virtual model, the load, and waiting for what the gateway says of its configuration.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.integration.serving import KEY, Serving

AUTH = {"authorization": f"Bearer {KEY}"}
MODELS = ("sim-tiny", "sim-small", "sim-large")


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
        deadline = time.monotonic() + 60
        while not (found := [line for line in self.gateway.lines if json.dumps(decision) in line]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found

    def sync(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.gateway.url}/_health/config-sync", timeout=60).json()
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


@contextmanager
def under_load(gateway: Serving, provider: str, path: Path) -> Iterator[Running]:
    """Yield a gateway that is asked all the time; `path` is its configuration file. It is stopped at the end."""
    found = Running(gateway, provider, path)
    load = threading.Thread(target=found.load, daemon=True)
    load.start()
    try:
        yield found
    finally:
        found._stop.set()
        load.join(30)
        gateway.stop()
