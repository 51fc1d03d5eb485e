"""Compound models through `routeiq serve` and a real LiteLLM, with the clients that people use."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.learn import cascade
from routeiq.learn.objective import Goal
from routeiq.routing.embedding import load_default
from routeiq.testing.demo.teach import SUITE
from routeiq.testing.replay import ReplayProcess
from routeiq.testing.tasks.models import simulate
from routeiq.testing.tasks.task import Task
from routeiq.testing.tasks.task_list import all_tasks
from tests.integration.compound_keys import BARE, LIMITED, NARROW
from tests.integration.proxy import ROOT
from tests.integration.serving import KEY, Serving, free_port
from tests.integration.test_serve_mode import POOL, PROVIDER_KEY, taught

pytestmark = pytest.mark.integration

METHODS = {"careful": "automix", "steps": "cascade", "parts": "knn-multiround", "rounds": "llm-multiround"}
METHODS["r1"] = "router-r1"
TASKS = [task for task in all_tasks() if task.tools is None]
PAIR = "\n\n".join(next(t for t in TASKS if t.family == f).prompt for f in ("translation", "classification"))


def task(solved: Callable[[Task], bool]) -> Task:
    """The first task for which something holds."""
    return next(one for one in TASKS if solved(one))


def says(model: str, one: Task) -> bool:
    """Whether a simulated model solves a task."""
    return simulate(one, model).correct


@dataclass
class Scene:
    """The gateway and the provider behind it."""

    gateway: Serving
    provider: ReplayProcess
    artifact: Path
    """The one that has a threshold."""

    def client(self, key: str = KEY) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=key, max_retries=0, timeout=60)

    def ask(self, model: str, prompt: str, key: str = KEY, **more: Any) -> Any:
        said: Any = [{"role": "user", "content": prompt}]
        return self.client(key).chat.completions.with_raw_response.create(model=model, messages=said, **more)

    def ended(self, headers: httpx.Headers) -> dict[str, Any]:
        """The decision that an answer names, with its outcome."""
        url, own = f"{self.gateway.url}/routeiq/decisions/{headers['x-routeiq-decision-id']}", KEY
        deadline = time.monotonic() + 60
        while True:
            found: dict[str, Any] = httpx.get(url, headers={"authorization": f"Bearer {own}"}, timeout=60).json()
            if found.get("outcome") is not None:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def believed(folder: Path) -> Path:
    """An artifact with a threshold, trained on the same tasks."""
    cascade.train(
        folder, (SUITE,), FileArtifactStore(), str(folder / "cascade.npz"), load_default(), models=POOL,
        goal=Goal.parse("quality_floor=0.6"),
    )  # fmt: skip
    return folder / "cascade.npz"


def config(provider: str, artifact: Path) -> dict[str, Any]:
    """LiteLLM's configuration with a compound model by every method."""

    def model(name: str, size: float) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_base": f"{provider}/v1", "api_key": PROVIDER_KEY}
        price = {"input_cost_per_token": size * 1e-8, "output_cost_per_token": size * 1e-7}
        return {"model_name": name, "litellm_params": {**at, **price}}

    more: dict[str, dict[str, Any]] = {
        "careful": {"threshold": 0.6, "max_calls": 16},
        "steps": {"threshold": 0.6, "max_calls": 16},
        "parts": {"artifact": str(artifact)},
        "rounds": {"model": "sim-medium"},
        "r1": {"model": "sim-tiny"},
    }
    return {
        "model_list": [model(name, 10.0**size) for size, name in enumerate(POOL)],
        "router_settings": {"num_retries": 0},
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "custom_auth": "tests.integration.compound_keys.authenticate",
        },
        "routeiq_settings": {
            "outcome_log": {"path": None},
            "compound": {
                **{name: {"method": m, "candidates": POOL, **more[name]} for name, m in METHODS.items()},
                "trusted": {
                    "method": "cascade",
                    "candidates": POOL,
                    "confidence": "expected_score",
                    "artifact": str(believed(artifact.parent)),
                },
            },
        },
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One gateway for all tests of this file."""
    folder = tmp_path_factory.mktemp("compound")
    artifact = taught(tmp_path_factory.mktemp("taught"))
    with ReplayProcess.start(time_scale=float("inf")) as provider:
        gateway = Serving.start(config(provider.base_url, artifact), folder, free_port(), {})
        try:
            yield Scene(gateway, provider, artifact.with_name("cascade.npz"))
        finally:
            gateway.stop()


@pytest.fixture(autouse=True)
def clear(scene: Scene) -> None:
    """Begin each test with a provider that is well and has no calls in its journal."""
    scene.provider.reset()


@pytest.mark.parametrize("name", METHODS)
def test_openais_client_is_answered_plain_and_streamed(scene: Scene, name: str) -> None:
    """The answer, its usage, its cost and its headers are those of all inner calls, and the explanation lists them."""
    raw = scene.ask(name, PAIR)
    answer = raw.parse()
    found = scene.ended(raw.headers)
    assert found["strategy"] == raw.headers["x-routeiq-strategy"] == METHODS[name]
    assert found["reason"] == raw.headers["x-routeiq-reason"] == "compound"
    assert found["choice"] == raw.headers["x-routeiq-model"]
    assert [call["model"] for call in found["calls"]] == [row.model for row in scene.provider.journal()]
    assert answer.model == name
    assert answer.usage.completion_tokens == sum(call["output_tokens"] for call in found["calls"])
    assert float(raw.headers["x-litellm-response-cost"]) == pytest.approx(found["outcome"]["cost_usd"])
    assert found["outcome"]["cost_usd"] == pytest.approx(sum(call["cost_usd"] for call in found["calls"]))
    assert all(call["cost_usd"] > 0 for call in found["calls"])

    streamed = scene.ask(name, PAIR, stream=True, stream_options={"include_usage": True})
    chunks = list(streamed.parse())
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == answer.choices[0].message.content
    assert [c.usage.total_tokens for c in chunks if c.usage] == [answer.usage.total_tokens]
    ended = scene.ended(streamed.headers)
    assert ended["outcome"]["streamed"]
    assert ended["outcome"]["cost_usd"] == pytest.approx(found["outcome"]["cost_usd"])


@pytest.mark.parametrize("name", METHODS)
def test_anthropics_client_is_answered_plain_and_streamed(scene: Scene, name: str) -> None:
    """The messages API serves compound models as well, with usage of all calls."""
    client = anthropic.Anthropic(base_url=scene.gateway.url, api_key=KEY, max_retries=0, timeout=60)
    said: Any = [{"role": "user", "content": PAIR}]
    answer = client.messages.create(model=name, max_tokens=300, messages=said)
    with client.messages.stream(model=name, max_tokens=300, messages=said) as stream:
        text = stream.get_final_text()
        used = stream.get_final_message().usage
    assert answer.model == name
    assert text == "".join(block.text for block in answer.content if block.type == "text")
    assert text
    assert (used.input_tokens, used.output_tokens) == (answer.usage.input_tokens, answer.usage.output_tokens)


def test_an_answer_that_is_not_vouched_for_goes_on(scene: Scene) -> None:
    """automix serves the cheap model's answer where that vouches for it, and a dearer one's where it does not."""
    seen = set()
    for one in TASKS[:60:6]:
        found = scene.ended(scene.ask("careful", one.prompt).headers)
        answers = [call for call in found["calls"] if call["role"] == "answer"]
        assert [call["model"] for call in answers] == POOL[: len(answers)]
        assert all(call["score"] < 0.6 for call in answers[:-1])
        assert answers[-1]["served"]
        assert answers[-1]["model"] == POOL[-1] or answers[-1]["score"] >= 0.6
        checks = [call["score"] for call in found["calls"] if call["role"] == "verify"]
        assert set(checks) <= {0.0, 1.0}
        seen.add(len(answers))
    assert len(seen) > 1


def test_they_are_listed_for_whoever_may_use_a_candidate(scene: Scene) -> None:
    """A key sees compound models beside the candidates it may use, and none where it may use none of them."""
    assert {*METHODS, "trusted"} <= {model.id for model in scene.client().models.list()}
    assert {*METHODS, "trusted", "sim-tiny", "sim-small"} == {model.id for model in scene.client(NARROW).models.list()}
    assert "steps" not in {model.id for model in scene.client(BARE).models.list()}


def test_access_is_never_widened(scene: Scene) -> None:
    """Candidates that the key may not call are not called, and a key of none of them is refused by LiteLLM."""
    hard = task(lambda one: not says("sim-tiny", one) and not says("sim-small", one))
    raw = scene.ask("careful", hard.prompt, NARROW)
    assert {row.model for row in scene.provider.journal()} <= {"sim-tiny", "sim-small"}
    barred = {c["name"]: c["filtered_by"] for c in scene.ended(raw.headers)["candidates"]}
    assert barred == {"sim-tiny": None, "sim-small": None, "sim-medium": "access", "sim-large": "access"}
    scene.provider.reset()
    for key in (BARE, "sk-of-nobody"):
        with pytest.raises(openai.APIStatusError) as refused:
            scene.ask("careful", hard.prompt, key)
        assert refused.value.status_code in (400, 401, 403)
    assert scene.provider.journal() == []


def test_every_inner_call_counts_against_the_key(scene: Scene) -> None:
    """LiteLLM's limit of calls a minute holds for inner calls: what it refuses is missing, and the answer is not."""
    raw = scene.ask("careful", PAIR, LIMITED)
    calls = scene.ended(raw.headers)["calls"]
    assert [call["error"] for call in calls].count("http_429") >= 1
    assert len(scene.provider.journal()) == 2
    with pytest.raises(openai.RateLimitError):
        scene.ask("careful", PAIR, LIMITED)


