"""The quickstart, run as it stands: its configuration, its commands, its server, its client."""

import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.docs.test_examples import agrees, environment, session, show

PAGE = ROOT / "docs" / "quickstart.md"
KEY = "sk-quickstart-4Vb8nRt2"
START_LIMIT_S = 240.0

pytestmark = pytest.mark.integration


@dataclass
class Running:
    """The gateway of the page."""

    folder: Path
    url: str
    process: "subprocess.Popen[bytes]"

    def lines(self) -> list[str]:
        """What it wrote to standard output."""
        return (self.folder / "gateway.out").read_text().splitlines()


def shown(command: str) -> tuple[str, list[str]]:
    """The command of the page that begins so, and the lines it is said to print."""
    found = [step for block in blocks(PAGE) for step in steps(block) if step[0].startswith(command)]
    assert len(found) == 1, f"{command} is not shown once"
    return found[0]


def steps(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block."""
    return session(block.text) if block.language == "console" else []


def wait(running: Running) -> None:
    """Return when the gateway is ready."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            with urlopen(f"{running.url}/_health/ready", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError((running.folder / "gateway.err").read_text()[-4000:])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server that the page starts, on a free port."""
    folder = tmp_path_factory.mktemp("quickstart")
    for block in blocks(PAGE):
        if block.runnable or block.file:
            show(block, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = shlex.split(shown("routeiq serve")[0].replace("4000", str(port)))
    env = {**environment(), "LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "gateway.out").open("wb") as out, (folder / "gateway.err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=env, stdout=out, stderr=err, stdin=subprocess.DEVNULL
        )
    running = Running(folder, f"http://127.0.0.1:{port}", process)
    try:
        wait(running)
        yield running
    finally:
        process.kill()
        process.wait()


def test_the_client_prints_what_the_page_shows(gateway: Running) -> None:
    """The answer, its headers, the explanation and the acknowledged feedback are those of the page."""
    said = shown("python ask.py")[1]
    env = {**os.environ, "GATEWAY": gateway.url, "LITELLM_MASTER_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "ask.py"], cwd=gateway.folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert agrees(said, done.stdout), done.stdout


def test_the_request_is_counted(gateway: Running) -> None:
    """After the request of the page `/metrics` has a decision with its duration, and a success of its strategy."""
    wanted = (
        'routeiq_routing_decisions_total{reason="best",strategy="cheapest-capable"} 1',
        'routeiq_routing_decision_duration_seconds_count{model="small",strategy="cheapest-capable"} 1',
        'routeiq_routing_strategy_usage_total{outcome="success",strategy="cheapest-capable"} 1',
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urlopen(f"{gateway.url}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        if all(words in text for words in wanted):
            return
        time.sleep(0.2)
    raise AssertionError([line for line in text.splitlines() if line.startswith("routeiq_routing")])


def test_the_gateway_writes_json_lines_only(gateway: Running) -> None:
    """Every line on standard output is a JSON object with a message, one of them the decision, none with the key."""
    found = [json.loads(line) for line in gateway.lines()]
    [decision] = [line for line in found if line["message"] == "routing decision"]
    assert (decision["strategy"], decision["model"], decision["service"]) == (
        "cheapest-capable",
        "small",
        "routeiq-gateway",
    )
    assert decision["trace_id"]
    assert KEY not in "".join(gateway.lines())
    assert "17 times 23" not in "".join(gateway.lines())


def test_it_stops_in_order_and_keeps_what_it_knew(gateway: Running) -> None:
    """SIGTERM ends the server soon and without a traceback; decision, outcome and feedback are in the file."""
    gateway.process.terminate()
    gateway.process.wait(60)
    assert "Traceback" not in (gateway.folder / "gateway.err").read_text()
    query = (
        "SELECT choice, status, score FROM (SELECT id, choice FROM decisions) AS made "
        "JOIN outcomes ON outcomes.decision_id = made.id JOIN feedback ON feedback.decision_id = made.id"
    )
    with closing(sqlite3.connect(gateway.folder / "routeiq.db")) as kept:
        assert kept.execute(query).fetchall() == [("small", "success", 0.0)]
