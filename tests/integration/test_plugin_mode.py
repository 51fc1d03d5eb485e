"""RouteIQ in an unmodified LiteLLM by one environment variable, as people install it: the parts of `wiring`."""

import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.proxy import MASTER_KEY, LiteLLMProxy, interpreter

HOOK = "routeiq.wiring:install"
PROMPT = "Which river is the longest?"

pytestmark = pytest.mark.integration


def config(**more: Any) -> dict[str, Any]:
    """Two models that answer by themselves, and a virtual model over them."""

    def model(name: str, size: int) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_key": "none", "mock_response": f"I am {name}."}
        return {"model_name": name, "litellm_params": at, "model_info": {"size": size}}

    group = {"group_name": "auto", "models": ["small", "large"], "routing_strategy": "priority"}
    return {
        "model_list": [model("small", 3), model("large", 70)],
        "router_settings": {"routing_groups": [{**group, "model_priorities": {"small": 1, "large": 1}}]},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        **more,
    }


def ask(proxy: LiteLLMProxy, model: str = "auto", key: str = MASTER_KEY) -> httpx.Response:
    """Send a chat completion."""
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{proxy.url}/v1/chat/completions", headers=headers, json=body, timeout=60)


@pytest.fixture(scope="module", params=["oldest", "newest"])
def python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of each supported end of LiteLLM."""
    return interpreter(request.param, lambda: request.getfixturevalue("newest_python"))


@pytest.fixture(scope="module")
def proxy(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteLLMProxy]:
    """A proxy with a section of ours."""
    section = {"aliases": {"auto": {"strategy": "largest"}}}
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "secrets").mkdir()
    secrets = {"ROUTEIQ_SECRETS_DIR": str(folder / "secrets"), "ROUTEIQ_SECRETS_INTERVAL": "0.5"}
    often = {"ROUTEIQ_RELOAD_INTERVAL": "0.5", **secrets}
    with LiteLLMProxy.start(python, config(routeiq_settings=section), folder, HOOK, often) as running:
        yield running


def test_it_routes_says_so_and_remembers(proxy: LiteLLMProxy) -> None:
    """The choice serves, the headers name it, and decision and outcome reach the file without the prompt."""
    answer = ask(proxy)
    assert answer.json()["choices"][0]["message"]["content"] == "I am large."
    assert (answer.headers["x-routeiq-model"], answer.headers["x-routeiq-reason"]) == ("large", "best")
    query = "SELECT choice, status, prompt FROM decisions JOIN outcomes ON decision_id = id WHERE id = ?"
    deadline, rows = time.monotonic() + 60, []
    while not rows and time.monotonic() < deadline:
        with contextlib.closing(sqlite3.connect(proxy.folder / "routeiq.db")) as kept:
            rows = kept.execute(query, [answer.headers["x-routeiq-decision-id"]]).fetchall()
        time.sleep(0.1)
    assert rows == [("large", "success", None)]


def test_the_edge_is_not_there(proxy: LiteLLMProxy) -> None:
    """No path is added to LiteLLM's application."""
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    for path in ("/routeiq/status", "/_health/ready"):
        assert httpx.get(f"{proxy.url}{path}", headers=headers, timeout=30).status_code == 404


def test_a_plain_configuration_is_left_alone(python: Path, tmp_path: Path) -> None:
    """Without a section of ours LiteLLM serves as ever: its own balancing, no header, no file."""
    with LiteLLMProxy.start(python, config(), tmp_path, HOOK) as running:
        for model in ("auto", "small"):
            answer = ask(running, model)
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("x-routeiq")]
    assert not (tmp_path / "routeiq.db").exists()
    assert "RouteIQ stays out of the way" in (tmp_path / "log").read_text()


def test_a_mistake_keeps_the_worker_from_starting(python: Path, tmp_path: Path) -> None:
    """A key that does not exist ends the start; one line names reason, file, line and the nearest key."""
    with pytest.raises(RuntimeError, match="the proxy ended with status"):
        LiteLLMProxy.start(python, config(routeiq_settings={"strategee": "largest"}), tmp_path, HOOK)
    told = [line for line in (tmp_path / "log").read_text().splitlines() if "error[unknown_key]: " in line]
    assert len(told) == 1
    assert re.search(r"config.yaml:\d+: routeiq_settings.strategee: .*did you mean 'strategy'", told[0])


def rewritten(proxy: LiteLLMProxy, **sections: Any) -> None:
    """Replace the file that LiteLLM was started with by a rename."""
    new = proxy.folder / "config.new"
    new.write_text(yaml.safe_dump(config(**sections)))
    new.replace(proxy.folder / "config.yaml")


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def routed(proxy: LiteLLMProxy) -> str:
    """The model that answers `auto`."""
    return str(ask(proxy).headers["x-routeiq-model"])


def test_a_changed_file_takes_effect(proxy: LiteLLMProxy) -> None:
    """Our section and LiteLLM's models by difference, in the same process; a mistake changes nothing; SIGHUP looks."""
    section = {"aliases": {"auto": {"strategy": "largest"}}}
    rewritten(proxy, routeiq_settings={"aliases": {"auto": {"strategy": "smallest"}}})
    until(lambda: routed(proxy) == "small")
    wanted = config(routeiq_settings=section)
    more = {**wanted["model_list"][0], "model_name": "huge", "model_info": {"size": 400}}
    group = {**wanted["router_settings"]["routing_groups"][0], "models": ["small", "large", "huge"]}
    group["model_priorities"] = dict.fromkeys(group["models"], 1)
    sections = {"model_list": [*wanted["model_list"], more], "router_settings": {"routing_groups": [group]}}
    rewritten(proxy, **sections, routeiq_settings=section)
    until(lambda: routed(proxy) == "huge")
    rewritten(proxy, routeiq_settings={"aliases": {"auto": {"strategy": "largset"}}})
    until(lambda: "Config rejected" in proxy.log())
    assert routed(proxy) == "huge"
    before = proxy.log().count("Config re")
    proxy.process.send_signal(signal.SIGHUP)
    until(lambda: proxy.log().count("Config re") > before)
    rewritten(proxy, routeiq_settings=section)
    until(lambda: routed(proxy) == "large")
    assert ask(proxy, "huge").status_code in (400, 404)


def test_a_changed_secret_takes_effect(proxy: LiteLLMProxy) -> None:
    """A master key that comes to stand in a file is LiteLLM's from then on, and the one of the environment no more."""
    present = "sk-from-a-file-3Wd8Kx1p"
    assert ask(proxy).status_code == 200
    assert ask(proxy, key=present).status_code != 200
    (proxy.folder / "secrets" / "LITELLM_MASTER_KEY").write_text(present)
    until(lambda: ask(proxy, key=present).status_code == 200)
    until(lambda: ask(proxy).status_code != 200)
    assert present not in proxy.log()
