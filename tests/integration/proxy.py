"""An unmodified LiteLLM proxy as a child process, in plugin mode: one environment variable and a configuration file.

Owns its start on a free port, the bounded wait until it is ready, its end by process id, and the journal in which
`tests.integration.seam_startup` writes what the flow was told.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

ROOT = Path(__file__).resolve().parents[2]
MASTER_KEY = "sk-integration-7Hq2vLw9"
START_LIMIT_S = 240.0
SETTLE_LIMIT_S = 60.0


@dataclass
class LiteLLMProxy:
    """A running proxy. `url` is its root."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    _seen: int = 0
    unreported: set[str] = field(default_factory=set)

    @classmethod
    def start(
        cls,
        python: Path,
        config: Mapping[str, Any],
        folder: Path,
        hooks: str = "tests.integration.seam_startup:install",
        env: Mapping[str, str] | None = None,
    ) -> Self:
        """Start `litellm --config` with an interpreter's LiteLLM; the proxy's output goes to `folder/log`."""
        (folder / "config.yaml").write_text(yaml.safe_dump(dict(config)))
        (folder / "journal").touch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = {k: v for k, v in os.environ.items() if not k.startswith(("LITELLM", "ROUTEIQ", "OPENAI", "ANTHROPIC"))}
        settings = {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "LITELLM_WORKER_STARTUP_HOOKS": hooks,
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "SEAM_FOLDER": str(folder),
            **(env or {}),
        }
        command = "import sys; from litellm.proxy.proxy_cli import run_server; sys.exit(run_server())"
        arguments = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        with (folder / "log").open("wb") as sink:
            process = subprocess.Popen(
                [str(python), "-c", command, *arguments],
                cwd=folder,
                env={**own, **settings},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        proxy = cls(f"http://127.0.0.1:{port}", process, folder)
        try:
            proxy._wait()
        except BaseException:
            proxy.stop()
            raise
        return proxy

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the proxy ended with status {self.process.returncode}:\n{self.log()}")
            try:
                with urlopen(f"{self.url}/health/readiness", timeout=5):
                    return
            except (URLError, TimeoutError, ConnectionError):
                time.sleep(0.2)
        raise RuntimeError(f"the proxy was not ready within {START_LIMIT_S:g} s:\n{self.log()}")

    def log(self) -> str:
        """The end of what the proxy printed."""
        return (self.folder / "log").read_text(errors="replace")[-6_000:]

    def entries(self, whole: bool = False) -> list[dict[str, Any]]:
        """What was written into the journal since the last `forget`, or ever."""
        lines = (self.folder / "journal").read_text().splitlines()
        return [json.loads(line) for line in lines[0 if whole else self._seen :]]

    def forget(self, unreported: bool = False) -> None:
        """Leave everything in the journal behind; `unreported` decisions are those whose end LiteLLM does not tell."""
        if unreported:
            self.unreported |= {entry["id"] for entry in self.entries() if entry["kind"] == "decision"}
        self._seen = len((self.folder / "journal").read_text().splitlines())

    def settle(self) -> None:
        """Wait until everything decided has ended and been logged; events arrive after the answer."""
        decided = {entry["id"] for entry in self.entries() if entry["kind"] == "decision"}
        self.wait_for("outcome", len(decided), lambda entry: entry["decision_id"] in decided)
        answered = [e for e in self.entries() if e["kind"] == "outcome" and e["status"] != "failure"]
        self.wait_for("spend_log", len(answered))

    def wait_for(self, kind: str, count: int = 1, matches: Callable[[Any], bool] = bool) -> list[dict[str, Any]]:
        """The journal's entries of a kind, as soon as there are `count`; events arrive after the answer."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while True:
            found = [e for e in self.entries() if e["kind"] == kind and matches(e)]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} {kind!r} in {self.entries()}\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process; may be called again."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def interpreter(which: str, newest: Callable[[], Path]) -> Path:
    """The interpreter with the oldest supported LiteLLM, which runs the tests, or with the newest."""
    return Path(sys.executable) if which == "oldest" else newest()
