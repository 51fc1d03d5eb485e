"""`routeiq serve` as a child process whose standard output is read line by line, with a small disk of its own.

Owns the start, the lines, the disk that can be filled, and the end by process id. The disk is a tmpfs in a mount
namespace of the child where the machine allows that; elsewhere a limit on the size of files takes its place.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from tests.integration.proxy import ROOT, START_LIMIT_S
from tests.unit.adapters.sql.sqlite.test_outages import OWN_MOUNTS, can_mount

KEY = "sk-serving-6Rj4mTe8"
DISK_BYTES = 12 << 20


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@dataclass
class Serving:
    """A running gateway; `disk` is the folder that can be full, as seen from here."""

    url: str
    process: "subprocess.Popen[bytes]"
    folder: Path
    disk: Path
    mounted: bool
    lines: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None
    _handle: int | None = None

    @classmethod
    def start(cls, config: Mapping[str, Any], folder: Path, port: int, env: Mapping[str, str]) -> Self:
        """Start the gateway and return when it is ready."""
        (folder / "config.yaml").write_text(yaml.safe_dump(dict(config)))
        disk = folder / "disk"
        disk.mkdir()
        mounted = can_mount(disk)
        command = [sys.executable, "-m", "routeiq", "serve", "--config", str(folder / "config.yaml")]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        if mounted:
            inside = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && exec "$@"'
            command = [*OWN_MOUNTS, "sh", "-c", inside, str(disk), *command]
        own = {k: v for k, v in os.environ.items() if not k.startswith(("LITELLM", "ROUTEIQ", "OPENAI", "ANTHROPIC"))}
        settings = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "LITELLM_MASTER_KEY": KEY}
        settings |= {"ROUTEIQ_LAME_DUCK_SECONDS": "0", "ROUTEIQ_WORKERS": "1"}
        with (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**own, **settings, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=err,
            )
        running = cls(f"http://127.0.0.1:{port}", process, folder, disk, mounted)
        running._reader = threading.Thread(target=running._read, daemon=True)
        running._reader.start()
        try:
            running._wait()
        except BaseException:
            running.stop()
            raise
        if mounted:
            # An open folder outlives the process whose mount it is in.
            running._handle = os.open(f"/proc/{process.pid}/root{disk}", os.O_RDONLY | os.O_DIRECTORY)
            running.disk = Path(f"/proc/self/fd/{running._handle}")
        return running

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode())

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(URLError, OSError), urlopen(f"{self.url}/_health/ready", timeout=5):
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "err").read_text()[-4000:] + "".join(self.lines[-20:]))

    def fill(self) -> None:
        """Leave no space for the gateway to write files."""
        if not self.mounted:
            hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (1024, hard))
            return
        with (self.disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass

    def free(self) -> None:
        """Give the space back."""
        if not self.mounted:
            hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            return
        (self.disk / "ballast").unlink()

    def files(self) -> list[str]:
        """The names on the disk."""
        return sorted(os.listdir(self.disk))

    def kept(self, name: str) -> Path:
        """A copy of a file on the disk, where SQLite can open it."""
        return Path(shutil.copy(self.disk / name, self.folder / name))

    def end(self) -> int:
        """Ask the gateway to end, and return its exit status when everything it said has been read."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(40)
        assert self._reader is not None
        self._reader.join(10)
        return status

    def stop(self) -> None:
        """End the process, whatever it takes; may be called again."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class HeaderKeeper:
    """A provider of chat completions that keeps the headers of every call; a context manager."""

    def __enter__(self) -> Self:
        self.calls: list[dict[str, str]] = []
        calls = self.calls
        body = (
            b'{"id": "1", "object": "chat.completion", "created": 1, "model": "kept", "choices": [{"index": 0,'
            b' "finish_reason": "stop", "message": {"role": "assistant", "content": "kept"}}],'
            b' "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
        )

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                calls.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
