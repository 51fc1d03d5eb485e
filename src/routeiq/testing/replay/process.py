"""The provider as a child process, for tests and demonstrations.

Owns the child: its start, the wait for its port, its end. Talks to it over HTTP with the standard library only, so that
whoever holds the handle needs no client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from routeiq.config.scratch import Scratch

START_LIMIT_S = 30.0
STOP_LIMIT_S = 5.0
_POLL_S = 0.02
_TAIL_CHARACTERS = 2_000


class ReplayFailed(RuntimeError):
    """The provider did not start, or refused an order; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A call the provider received; see `faults.JournalEntry` for the fields."""

    model: str
    surface: str
    stream: bool
    at: float
    status: int | None
    prompt_sha: str
    fault: str | None
    outcome: str


class ReplayProcess:
    """A running provider. Start it with `ReplayProcess.start(...)`, best as a context manager."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Scratch) -> None:
        self._process = process
        self._folder = folder
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self.openai_base_url = f"{self.base_url}/v1"

    @classmethod
    def start(
        cls,
        *,
        data: Path | None = None,
        suite: str | None = None,
        models: Sequence[str] | None = None,
        time_scale: float = 50.0,
        seed: int = 0,
        faults: Sequence[str] = (),
        start_limit_s: float = START_LIMIT_S,
    ) -> Self:
        """Start a provider of recorded answers (`data` and `suite`), or without `data` of the built-in tasks.

        `faults` are in the form of the command line. Raises `ReplayFailed`, see `start_with`.
        """
        arguments = ["--tasks"] if data is None else ["--data", str(data), "--suite", suite or ""]
        arguments += ["--models", ",".join(models)] if models else []
        arguments += [part for fault in faults for part in ("--fault", fault)]
        return cls.start_with(arguments, time_scale=time_scale, seed=seed, start_limit_s=start_limit_s)

    @classmethod
    def start_with(
        cls,
        arguments: Sequence[str],
        *,
        time_scale: float = 50.0,
        seed: int = 0,
        start_limit_s: float = START_LIMIT_S,
    ) -> Self:
        """Start a provider with these arguments of its command line, the source of answers among them.

        Raises `ReplayFailed` with the end of the child's error output when the child ends, or does not answer within
        `start_limit_s` seconds.
        """
        folder = Scratch("provider")
        port_file, errors = folder.path / "port", folder.path / "stderr"
        command = [sys.executable, "-m", "routeiq.testing.replay", "--port", "0", "--port-file", str(port_file)]
        command += ["--time-scale", str(time_scale), "--seed", str(seed), "--parent-pid", str(os.getpid())]
        command += arguments
        with errors.open("wb") as sink:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)  # noqa: S603 - ours
        try:
            port = _wait_for_port(process, port_file, errors, start_limit_s)
        except BaseException:
            _end(process)
            folder.close()
            raise
        return cls(process, port, folder)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The child's exit status, None while it runs."""
        return self._process.poll()

    def fault(self, model: str, fault: str | None, *, times: int | None = None, delay_s: float | None = None) -> None:
        """Make the next `times` calls of `model` (None: all; "*": every model) meet `fault`; None clears it."""
        self._call("POST", "/control", {"model": model, "fault": fault, "times": times, "delay_s": delay_s})

    def journal(self) -> list[JournalRow]:
        """The calls received since the start or the last `reset`, oldest first."""
        return [JournalRow(**row) for row in self._call("GET", "/control/journal")]

    def counts(self) -> dict[str, int]:
        """How many calls since then there were (`calls`), are `open`, ended `done`, `cut` by a fault, or `gone`."""
        counted: dict[str, int] = self._call("GET", "/control/counts")
        return counted

    def reset(self) -> None:
        """Clear all faults and the journal."""
        self._call("POST", "/control/reset", {})

    def stop(self) -> int:
        """End the child and return its exit status; may be called again."""
        status = _end(self._process)
        self._folder.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = Request(self.base_url + path, data, headers, method=method)  # noqa: S310 - always our loopback URL
        try:
            with urlopen(request, timeout=10.0) as response:  # noqa: S310 - always our loopback URL
                return json.load(response)
        except HTTPError as error:
            with error:
                raise ReplayFailed(f"{method} {path}: {json.load(error).get('error')}") from error


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path, errors: Path, limit_s: float) -> int:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if port_file.exists():
            return int(port_file.read_text(encoding="ascii"))
        if process.poll() is not None:
            raise ReplayFailed(f"the replay provider ended with status {process.returncode}: {_tail(errors)}")
        time.sleep(_POLL_S)
    raise ReplayFailed(f"the replay provider did not answer within {limit_s:g} s: {_tail(errors)}")


def _tail(errors: Path) -> str:
    text = errors.read_text(encoding="utf-8", errors="replace").strip()
    return text[-_TAIL_CHARACTERS:] or "(it wrote nothing to its error output)"


def _end(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
