"""`routeiq serve --workers 2` over a real LiteLLM: one exposition, shared memory, a drain with streams running."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from routeiq.cli.workers import _children
from tests.integration.proxy import ROOT
from tests.integration.serving import KEY, Serving, free_port

pytestmark = pytest.mark.integration

LIMIT_S = 6.0
CALLS = 24


class Provider:
    """Chat completions; a prompt with "hold" is streamed and pauses after its first piece, until `go` or for ever."""

    def __enter__(self) -> Self:
        self.go = threading.Event()
        self.over = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][-1]["content"]
                if not body.get("stream"):
                    self._whole()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self._piece({"role": "assistant", "content": "one"})
                (provider.over if "for ever" in prompt else provider.go).wait(60)
                self._piece({"content": "two"}, "stop")
                self._chunk(b"data: [DONE]\n\n")
                self._chunk(b"")

            def _whole(self) -> None:
                message = {"role": "assistant", "content": "hi"}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                body = json.dumps(
                    {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
                    | {"usage": usage}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _piece(self, delta: dict[str, str], finish: str | None = None) -> None:
                choice = {"index": 0, "delta": delta, "finish_reason": finish}
                piece = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                self._chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

            def handle(self) -> None:
                """Serve, until the gateway hangs up."""
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """The one provider."""
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The one gateway; the last test stops it."""
    models = ["small", "big"]
    entries = [
        {"model_name": m, "litellm_params": {"model": f"openai/{m}", "api_base": provider.url, "api_key": "sk-x"}}
        for m in models
    ]
    group = {"group_name": "auto", "models": models, "routing_strategy": "priority"}
    config = {
        "model_list": entries,
        "router_settings": {"routing_groups": [{**group, "model_priorities": dict.fromkeys(models, 1)}]},
        "routeiq_settings": {
            "strategy": "round-robin",
            "aliases": {"auto": {}},
            "outcome_log": {"path": "disk/log.db"},
        },
    }
    settings = {"ROUTEIQ_WORKERS": "2", "ROUTEIQ_DRAIN_TIMEOUT_SECONDS": str(LIMIT_S)}
    running = Serving.start(config, tmp_path_factory.mktemp("workers"), free_port(), settings)
    try:
        yield running
    finally:
        running.stop()


def headers() -> dict[str, str]:
    """Those of a request with the key."""
    return {"authorization": f"Bearer {KEY}"}


def body(prompt: str, **more: Any) -> dict[str, Any]:
    """A chat completion."""
    return {"model": "auto", "messages": [{"role": "user", "content": prompt}], **more}


def eventually(what: Callable[[], Any], limit_s: float = 30.0) -> Any:
    """What a function returns, as soon as that is true."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def by_worker(gateway: Serving, name: str) -> dict[str, float]:
    """The sum of a metric's samples for each worker."""
    text = httpx.get(f"{gateway.url}/metrics", timeout=30).text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                worker = sample.labels["worker_id"]
                sums[worker] = sums.get(worker, 0.0) + sample.value
    return sums


def test_whichever_worker_is_asked_tells_of_all(gateway: Serving) -> None:
    """Both workers serve, each under its number, and the sum over them is what was asked."""
    eventually(lambda: len(by_worker(gateway, "routeiq_build_info")) == 2)

    def ask(number: int) -> int:
        return httpx.post(
            f"{gateway.url}/v1/chat/completions", json=body(f"hello {number}"), headers=headers(), timeout=60
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(CALLS))) == {200}
    eventually(lambda: sum(by_worker(gateway, "routeiq_outcomes_total").values()) == CALLS)
    found = by_worker(gateway, "routeiq_outcomes_total")
    assert set(found) == {"0", "1"}
    assert all(found.values())


def test_a_further_worker_takes_little_memory(gateway: Serving) -> None:
    """Most of what a worker that has served holds is shared with the others."""
    for worker in _children(gateway.process.pid):
        sizes = {}
        for line in Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()[1:]:
            name, size = line.split()[:2]
            sizes[name.removesuffix(":")] = int(size)
        own = sizes["Private_Dirty"] + sizes["Private_Clean"]
        assert own < 0.5 * sizes["Rss"]


def test_a_port_in_use_is_named(gateway: Serving) -> None:
    """The command ends with status 2 before anything is loaded, and says what to do."""
    port = gateway.url.rpartition(":")[2]
    command = [sys.executable, "-m", "routeiq", "serve", "--config", str(gateway.folder / "config.yaml")]
    done = subprocess.run(
        [*command, "--host", "127.0.0.1", "--port", port, "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "LITELLM_MASTER_KEY": KEY, "PATH": ""},
    )
    assert done.returncode == 2, done.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_a_stream_tells_its_id(gateway: Serving) -> None:
    """The script prints the id that it asked for, which the gateway returned in a header."""
    command = [sys.executable, str(ROOT / "examples" / "get_stream_id.py"), "--url", gateway.url, "--key", KEY]
    done = subprocess.run(
        [*command, "--id", "stream-7", "--prompt", "hold"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "stream-7\n"), done.stderr


def test_a_drain_over_litellm(gateway: Serving, provider: Provider) -> None:
    """A stream that ends in time is whole, one that does not gets its error event, all is recorded, the status is 0."""

    def read(prompt: str) -> tuple[str, str]:
        with httpx.stream(
            "POST",
            f"{gateway.url}/v1/chat/completions",
            json=body(prompt, stream=True),
            headers={**headers(), "x-mcp-stream-id": prompt.replace(" ", "-")},
            timeout=90,
        ) as answer:
            begun.release()
            return answer.headers["x-mcp-stream-id"], "".join(answer.iter_text())

    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(read, prompt) for prompt in ("hold a", "hold b", "for ever c", "for ever d")]
        for _ in reads:
            assert begun.acquire(timeout=60)
        gateway.process.terminate()
        refused = eventually(lambda: _refusal(gateway))
        provider.go.set()
        texts = [future.result() for future in reads]
    assert gateway.end() == 0
    assert refused == "draining"
    assert [name for name, _ in texts] == ["hold-a", "hold-b", "for-ever-c", "for-ever-d"]
    assert all(text.rstrip().endswith("data: [DONE]") for _, text in texts)
    assert ["two" in text for _, text in texts] == [True, True, False, False]
    assert ['"draining"' in text for _, text in texts] == [False, False, True, True]
    ends = [json.loads(line) for line in gateway.lines if "Graceful shutdown" in line]
    assert {line["worker_id"] for line in ends} == {"0", "1"}
    assert sum(line["cut"] for line in ends) == 2
    with closing(sqlite3.connect(gateway.kept("log.db"))) as log:
        assert log.execute("SELECT count(*) FROM decisions").fetchone() == (CALLS + 5,)
        ended = log.execute("SELECT count(*) FROM outcomes WHERE status = 'success'").fetchone()
        assert ended[0] >= CALLS + 2


def _refusal(gateway: Serving) -> str | None:
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body("late"), headers=headers(), timeout=30)
    return str(answer.json()["error"]["code"]) if answer.status_code == 503 else None
