"""The edge around LiteLLM's real proxy: ids, headers and keys, on every surface."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.edge_litellm_app import CONFIG, MASTER_KEY

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = [{"role": "user", "content": "hello"}]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["oldest", "newest"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the gateway, with the master key, on each supported end of LiteLLM."""
    python = sys.executable if request.param == "oldest" else request.getfixturevalue("newest_python")
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {k: v for k, v in os.environ.items() if not k.startswith(("LITELLM", "ROUTEIQ", "OPENAI", "ANTHROPIC"))}
    env = {
        **own,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "CONFIG_FILE_PATH": str(folder / "config.yaml"),
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    }
    command = [str(python), "-m", "uvicorn", "--factory", "tests.integration.edge_litellm_app:app", "--port", str(port)]
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=sink, stderr=sink)
    headers = {"authorization": f"Bearer {MASTER_KEY}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            wait(client, process, folder / "log")
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the gateway is ready."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/readiness").json()["status"] == "ready":
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "chat stream": ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    "completion": ("/v1/completions", {"prompt": "hello"}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 10}),
    "messages stream": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 10, "stream": True}),
    "error": ("/v1/chat/completions", {"messages": MESSAGES, "model": "doomed"}),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_names_its_decision(gateway: httpx.Client, surface: str) -> None:
    """LiteLLM takes our call id, so the edge finds the decision, which can then be read and judged."""
    path, body = SURFACES[surface]
    sent = {"x-litellm-call-id": "mine", "x-request-id": "r-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = gateway.post(path, json={"model": "auto", **body}, headers=sent)
    assert answer.status_code == (429 if surface == "error" else 200), answer.text
    assert answer.headers["x-litellm-call-id"] != "mine"
    assert (answer.headers["x-request-id"], answer.headers["x-trace-id"]) == ("r-1", TRACE)
    assert answer.headers.get_list("x-routeiq-strategy") == ["smallest"]
    decision_id = answer.headers["x-routeiq-decision-id"]
    found = gateway.get(f"/routeiq/decisions/{decision_id}").json()
    assert found["request_id"] == answer.headers["x-litellm-call-id"]
    assert found["choice"] == ("limited" if surface == "error" else "small")
    judged = gateway.post("/routeiq/feedback", json={"decision_id": decision_id, "score": 1})
    assert judged.json()["stored"] is True


def test_the_keys_are_litellms(gateway: httpx.Client) -> None:
    """The master key opens our endpoints, another key does not, and health needs none."""
    assert gateway.get("/routeiq/status").status_code == 200
    for wrong in ("Bearer sk-wrong", "Bearer", "Basic eDp5", ""):
        assert gateway.get("/routeiq/status", headers={"authorization": wrong}).status_code == 401, wrong
    assert gateway.get("/health/liveliness", headers={"authorization": "Bearer sk-wrong"}).json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_call_without_a_key_is_refused_in_words(gateway: httpx.Client, path: str) -> None:
    """LiteLLM ends in an error of its own when it refuses a key and has no database client; the caller reads 401."""
    for wrong in ("", "Bearer", "sk-without-its-word"):
        answer = gateway.post(path, json={"model": "auto", "messages": MESSAGES}, headers={"authorization": wrong})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), wrong


@pytest.mark.parametrize("body", ["null", "[]", "5", '"text"'])
def test_json_that_is_no_object_is_the_callers_mistake(gateway: httpx.Client, body: str) -> None:
    """A list, a number, a string or null for a body is answered with 400, and the connection lives on."""
    for _ in range(3):
        answer = gateway.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_invalid"), answer.text


def test_a_dry_run_asks_litellm_who_may_call_what(gateway: httpx.Client) -> None:
    """The master key may call every candidate, and no call is made."""
    found = gateway.post("/routeiq/route", json={"model": "auto", "messages": MESSAGES}).json()
    assert (found["ranking"], found["dry_run"]) == (["small", "medium", "large"], True)


def test_what_is_not_ours_is_litellms(gateway: httpx.Client) -> None:
    """LiteLLM's own endpoints answer through the edge, without decision headers."""
    answer = gateway.get("/v1/models")
    assert "auto" in {model["id"] for model in answer.json()["data"]}
    assert not [name for name in answer.headers if name.startswith("x-routeiq-")]
    assert gateway.get("/health/services", params={"service": "x"}).json() != {"status": "alive"}


def test_nothing_was_swallowed(gateway: httpx.Client) -> None:
    """After all of the above, RouteIQ has not had to hide an error of its own."""
    status = gateway.get("/routeiq/status")
    assert json.loads(status.text)["swallowed"] == []
