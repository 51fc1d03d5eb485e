"""`routeiq admin experiment` against the endpoints of an edge, served on this machine."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn

from routeiq.cli.app import run
from tests.integration.serving import free_port
from tests.unit.http.scene import ADMIN, ALICE
from tests.unit.http.test_experiments import running


@dataclass
class Gateway:
    """An edge with an experiment, on a port."""

    url: str


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """The edge, served in a thread with an event loop of its own."""
    port, started = free_port(), threading.Event()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        at, _, _ = running()
        for _ in range(3):
            await at.decided()
        config = uvicorn.Config(at.edge, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
        servers.append(uvicorn.Server(config))
        task = asyncio.create_task(servers[0].serve())
        while not servers[0].started:
            await asyncio.sleep(0.01)
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    yield Gateway(f"http://127.0.0.1:{port}")
    servers[0].should_exit = True
    thread.join(30)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin's key is in the environment."""
    monkeypatch.setenv("LITELLM_MASTER_KEY", ADMIN)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_list_and_one_experiment(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, state, weights, counts and skew are shown, as tables and as JSON."""
    assert run(["admin", "experiment", "list", "--url", gateway.url]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("exp", "auto", "user", "running", "control=0.5 b=0.5", "3", "none"))
    assert run(["admin", "experiment", "show", "exp", "--url", gateway.url]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("smallest", "largest", "latency, s", "to control", "no skew in"))
    assert run(["admin", "experiment", "show", "exp", "--json", "--url", gateway.url]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "exp"
    assert run(["admin", "experiment", "list", "--json", "--url", gateway.url]) == 0
    assert len(json.loads(capsys.readouterr().out)["experiments"]) == 1


def test_an_operator_steers(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, stop, promotion and resumption answer with the experiment as it is then."""
    steps = (
        (["weights", "exp", "control=1", "b=3"], "weights control=0.25 b=0.75"),
        (["stop", "exp"], "stopped"),
        (["promote", "exp", "b"], "promoted b"),
        (["resume", "exp"], "running  weights control=0.25 b=0.75"),
        (["resume", "exp"], "running  weights control=0.5 b=0.5"),
    )
    for arguments, said in steps:
        assert run(["admin", "experiment", *arguments, "--url", gateway.url]) == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["show", "expp"], 2, "did you mean 'exp'"),
        (["weights", "exp", "control=1"], 2, "nothing for b"),
        (["weights", "exp", "control"], 2, "expected ARM=NUMBER"),
        (["weights", "exp", "control=x"], 2, "expected ARM=NUMBER"),
    ],
)
def test_a_mistake_is_told(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    """What the gateway refuses, and what is not sent at all, ends with a message and status 2."""
    assert run(["admin", "experiment", *arguments, "--url", gateway.url]) == status
    assert words in capsys.readouterr().err


def test_whoever_is_no_admin_changes_nothing(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary key is told whose key it takes, a missing one where to put it."""
    monkeypatch.setenv("LITELLM_MASTER_KEY", ALICE)
    assert run(["admin", "experiment", "stop", "exp", "--url", gateway.url]) == 2
    assert "master key" in capsys.readouterr().err
    monkeypatch.delenv("LITELLM_MASTER_KEY")
    assert run(["admin", "experiment", "list", "--url", gateway.url]) == 2
    assert "LITELLM_MASTER_KEY is not set" in capsys.readouterr().err


def test_a_gateway_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """An address that nobody answers at is a failure at run time, one that is none a mistake."""
    assert run(["admin", "experiment", "list", "--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "state_unavailable" in capsys.readouterr().err
    assert run(["admin", "experiment", "list", "--url", "file:///etc/hosts"]) == 2
    assert "expected an address" in capsys.readouterr().err
