"""nginx with the shipped configuration, as a child process on a free port in a folder of its own.

Owns the start, the end by process id, and the access log. What is configured is deploy/nginx/nginx.conf.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.servers.ports import free_port, wait_for_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "nginx"
START_LIMIT_S = 60.0


def missing() -> str | None:
    """What to do when nginx is not on this machine, else None."""
    return None if shutil.which("nginx") else "nginx is not installed; run scripts/bootstrap debian"


def renderer() -> ModuleType:
    """deploy/nginx/render.py as a module."""
    spec = importlib.util.spec_from_file_location("render", DEPLOY / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Nginx:
    """A running nginx; `url` is its root."""

    url: str
    process: "subprocess.Popen[bytes]"
    folder: Path

    def requests(self) -> list[dict[str, Any]]:
        """The access log, oldest first."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def reload(self) -> None:
        """Read the configuration again, as after a change of certificates."""
        self.process.send_signal(signal.SIGHUP)

    def said(self) -> str:
        """What stands in its error log."""
        return (self.folder / "err").read_text()


@contextmanager
def running_nginx(replicas: Sequence[str], folder: Path, tls: tuple[str, str] | None = None) -> Iterator[Nginx]:
    """Run the shipped configuration over these replicas (`host:port`, two or more) and end it afterwards."""
    port = free_port()
    text = renderer().render(replicas, f"127.0.0.1:{port}", tls)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    if os.geteuid() == 0:
        # The folder of a test belongs to root alone, and nginx would serve as somebody else.
        command += ["-g", "user root;"]
    with (folder / "err").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    try:
        wait_for_port(port, START_LIMIT_S, lambda: process.poll() is None, lambda: (folder / "err").read_text())
        yield Nginx(f"{'https' if tls else 'http'}://127.0.0.1:{port}", process, folder)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
