"""One replica: `routeiq serve` as a child process that can be killed, stopped, started again, and run out of disk.

Owns its process, folder and port, which stay the same over restarts. The disk, where asked for, is a tmpfs in a mount
namespace of the child; where the machine does not allow that, a limit on the size of files takes its place.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import yaml

from tests.integration.proxy import ROOT
from tests.unit.adapters.sql.sqlite.test_outages import OWN_MOUNTS, can_mount

MASTER_KEY = "sk-chaos-master-5Kf8wZr3"
START_LIMIT_S = 240.0
DISK_BYTES = 12 << 20


@dataclass
class Replica:
    """A gateway process; `start` and the ways to end it may follow each other as often as a test likes."""

    folder: Path
    port: int
    workers: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    small_disk: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    mounted: bool = False
    _disk: int | None = None
    _warm: int | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What nginx is told."""
        return f"127.0.0.1:{self.port}"

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write its configuration; the outcome log goes to its disk unless the configuration has another."""
        (self.folder / "disk").mkdir(exist_ok=True)
        log = {"path": str(self.folder / "disk" / "outcomes.db")}
        ours = {"outcome_log": log, **config["routeiq_settings"]}
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**config, "routeiq_settings": ours}))

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        command = [sys.executable, "-m", "routeiq", "serve", "--config", str(self.folder / "config.yaml")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", str(self.workers)]
        self.mounted = self.small_disk and can_mount(self.folder / "disk")
        if self.mounted:
            inside = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && exec "$@"'
            command = [*OWN_MOUNTS, "sh", "-c", inside, str(self.folder / "disk"), *command]
        kept = ("LITELLM", "ROUTEIQ", "OPENAI", "ANTHROPIC", "REDIS", "DATABASE")
        own = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
        settings = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LITELLM_MASTER_KEY": MASTER_KEY}
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**own, **settings, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def wait_until_ready(self) -> None:
        """Return when it takes requests; fails with the end of its output."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            with contextlib.suppress(URLError, OSError), urlopen(f"{self.url}/_health/ready", timeout=5):
                self._open_disk()
                return
            time.sleep(0.1)
        raise AssertionError(f"replica {self.port} is not ready:\n{self.said()[-4000:]}")

    def warm_up(self) -> None:
        """Have each worker answer something: what LiteLLM loads at its first call is no part of any figure here."""
        if self._warm == self.pid():
            return
        self._warm = self.pid()
        message = {"role": "user", "content": "good morning"}
        for _ in range(4 * self.workers):
            self.ask("POST", "/v1/chat/completions", {"model": "auto", "messages": [message]})

    def said(self) -> str:
        """Everything it printed since the first start."""
        return (self.folder / "out").read_text(errors="replace")

    def pid(self) -> int:
        """The process id of the gateway, or of its supervisor."""
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """The processes that serve requests: the children of the supervisor, or the process itself."""
        if self.workers == 1:
            return [self.pid()]
        children = psutil.Process(self.pid()).children()
        return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask one of the gateway's own endpoints as the administrator."""
        headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, headers, method=method), timeout=20) as answer:
            return json.load(answer)

    def terminate(self, limit_s: float = 150.0) -> int:
        """Ask it to stop, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(limit_s)

    def kill(self) -> None:
        """End it and everything it started, at once; may be called again."""
        if self.process is None:
            return
        children = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
        # The supervisor first, so that it starts nothing again.
        self.process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()
        if self._disk is not None:
            os.close(self._disk)
            self._disk = None

    def fill_disk(self) -> None:
        """Leave no space for it to write files."""
        if self._disk is None:
            self._limit_files(1024)
            return
        place = Path(f"/proc/self/fd/{self._disk}/ballast")
        with place.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass

    def free_disk(self) -> None:
        """Give the space back."""
        if self._disk is None:
            self._limit_files(resource.RLIM_INFINITY)
            return
        Path(f"/proc/self/fd/{self._disk}/ballast").unlink()

    def keep(self, name: str, folder: Path) -> Path:
        """A copy of a file of its disk, where others can open it; empty when there is none."""
        disk = self.folder / "disk" if self._disk is None else Path(f"/proc/self/fd/{self._disk}")
        copy = folder / name
        copy.write_bytes((disk / name).read_bytes() if (disk / name).exists() else b"")
        return copy

    def _limit_files(self, size: int) -> None:
        for pid in {self.pid(), *self.worker_pids()}:
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size == resource.RLIM_INFINITY else size, hard))

    def _open_disk(self) -> None:
        if self.mounted and self._disk is None:
            # An open folder outlives the process whose mount it is in.
            self._disk = os.open(f"/proc/{self.pid()}/root{self.folder}/disk", os.O_RDONLY | os.O_DIRECTORY)
