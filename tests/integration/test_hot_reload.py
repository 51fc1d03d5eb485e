"""A configuration that changes while the gateway serves is taken up without a dropped request, or refused."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from routeiq.testing.replay import ReplayProcess
from tests.integration.reloaded import AUTH, MODELS, Running, config, under_load
from tests.integration.serving import Serving, free_port

pytestmark = pytest.mark.integration

CHANGES = 60


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("reload")
    settings = {"ROUTEIQ_RELOAD_INTERVAL": "0.2"}
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        gateway = Serving.start(config(provider.base_url), folder, free_port(), settings)
        with under_load(gateway, provider.base_url, folder / "config.yaml") as found:
            yield found


@pytest.fixture(autouse=True)
def nothing_is_dropped(running: Running) -> Iterator[None]:
    """Whatever a test changes, the load beside it loses no request and no end of a stream."""
    answered = running.answered
    yield
    running.write()
    assert httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60).status_code == 200
    assert running.failures == []
    assert running.answered > answered


def test_a_strategy_takes_effect(running: Running) -> None:
    """The next decisions are by the new strategy, the version is another, and a line says so."""
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    before = running.sync()["version"]
    after = running.accepted(lambda: running.write(strategy="largest"))
    assert after["version"] != before
    answer = running.ask()
    assert (answer.headers["x-routeiq-model"], answer.headers["x-routeiq-strategy"]) == ("sim-large", "largest")
    status = httpx.get(f"{running.gateway.url}/routeiq/status", headers=AUTH, timeout=60).json()
    assert status["snapshot"] == after["version"]
    assert any("Config reloaded" in line for line in running.gateway.lines)


def test_models_come_and_go(running: Running) -> None:
    """A model that is added is called, one that is removed is not, and a new price is what the next call costs."""
    running.accepted(lambda: running.write(models=(*MODELS, "sim-code"), strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-code"
    assert running.ask("sim-code").status_code == 200
    running.accepted(lambda: running.write(models=MODELS[:2], strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-small"
    assert running.ask("sim-code").status_code in (400, 404)
    cost = float(running.ask().headers["x-litellm-response-cost"])
    running.accepted(lambda: running.write(models=MODELS[:2], strategy="largest", dearer=10.0))
    assert float(running.ask().headers["x-litellm-response-cost"]) == pytest.approx(10 * cost)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text + "\n  : [", "config_invalid"),
        (lambda text: text.replace("strategy: smallest", "strategi: smallest"), "unknown_key"),
        (lambda text: text.replace("strategy: smallest", "strategy: smalest"), "unknown_strategy"),
        (lambda text: text.replace("auto: {}", "auto: {candidates: [sim-medium]}"), "unknown_candidate"),
        (lambda text: text.replace("strategy: smallest", "strategy: knn\n  artifact: none.npz"), "artifact_invalid"),
        (lambda text: text.replace("//127.0.0.1:", "//169.254.169.254:"), "outbound_refused"),
    ],
    ids=["yaml", "key", "strategy", "candidate", "artifact", "outbound"],
)
def test_a_bad_version_changes_nothing(running: Running, change: Callable[[str], str], reason: str) -> None:
    """The old version goes on, the reason is shown to everybody and the message to admins, and it is not retried."""
    before = running.sync()
    text = yaml.safe_dump(config(running.provider))
    assert change(text) != text
    found = running.rejected(lambda: running.put(change(text)))
    assert (found["state"], found["reason"], found["in_sync"]) == ("rejected", reason, False)
    assert found["version"] == before["version"]
    assert "message" not in found
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    forced = httpx.post(f"{running.gateway.url}/routeiq/reload?force=true", headers=AUTH, timeout=60)
    assert forced.status_code == 422
    assert "config.yaml" in forced.json()["message"]
    time.sleep(0.6)
    assert running.sync()["rejected"] == found["rejected"] + 1
    assert any("Config rejected" in line for line in running.gateway.lines)


def test_policy_and_facts_change_by_themselves(running: Running) -> None:
    """Rules and facts in files of their own take effect without a change of the configuration, or are refused."""
    policy, facts = running.path.with_name("policy.yaml"), running.path.with_name("llm_candidates.json")
    policy.write_text("rules: []")
    facts.write_text(json.dumps({name: {"weight": float(name == "sim-large")} for name in MODELS}))
    wanted = config(running.provider, strategy="weighted")
    wanted["routeiq_settings"] |= {"policy": policy.name, "llm_candidates": facts.name}
    running.accepted(lambda: running.put(yaml.safe_dump(wanted)))
    assert {running.ask().headers["x-routeiq-model"] for _ in range(3)} == {"sim-large"}
    rule = "rules: [{name: none too large, aliases: [auto], deny: [NAME]}]"
    running.accepted(lambda: replaced(policy, rule.replace("NAME", "sim-large")))
    assert "sim-large" not in {running.ask().headers["x-routeiq-model"] for _ in range(3)}
    refused = running.rejected(lambda: replaced(policy, rule.replace("NAME", "sim-lagre")))
    assert refused["reason"] == "unknown_candidate"
    assert "sim-large" not in {running.ask().headers["x-routeiq-model"] for _ in range(3)}
    running.accepted(lambda: replaced(policy, "rules: []"))
    assert running.ask().headers["x-routeiq-model"] == "sim-large"
    other = json.dumps({name: {"weight": float(name == "sim-tiny")} for name in MODELS})
    running.accepted(lambda: replaced(facts, other))
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"


def replaced(path: Path, text: str) -> None:
    """Replace a file by a rename."""
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def test_what_needs_a_restart_is_said(running: Running) -> None:
    """A change that this process cannot take up is named; the rest of the version serves."""
    wanted = config(running.provider, strategy="largest")
    wanted["general_settings"] = {"max_parallel_requests": 7}
    wanted["routeiq_settings"]["decision_log"] = False
    found = running.accepted(lambda: running.put(yaml.safe_dump(wanted)))
    assert set(found["restart_needed"]) == {"routeiq_settings.decision_log", "general_settings"}
    assert running.ask().headers["x-routeiq-model"] == "sim-large"


def test_a_nudge_looks_at_once(running: Running) -> None:
    """SIGHUP and the endpoint reload without waiting for the next look, and the endpoint takes a key."""
    before = running.sync()["accepted"]
    running.gateway_pid().send_signal(signal.SIGHUP)
    running.until(lambda found: found["accepted"] > before)
    assert httpx.post(f"{running.gateway.url}/routeiq/reload", timeout=60).status_code == 401
    running.write(strategy="largest")
    answer = httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60)
    assert (answer.status_code, answer.json()["in_sync"]) == (200, True)
    assert running.ask().headers["x-routeiq-model"] == "sim-large"


def test_the_version_before_is_put_back(running: Running) -> None:
    """Going back takes effect at once and lasts until the files change; only admins may, and only to what served."""
    before = running.sync()["version"]
    running.accepted(lambda: running.write(models=(*MODELS, "sim-code"), strategy="largest"))
    assert running.ask().headers["x-routeiq-model"] == "sim-code"
    url = f"{running.gateway.url}/routeiq/admin/rollback"
    assert httpx.post(url, json={}, timeout=60).status_code == 401
    assert httpx.post(url, json={"to": "never"}, headers=AUTH, timeout=60).json()["error"]["code"] == "unknown_version"
    assert httpx.post(url, json={"two": 1}, headers=AUTH, timeout=60).status_code == 400
    answer = httpx.post(url, json={}, headers=AUTH, timeout=60)
    assert (answer.json()["state"], answer.json()["version"]) == ("rolled_back", before)
    assert running.ask().headers["x-routeiq-model"] == "sim-tiny"
    assert running.ask("sim-code").status_code in (400, 404)
    time.sleep(0.6)
    assert running.sync()["version"] == before


def test_many_changes_leave_nothing_behind(running: Running) -> None:
    """After many changes in a row memory has not grown, and requests are still called back once."""

    def change(number: int) -> None:
        running.write(strategy=("smallest", "largest")[number % 2], dearer=1.0 + number / 100)
        answer = httpx.post(f"{running.gateway.url}/routeiq/reload", headers=AUTH, timeout=60)
        assert answer.status_code == 200, answer.text

    for number in range(10):
        change(number)
    before = running.gateway_pid().memory_info().rss
    for number in range(CHANGES):
        change(number)
    assert running.gateway_pid().memory_info().rss < 1.05 * before
    decision = running.ask().headers["x-routeiq-decision-id"]
    told = [line for line in running.lines_of(decision) if '"message":"routing decision"' in line]
    assert len(told) == 1