def test_a_candidate_that_fails_is_passed_over(scene: Scene) -> None:
    """The next candidate answers, and the failed call is told."""
    scene.provider.fault("sim-tiny", "error_500")
    raw = scene.ask("careful", PAIR)
    found = scene.ended(raw.headers)
    assert raw.headers["x-routeiq-model"] != "sim-tiny"
    assert found["calls"][0]["error"] == "http_500"
    assert found["outcome"]["retries"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_inner_calls(scene: Scene, stream: bool) -> None:
    """The provider sees its caller go, also where LiteLLM would have waited for the answer."""
    scene.provider.fault("sim-tiny", "hang")
    body = {"model": "careful", "messages": [{"role": "user", "content": PAIR}], "stream": stream}
    url, own = f"{scene.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, headers=own, timeout=1.5)
    deadline = time.monotonic() + 60
    while [row.outcome for row in scene.provider.journal()] != ["gone"]:
        assert time.monotonic() < deadline, scene.provider.journal()
        time.sleep(0.05)


def test_other_surfaces_say_where_compound_models_are_served(scene: Scene) -> None:
    """A surface that does not serve them refuses the request in words that help."""
    with pytest.raises(openai.BadRequestError, match="chat completions and on messages"):
        scene.client().responses.create(model="careful", input=PAIR)


def test_a_dry_run_says_that_a_model_is_compound(scene: Scene) -> None:
    """`POST /routeiq/route` and the status name the method and its budget, and call nothing."""
    own = {"authorization": f"Bearer {KEY}"}
    body = {"model": "parts", "messages": [{"role": "user", "content": PAIR}]}
    told = httpx.post(f"{scene.gateway.url}/routeiq/route", json=body, headers=own, timeout=60).json()
    assert told["compound"]["method"] == told["strategy"] == "knn-multiround"
    assert told["compound"]["max_calls"] == 8
    assert all(c["expected_score"] is not None for c in told["candidates"])
    status = httpx.get(f"{scene.gateway.url}/routeiq/status", headers=own, timeout=60).json()
    assert {name: c["method"] for name, c in status["compounds"].items()} == {**METHODS, "trusted": "cascade"}
    assert scene.provider.journal() == []


def test_a_trained_threshold_decides_whom_to_ask(scene: Scene) -> None:
    """Without a threshold in the settings, the cheapest is asked of whom the artifact expects as much as it learned."""
    artifact = FileArtifactStore().load(str(scene.artifact))
    assert artifact.threshold is not None
    own, asked = {"authorization": f"Bearer {KEY}"}, []
    for one in TASKS[:: len(TASKS) // 12]:
        body = {"model": "trusted", "messages": [{"role": "user", "content": one.prompt}]}
        told = httpx.post(f"{scene.gateway.url}/routeiq/route", json=body, headers=own, timeout=60).json()
        expected = {c["name"]: c["expected_score"] for c in told["candidates"]}
        trusted = [name for name in POOL if expected[name] >= artifact.threshold]
        asked.append((trusted or POOL[-1:])[0])
        assert scene.ask("trusted", one.prompt).headers["x-routeiq-model"] == asked[-1]
    assert [row.model for row in scene.provider.journal()] == asked


def test_the_command_line_knows_them(scene: Scene) -> None:
    """`routeiq check` shows a compound model, and `routeiq route` says that its name is one."""

    def routeiq(*arguments: str) -> str:
        command = [sys.executable, "-m", "routeiq", *arguments, "--config", str(scene.gateway.folder / "config.yaml")]
        python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
        own = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "LITELLM_MASTER_KEY": KEY, "PATH": "", "COLUMNS": "200"}
        env = {**python, **own}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "compound model by automix, at most 16 calls" in routeiq("check")
    assert "is a compound model" in routeiq("route", "What is 2 + 2?", "--alias", "careful")
    told = json.loads(routeiq("route", "What is 2 + 2?", "--alias", "steps", "--json"))
    assert told["compound"]["method"] == "cascade"
