"""Two gateways on one Redis, one with two workers: what admins do and who is refused is kept, and shown by both."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from routeiq.adapters.files.audit_lines import newest_first, verify
from tests.integration.proxy import ROOT
from tests.integration.serving import KEY, Serving, free_port
from tests.servers.redis import redis_servers

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
WRONG = "sk-wrong-4f6Yq1"
STRATEGY = "/routeiq/admin/strategy"


def config(strategy: str = "smallest") -> dict[str, Any]:
    """Two models that answer by themselves, and a virtual model over them."""

    def model(name: str, size: int) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_key": "none", "mock_response": "yes"}
        return {"model_name": name, "litellm_params": at, "model_info": {"size": size}}

    group = {"group_name": "auto", "models": ["small", "large"], "routing_strategy": "priority"}
    return {
        "model_list": [model("small", 1), model("large", 70)],
        "router_settings": {"routing_groups": [{**group, "model_priorities": {"small": 1, "large": 1}}]},
        "routeiq_settings": {"strategy": strategy, "embedder": {"kind": "none"}, "aliases": {"auto": {}}},
    }


@dataclass
class Pair:
    """The two gateways: the first keeps its audit on a small disk, the second has two workers."""

    one: Serving
    two: Serving

    def ask(self, at: Serving, method: str, path: str, body: Any = None, key: str = KEY, **headers: str) -> Any:
        """Send one request."""
        sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return httpx.request(method, at.url + path, json=body, headers=sent, timeout=60)

    def events(self, at: Serving, **query: str) -> list[dict[str, Any]]:
        """What one of them shows."""
        answer = httpx.get(f"{at.url}/routeiq/audit", params=query, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["events"]
        return found

    def configure(self, at: Serving, text: str) -> httpx.Response:
        """Give one of them another configuration and have it looked at."""
        (at.folder / "config.new").write_text(text)
        (at.folder / "config.new").replace(at.folder / "config.yaml")
        answer: httpx.Response = self.ask(at, "POST", "/routeiq/reload", x_request_id="req-reload")
        return answer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with redis_servers(tmp_path_factory.mktemp("redis")) as servers, ThreadPoolExecutor(2) as pool:
        common = {"REDIS_URL": servers.single().url, "ROUTEIQ_RELOAD_INTERVAL": "3600"}
        own = ({"ROUTEIQ_AUDIT_PATH": str(folders[0] / "disk" / "audit")}, {"ROUTEIQ_WORKERS": "2"})
        ports = [free_port(), free_port()]
        starts = [pool.submit(Serving.start, config(), folders[n], ports[n], {**common, **own[n]}) for n in (0, 1)]
        running = [one.result() for one in starts if one.exception() is None]
        try:
            assert len(running) == 2, [one.exception() for one in starts]
            yield Pair(*running)
        finally:
            for gateway in running:
                gateway.stop()


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait for something and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return value


def command(*arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `routeiq admin audit`."""
    line = [sys.executable, "-m", "routeiq", "admin", "audit", *arguments, *(["--url", url] if url else [])]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "LITELLM_MASTER_KEY": KEY}
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)


def test_a_change_is_kept_with_its_actor_and_shown_by_the_other_host(pair: Pair) -> None:
    """Both gateways show the change under the same pseudonym of the key and with the id of the request."""
    answer = pair.ask(pair.one, "POST", STRATEGY, {"alias": "auto", "strategy": "largest"}, x_request_id="req-strategy")
    assert answer.status_code == 200, answer.text
    [here] = pair.events(pair.one, kind="strategy.changed")
    assert (here["subject"], here["before"], here["after"]) == ("auto", "smallest", "largest")
    assert (here["result"], here["request_id"]) == ("ok", "req-strategy")
    assert here["actor"].startswith("key:")
    [there] = until(lambda: pair.events(pair.two, kind="strategy.changed"), "the other host was not told")
    assert there == here
    back = pair.ask(pair.two, "POST", STRATEGY, {"alias": "auto", "strategy": None})
    assert back.status_code == 200, back.text
    assert {event["actor"] for event in pair.events(pair.two, kind="strategy.changed")} == {here["actor"]}
    # Each worker of either gateway took up what was chosen, twice, and says so.
    reloaded = until(
        lambda: (found := pair.events(pair.two, kind="config.reloaded")) and len(found) >= 6 and found,
        "not every worker said that it took up the change",
    )
    assert len({event["worker"] for event in reloaded}) == 3
    assert len({event["chain"] for event in reloaded}) == 2


def test_configurations_are_kept_as_reloaded_rejected_and_rolled_back(pair: Pair) -> None:
    """Each worker says what became of it and by whose order; a way back is told by all, as one request's doing."""
    before = pair.ask(pair.two, "GET", "/routeiq/status").json()["snapshot"]
    assert pair.configure(pair.two, yaml.safe_dump(config("largest"))).status_code == 200
    assert pair.configure(pair.two, "routeiq_settings: {strategi: x}").status_code == 422
    assert pair.ask(pair.two, "POST", "/routeiq/admin/rollback", {}, x_request_id="req-back").status_code == 200

    def told() -> list[dict[str, Any]]:
        return [e for e in pair.events(pair.two, kind="config.rolled_back") if e["request_id"] == "req-back"]

    until(lambda: len(told()) >= 3, "not all workers went back")  # of both gateways: the first has that version, too
    back = told()
    assert {event["after"] for event in back} == {before}
    assert len({event["worker"] for event in back}) == 3
    assert len({event["actor"] for event in back}) == 1
    assert back[0]["actor"].startswith("key:")
    kinds = [event["kind"] for event in pair.events(pair.two)]
    assert {"reload.ordered", "rollback.ordered", "config.rejected", "config.reloaded"} <= set(kinds)
    [rejected, *_] = pair.events(pair.two, kind="config.rejected")
    assert (rejected["result"], rejected["reason"], rejected["subject"]) == ("refused", "unknown_key", "configuration")
    ordered = pair.events(pair.two, kind="reload.ordered")
    assert [event["result"] for event in ordered] == ["refused", "ok"]
    pair.configure(pair.two, yaml.safe_dump(config()))


