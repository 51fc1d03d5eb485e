"""The edge under a real server, with a real outcome log: streams, disconnects, signals, a crash."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from routeiq.adapters.sql.sqlite.outcome_log import SqliteOutcomeLog
from tests.integration.edge_app import KEY, WallClock

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self, how: signal.Signals = signal.SIGTERM) -> str:
        """Send a signal and return all that the process printed."""
        self.process.send_signal(how)
        return self.process.communicate(timeout=30)[0]


def start(folder: Path, **settings: str) -> tuple[subprocess.Popen[str], str]:
    """Start the server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--no-access-log",
        "--factory",
        "tests.integration.edge_app:app",
        "--h11-max-incomplete-event-size",
        str(1 << 20),
        "--port",
        str(port),
    ]
    env = {**os.environ, "EDGE_LOG": str(folder / "outcomes.db"), **settings}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return process, f"http://127.0.0.1:{port}"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yield a server that has started, and stop it."""
    process, url = start(folder)
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/_health/startup", timeout=60).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Server(url, process, folder / "outcomes.db")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own."""
    with serving(tmp_path) as running:
        yield running


def stored(log: Path, decision_id: str) -> list[float | None]:
    """Return the scores that the file holds for a decision, after the server is gone."""

    async def read() -> list[float | None]:
        opened = SqliteOutcomeLog(log, salt=b"salt", clock=WallClock(), settle_s=0.0)
        try:
            found = await opened.find(decision_id)
        finally:
            await opened.close()
        assert found is not None
        return [feedback.score for feedback in found.feedback]

    return asyncio.run(read())


def test_a_stream_is_not_held_back(server: Server) -> None:
    """The first piece and the decision's headers arrive while the last piece does not exist yet."""
    with httpx.stream("POST", f"{server.url}/stream", timeout=20) as answer:
        assert answer.headers["x-routeiq-decision-id"].startswith("dec_")
        pieces = answer.iter_text()
        assert next(pieces) == "first;"
        httpx.post(f"{server.url}/go", timeout=60)
        assert "".join(pieces) == "last;"


def test_a_client_that_leaves_is_noticed_inside(server: Server) -> None:
    """When a client closes its stream, the inner application hears of it."""
    with httpx.stream("POST", f"{server.url}/stream", timeout=20) as answer:
        assert next(answer.iter_text()) == "first;"
    assert httpx.get(f"{server.url}/left", timeout=20).status_code == 200


def test_large_requests_pass(server: Server) -> None:
    """A prompt of a megabyte and headers of 40 KB reach the inner application whole."""
    answer = httpx.post(
        f"{server.url}/v1/chat/completions", content=b"x" * 1_000_000, headers={"x-big": "v" * 40_000}, timeout=60
    )
    assert (answer.status_code, answer.text) == (200, "1000000")


def test_acknowledged_feedback_survives_a_crash(server: Server) -> None:
    """Feedback that was answered with 200 is in the file after the process was killed."""
    decision_id = httpx.post(f"{server.url}/v1/chat/completions", timeout=60).headers["x-routeiq-decision-id"]
    body = {"decision_id": decision_id, "score": 0.75}
    answer = httpx.post(
        f"{server.url}/routeiq/feedback", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60
    )
    server.stop(signal.SIGKILL)
    assert answer.status_code == 200
    assert stored(server.log, decision_id) == [0.75]


def test_a_decision_can_be_read_over_http(server: Server) -> None:
    """What the log gives back has a JSON form with all candidates."""
    decision_id = httpx.post(f"{server.url}/v1/chat/completions", timeout=60).headers["x-routeiq-decision-id"]
    found = httpx.get(
        f"{server.url}/routeiq/decisions/{decision_id}", headers={"authorization": f"Bearer {KEY}"}, timeout=60
    )
    assert [c["name"] for c in found.json()["candidates"]] == ["small", "medium", "large"]


def test_a_stopped_server_has_written_everything(server: Server) -> None:
    """After SIGTERM the parts stop in order, the process ends well, and the last decisions are in the file."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        ids = [client.post("/v1/chat/completions").headers["x-routeiq-decision-id"] for _ in range(50)]
    printed = server.stop()
    assert server.process.returncode == -signal.SIGTERM, printed  # uvicorn ends by the signal that stopped it
    lines = [line for line in printed.splitlines() if line.split(" ")[0] in ("inner", "ours")]
    assert lines == ["inner startup", "ours startup", "inner shutdown", "ours shutdown"]
    assert [stored(server.log, decision_id) for decision_id in ids[-3:]] == [[], [], []]


def test_a_failed_start_ends_the_server(tmp_path: Path) -> None:
    """The server does not come up, says why, and stops what had started."""
    process, _ = start(tmp_path, EDGE_STARTUP="fail")
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 3
    assert "did you mean 'knn'?" in printed
    assert "inner shutdown" in printed
