"""Several workers with real processes, real sockets and real signals, around a small application."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy import ROOT
from tests.integration.serving import free_port

LIMIT_S = 40.0
CHAT = "/v1/chat/completions"


def eventually(what: Callable[[], Any]) -> Any:
    """What a function returns, as soon as that is true."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = what()
            if found:
                return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@dataclass
class Stream:
    """One stream that has begun; `rest` reads it to its end."""

    connection: http.client.HTTPConnection
    answer: http.client.HTTPResponse
    worker: int

    def rest(self) -> bytes:
        """Everything after the first event, or what came before the connection broke."""
        try:
            return self.answer.read()
        except http.client.IncompleteRead as cut:
            return cut.partial + b"CUT"


@dataclass
class Gateway:
    """A running gateway."""

    process: "subprocess.Popen[str]"
    port: int
    folder: Path
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str = "/plain") -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}

    def stream(self, path: str = CHAT) -> Stream:
        """A stream whose first event has come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        connection.request("POST", path)
        answer = connection.getresponse()
        first = answer.read1(1000)
        return Stream(connection, answer, int(first.split()[2]))

    def workers(self, count: int = 2) -> set[int]:
        """The workers' process ids, as soon as that many have answered."""
        found: set[int] = set()
        held: list[http.client.HTTPConnection] = []

        def look() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            held.append(connection)
            connection.request("GET", "/plain")
            found.add(int(connection.getresponse().read()))
            return len(found) >= count

        try:
            eventually(look)
        finally:
            for connection in held:
                connection.close()
        return found

    def go(self) -> None:
        """Let the streams end."""
        (self.folder / "go").touch()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit status, when it is there."""
        return self.process.wait(LIMIT_S)

    def said(self, text: str) -> bool:
        """Whether a line with this text was printed."""
        return any(text in line for line in self.lines)

    def read(self) -> None:
        """Take what the gateway prints."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


@contextmanager
def attended(process: "subprocess.Popen[str]", port: int, folder: Path) -> Iterator[Gateway]:
    """A gateway whose output is read while it runs, and which is dead afterwards."""
    gateway = Gateway(process, port, folder)
    reader = threading.Thread(target=gateway.read, daemon=True)
    reader.start()
    try:
        yield gateway
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(LIMIT_S)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def running(folder: Path, workers: int = 2, **settings: str) -> Iterator[Gateway]:
    """A gateway whose workers have all answered."""
    port = free_port()
    command = [sys.executable, "-m", "tests.integration.supervised", str(port), str(workers)]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **settings}
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with attended(process, port, folder) as gateway:
        yield gateway


class Load:
    """Requests from several threads, each on connections that it keeps; counts what failed."""

    def __init__(self, gateway: Gateway, clients: int = 6) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.failed: list[str] = []
        self.served = 0
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/plain")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(str(answer.status))
                self.served += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            time.sleep(0.002)
        connection.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT_S)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_running_streams_finish_and_new_work_is_refused(tmp_path: Path, how: str) -> None:
    """After SIGTERM readiness is 503, new requests are refused with a reason, streams end whole, the status is 0."""
    with running(tmp_path, SUPERVISED=how) as gateway:
        gateway.workers()
        streams = [gateway.stream() for _ in range(4)]
        assert len({stream.worker for stream in streams}) == 2
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.ask("/_health/ready")[0] == 503)
        status, body, headers = eventually(lambda: (found := gateway.ask()) and found[0] == 503 and found)
        assert (status, json.loads(body)["error"]["code"]) == (503, "draining")
        assert headers["connection"] == "close"
        assert int(headers["retry-after"]) >= 1
        gateway.go()
        assert [stream.rest() for stream in streams] == [b"data: [DONE]\n\n"] * 4
        assert gateway.ended() == 0
    assert gateway.said('Graceful shutdown: {"under_way": 4, "cut": 0')


