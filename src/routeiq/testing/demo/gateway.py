"""The gateway as a child process: LiteLLM's configuration for a pool of models, start, readiness, end.

Owns the child and its folder. The configuration is what an operator would write; nothing in it says demonstration.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from routeiq.config.environment import for_child
from routeiq.testing.demo.workload import Model

START_LIMIT_S = 180.0
STOP_LIMIT_S = 20.0
_TAIL_LINES = 25


class GatewayFailed(RuntimeError):
    """The gateway did not start; the text holds the end of its log."""


def configuration(
    models: Sequence[Model], upstream: str | None, alias: str, routing: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a LiteLLM configuration with one virtual model.

    `upstream` is an OpenAI-compatible provider that has all models, None for the models' own providers; `routing` is
    the section `routeiq_settings`.
    """
    return {
        "model_list": [_entry(model, upstream) for model in models],
        "litellm_settings": {"num_retries": 2, "request_timeout": 60},
        "router_settings": {
            "routing_groups": [
                {
                    "group_name": alias,
                    "models": [model.name for model in models],
                    "routing_strategy": "priority",
                    "model_priorities": {model.name: 1 for model in models},
                }
            ]
        },
        "routeiq_settings": dict(routing),
    }


def _entry(model: Model, upstream: str | None) -> dict[str, Any]:
    if upstream is None:
        parameters = {"model": model.provider_name, "api_key": f"os.environ/{model.key_variable}"}
    else:
        parameters = {"model": f"openai/{model.name}", "api_base": upstream, "api_key": "sk-replay"}
    prices = {
        "input_cost_per_token": model.usd_per_m_input / 1e6,
        "output_cost_per_token": model.usd_per_m_output / 1e6,
    }
    return {"model_name": model.name, "litellm_params": {**parameters, **prices}}


class GatewayProcess:
    """`routeiq serve` in a child process; a context manager."""

    def __init__(self, folder: Path, config: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self.key = (environment or {}).get("LITELLM_MASTER_KEY") or "sk-" + secrets.token_hex(16)
        self.port = _free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "gateway.log"
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "routeiq.testing.demo.child", str(os.getpid()), "serve", "--config", str(path)]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        variables = for_child({"LITELLM_MASTER_KEY": self.key, "ROUTEIQ_LAME_DUCK_SECONDS": "0", **(environment or {})})
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=variables, cwd=folder
            )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def wait_until_ready(self, limit_s: float = START_LIMIT_S) -> None:
        """Return when the gateway is ready; raises GatewayFailed when it ends, or is not within the limit."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise GatewayFailed(f"the gateway ended with status {self._process.returncode}:\n{self._tail()}")
            try:
                with urlopen(f"{self.base_url}/_health/ready", timeout=2.0) as answer:  # noqa: S310 - our loopback URL
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            time.sleep(0.2)
        raise GatewayFailed(f"the gateway was not ready within {limit_s:g} s:\n{self._tail()}")

    def stop(self) -> None:
        """End the child; may be called again."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._kill()
        except BaseException:  # who stops the demonstration twice wants it to end now
            self._kill()
            raise

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