def test_who_is_refused_is_kept_without_a_key(pair: Pair) -> None:
    """A stranger at an endpoint of admins is noted, once a minute; no key is in a file, an answer or a log line."""
    for _ in range(5):
        assert pair.ask(pair.one, "POST", STRATEGY, {"alias": "auto"}, key=WRONG).status_code == 401
    assert pair.ask(pair.one, "GET", "/routeiq/audit", key=WRONG).status_code == 401
    refused = pair.events(pair.one, kind="access.refused")
    assert [(e["subject"], e["actor"], e["reason"]) for e in refused] == [
        ("GET /routeiq/audit", "stranger", "unauthenticated"),
        ("POST /routeiq/admin/strategy", "stranger", "unauthenticated"),
    ]
    content = b"".join(path.read_bytes() for path in (pair.one.disk / "audit").glob("*"))
    shown = json.dumps(pair.events(pair.one)) + "".join(pair.one.lines)
    for secret in (KEY, WRONG):
        assert secret.encode() not in content
        assert secret not in shown


def test_the_command_shows_filters_and_verifies(pair: Pair, tmp_path: Path) -> None:
    """As lines, as JSON since some time, and verified from the files, of which a changed line is named."""
    pair.ask(pair.one, "POST", STRATEGY, {"alias": "auto", "strategy": "smallest"})
    lines = command("--kind", "strategy.changed", url=pair.one.url)
    assert lines.returncode == 0, lines.stderr
    assert "strategy.changed auto (smallest -> largest) ok, by key:" in lines.stdout
    assert "request req-strategy" in lines.stdout
    found = json.loads(command("--json", "--since", "1h", "--limit", "2", url=pair.one.url).stdout)
    assert len(found["events"]) == 2
    assert json.loads(command("--json", "--since", "2999-01-01T00:00:00Z", url=pair.one.url).stdout)["events"] == []
    folder = tmp_path / "audit"
    shutil.copytree(pair.one.disk / "audit", folder)
    held = command("--verify", "--folder", str(folder), "--json")
    assert json.loads(held.stdout)["holds"] is True, held.stderr
    path = next(folder.glob("audit-*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"smallest"', b'"Smallest"', 1))
    broken = command("--verify", "--folder", str(folder))
    assert broken.returncode == 2
    assert f"{path.name}:" in "".join(broken.stderr.split())
    assert "error[audit_broken]" in broken.stderr


def test_a_full_disk_is_seen_and_loses_nothing(pair: Pair) -> None:
    """Changes go on; readiness, a metric and one log line say that the audit waits; with space again all is there."""
    one = pair.one

    def checks() -> dict[str, str]:
        found: dict[str, str] = httpx.get(f"{one.url}/_health/ready").json()["checks"]
        return found

    def healthy() -> str:
        lines = httpx.get(f"{one.url}/metrics").text.splitlines()
        return next(line.rpartition(" ")[2] for line in lines if line.startswith("routeiq_audit_healthy"))

    def changed(strategy: str | None = "largest", **headers: str) -> int:
        status: int = pair.ask(one, "POST", STRATEGY, {"alias": "auto", "strategy": strategy}, **headers).status_code
        return status

    one.fill()
    # A page that is begun still has room for some events.
    until(lambda: changed() == 200 and checks()["audit"] != "ok", "nobody noticed")
    assert checks()["audit"] in ("disk_full", "file_too_large")
    assert changed(x_request_id="req-full") == 200
    assert healthy() == "0.0"
    assert changed(None) == 200
    assert sum("audit cannot be written" in line for line in one.lines) == 1
    one.free()
    until(lambda: checks()["audit"] == "ok", "it did not come back")
    assert healthy() == "1.0"
    assert any(event["request_id"] == "req-full" for event in pair.events(one))
    verify(one.disk / "audit")


def test_what_was_answered_survives_a_kill_and_what_waits_a_drain(pair: Pair) -> None:
    """After kill -9 the last answered change is in the file; after SIGTERM so is a refusal that nobody waited for."""
    answer = pair.ask(pair.one, "POST", STRATEGY, {"alias": "auto", "strategy": "largest"}, x_request_id="req-last")
    assert answer.status_code == 200
    pair.one.process.kill()
    pair.one.process.wait()
    assert any(event["request_id"] == "req-last" for event in newest_first(pair.one.disk / "audit"))
    verify(pair.one.disk / "audit")
    refused = pair.ask(pair.two, "GET", "/routeiq/audit", key=WRONG, x_request_id="req-refused")
    assert refused.status_code == 401
    pair.two.end()
    assert any(event["request_id"] == "req-refused" for event in newest_first(pair.two.folder / "audit"))
    assert verify(pair.two.folder / "audit").first == 1