def test_at_the_limit_each_stream_gets_its_error_event(tmp_path: Path) -> None:
    """No socket is cut: every stream reads an error in its API's form, and the status is 0."""
    with running(tmp_path, ROUTEIQ_DRAIN_TIMEOUT_SECONDS="0.5") as gateway:
        gateway.workers()
        streams = [gateway.stream(path) for path in (CHAT, CHAT, "/v1/messages", "/v1/responses")]
        gateway.signal(signal.SIGTERM)
        texts = [stream.rest() for stream in streams]
        assert gateway.ended() == 0
    for text in texts[:2]:
        assert b'"code":"draining"' in text
        assert text.endswith(b"data: [DONE]\n\n")
    assert all(text.startswith(b"event: error\n") and text.endswith(b"\n\n") for text in texts[2:])
    assert gateway.said('"cut": 4')


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_wait(tmp_path: Path, workers: int, second: signal.Signals) -> None:
    """Whoever asks twice gets an end at once, and the streams still hear of it."""
    with running(tmp_path, workers, ROUTEIQ_DRAIN_TIMEOUT_SECONDS="600") as gateway:
        gateway.workers(workers)
        stream = gateway.stream()
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.ask()[0] == 503)
        gateway.signal(second)
        assert stream.rest().endswith(b"data: [DONE]\n\n")
        assert gateway.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_lame_duck_period(tmp_path: Path, workers: int) -> None:
    """Readiness is 503 at once, but requests are served, and their connections given back, until the period is over."""
    with running(tmp_path, workers, ROUTEIQ_LAME_DUCK_SECONDS="3") as gateway:
        gateway.workers(workers)
        stream = gateway.stream()
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.ask("/_health/ready")[0] == 503)
        status, _, headers = gateway.ask()
        assert (status, headers["connection"]) == (200, "close")
        eventually(lambda: gateway.ask()[0] == 503)
        gateway.go()
        assert stream.rest() == b"data: [DONE]\n\n"
        assert gateway.ended() == 0


def test_ctrl_c_drains_without_the_lame_duck_period(tmp_path: Path) -> None:
    """A terminal's Ctrl-C reaches every process of the group; streams finish all the same, nobody waits for more."""
    with running(tmp_path, ROUTEIQ_LAME_DUCK_SECONDS="600") as gateway:
        workers = gateway.workers()
        stream = gateway.stream()
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        gateway.signal(signal.SIGINT)
        eventually(lambda: gateway.ask()[0] == 503)
        gateway.go()
        assert stream.rest() == b"data: [DONE]\n\n"
        assert gateway.ended() == 0


def test_a_killed_worker_loses_only_its_own_requests(tmp_path: Path) -> None:
    """Under load, kill -9 fails at most one request per connection, streams elsewhere go on, and it is replaced."""
    with running(tmp_path) as gateway:
        before = gateway.workers()
        streams = [gateway.stream() for _ in range(4)]
        victim = streams[0].worker
        with Load(gateway) as load:
            eventually(lambda: load.served > 50)
            os.kill(victim, signal.SIGKILL)
            after = eventually(lambda: (found := gateway.workers()) - {victim} == found and found)
            served = load.served
            eventually(lambda: load.served > served + 50)
        gateway.go()
        rests = [(stream.worker, stream.rest()) for stream in streams]
        assert after != before
        assert len(load.failed) <= 6
        assert all(rest == b"data: [DONE]\n\n" for worker, rest in rests if worker != victim)
        assert {worker for worker, _ in rests} == before
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
    assert gateway.said("ended with status -9; it is started again in 0.")


def test_workers_are_replaced_one_by_one_under_load(tmp_path: Path) -> None:
    """SIGUSR2 changes every process and fails no request; a stream that runs stays with its worker to its end."""
    with running(tmp_path) as gateway:
        before = gateway.workers()
        stream = gateway.stream()
        (tmp_path / "bad").touch()
        gateway.signal(signal.SIGUSR2)
        eventually(lambda: gateway.said("workers are not replaced: this configuration is bad"))
        (tmp_path / "bad").unlink()
        with Load(gateway) as load:
            gateway.signal(signal.SIGUSR2)
            after = eventually(lambda: (found := gateway.workers()).isdisjoint(before) and found)
            served = load.served
            eventually(lambda: load.served > served + 50)
        assert len(after) == 2
        assert load.failed == []
        gateway.go()
        assert stream.rest() == b"data: [DONE]\n\n"
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0


def test_a_crash_loop_is_given_up(tmp_path: Path) -> None:
    """Workers that end as soon as they are started are started a few times, then the gateway ends and says why."""
    with running(tmp_path, SUPERVISED="broken") as gateway:
        assert gateway.ended() == 1
    assert gateway.said("ended with status 7")
    assert gateway.said("giving up")


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed, its workers let what runs finish and end; nobody holds the port."""
    with running(tmp_path) as gateway:
        workers = gateway.workers()
        stream = gateway.stream()
        gateway.signal(signal.SIGKILL)
        gateway.go()
        assert stream.rest() == b"data: [DONE]\n\n"
        for worker in workers:
            eventually(lambda worker=worker: not Path(f"/proc/{worker}").exists() or _is_zombie(worker))


def _is_zombie(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_connections_are_shared_evenly(tmp_path: Path, how: str) -> None:
    """Of forty connections that stay, no worker has more than two thirds."""
    with running(tmp_path, SUPERVISED=how) as gateway:
        gateway.workers()
        streams = [gateway.stream() for _ in range(40)]
        counts = sorted(sum(s.worker == worker for s in streams) for worker in {s.worker for s in streams})
        assert len(counts) == 2
        assert counts[1] <= 27
        gateway.go()
        assert all(stream.rest() == b"data: [DONE]\n\n" for stream in streams)
