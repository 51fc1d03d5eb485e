"""Admission, bulkheads, breakers and disconnects as clients see them, through a gateway over a real LiteLLM.

Keys are those of `tests.chaos.auth`: `sk-chaos-TEAM` belongs to TEAM. The tests share one gateway and run in order.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from routeiq.testing.replay import ReplayProcess
from tests.chaos.auth import key_of
from tests.integration.serving import KEY, Serving, free_port

MODELS = ["sim-tiny", "sim-small", "sim-medium", "sim-large"]
TEAM_SLOTS, SLOTS, QUEUED = 2, 4, 2
OPEN_S = 8.0
SLOW_S = 3.0
"""How long answers take where a test has to see calls under way, on a machine that may be slow itself."""

pytestmark = pytest.mark.integration


@dataclass
class Scene:
    """The gateway and its provider."""

    gateway: Serving
    provider: ReplayProcess

    def client(self, key: str = KEY) -> httpx.Client:
        """A client with a key."""
        return httpx.Client(base_url=self.gateway.url, headers={"authorization": f"Bearer {key}"}, timeout=60)

    def chat(self, key: str = KEY, model: str = "auto", **headers: str) -> httpx.Response:
        """One plain chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": f"How are you? {time.monotonic_ns()}"}]}
        with self.client(key) as client:
            return client.post("/v1/chat/completions", json=body, headers=headers)

    def load(self) -> dict[str, Any]:
        """What /routeiq/load says."""
        with self.client() as client:
            found: dict[str, Any] = client.get("/routeiq/load").json()
            return found

    def decision(self, answer: httpx.Response) -> dict[str, Any]:
        """The decision that an answer names, as soon as it has an outcome."""
        with self.client() as client:
            return until(
                lambda: client.get(f"/routeiq/decisions/{answer.headers['x-routeiq-decision-id']}").json(),
                lambda found: found["outcome"] is not None,
            )

    def metric(self, name: str) -> dict[str, float]:
        """The samples of a metric by their labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        split = (line.removeprefix(name).rpartition(" ") for line in lines if line.startswith(name))
        return {labels.strip("{}"): float(value) for labels, _, value in split}


def until(read: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    """Return what is read as soon as it is enough."""
    deadline = time.monotonic() + 60
    while not enough(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def config(provider: str, log: Path) -> dict[str, Any]:
    """Two pairs of models, the smaller one first, few slots and a quick breaker."""

    def model(name: str, size: int) -> dict[str, Any]:
        params = {"model": f"openai/{name}", "api_base": f"{provider}/v1", "api_key": "x"}
        return {"model_name": name, "litellm_params": params, "model_info": {"size": size}}

    def group(name: str, members: list[str]) -> dict[str, Any]:
        ranks = dict.fromkeys(members, 1)
        return {"group_name": name, "models": members, "routing_strategy": "priority", "model_priorities": ranks}

    return {
        "model_list": [model(name, size) for size, name in enumerate(MODELS, 1)],
        "router_settings": {
            "routing_groups": [group("auto", MODELS[:2]), group("pair", MODELS[2:])],
            "num_retries": 1,
            "retry_after": 0,
            "disable_cooldowns": True,
        },
        "general_settings": {"custom_auth": "tests.chaos.auth.authenticate"},
        "routeiq_settings": {
            "strategy": "smallest",
            "aliases": {"auto": {}, "pair": {}},
            "outcome_log": {"path": str(log)},
            "limits": {
                "max_concurrent_requests": SLOTS,
                "max_queued_requests": QUEUED,
                "queue_timeout_s": 20,
                "teams": {"noisy": {"max_concurrent": TEAM_SLOTS}},
            },
            "breakers": {"failure_threshold": 3, "timeout_s": OPEN_S},
        },
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The gateway, ready."""
    folder = tmp_path_factory.mktemp("guards")
    with ReplayProcess.start(models=MODELS, time_scale=5.0) as provider:
        settings = config(provider.base_url, folder / "outcomes.db")
        gateway = Serving.start(settings, folder, free_port(), {})
        try:
            yield Scene(gateway, provider)
        finally:
            gateway.stop()


@pytest.fixture(autouse=True)
def _calm(scene: Scene) -> Iterator[None]:
    """Leave no fault and no call behind."""
    yield
    scene.provider.reset()
    until(scene.load, lambda load: load["in_flight"] == load["queued"] == 0)


def crowd(scene: Scene, count: int, key: str, **headers: str) -> list[httpx.Response]:
    """Send many calls at once and return their answers."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: scene.chat(key, **headers), range(count)))


def test_a_full_queue_is_answered_at_once(scene: Scene) -> None:
    """Beyond slots and queue calls get 503 with all a client needs to come back, and health still answers."""
    assert scene.chat().status_code == 200
    scene.provider.fault("*", "slow", delay_s=SLOW_S)
    with ThreadPoolExecutor(1) as aside:
        asked = aside.submit(crowd, scene, 12, KEY, origin="https://app.example", **{"x-request-id": "mine"})
        until(scene.load, lambda load: load["in_flight"] == SLOTS and load["queued"] == QUEUED)
        with scene.client() as client:
            assert client.get("/_health/ready").status_code == 200
        assert scene.metric("routeiq_admission_queued") == {"": QUEUED}
        answers = asked.result()
    assert Counter(a.status_code for a in answers) == {200: SLOTS + QUEUED, 503: 12 - SLOTS - QUEUED}
    refused = next(a for a in answers if a.status_code == 503)
    error = refused.json()["error"]
    assert (error["code"], error["type"], refused.headers["x-routeiq-reason"]) == (
        "queue_full",
        "server_error",
        "queue_full",
    )
    assert int(refused.headers["retry-after"]) >= 1
    assert (refused.headers["x-request-id"], refused.headers["access-control-allow-origin"]) == ("mine", "*")
    assert scene.metric("routeiq_admission_refused_total")['reason="queue_full"'] == 12 - SLOTS - QUEUED


def test_a_deadline_that_cannot_be_met_is_not_waited_for(scene: Scene) -> None:
    """A client that says how long it waits is refused when its turn would come later, while others still queue."""
    scene.provider.fault("*", "slow", delay_s=SLOW_S)
    with ThreadPoolExecutor(SLOTS) as aside:
        asked = [aside.submit(scene.chat) for _ in range(SLOTS)]
        until(scene.load, lambda load: load["in_flight"] == SLOTS)
        hurried = scene.chat(**{"x-stainless-read-timeout": "0.05"})
        assert not all(one.done() for one in asked)
        assert (hurried.status_code, hurried.json()["error"]["code"]) == (503, "deadline")
        assert [one.result().status_code for one in asked] == [200] * SLOTS


def test_a_team_over_its_share_leaves_the_others_alone(scene: Scene) -> None:
    """The noisy team gets its share and 429 for the rest; another team is served at once meanwhile."""
    assert [scene.chat(key_of(team)).status_code for team in ("noisy", "quiet")] == [200, 200]
    scene.provider.fault("*", "slow", delay_s=SLOW_S)
    with ThreadPoolExecutor(1) as aside:
        asked = aside.submit(crowd, scene, 12, key_of("noisy"))
        until(scene.load, lambda load: load["bulkheads"].get("team:noisy", {}).get("queued"))
        quiet = scene.chat(key_of("quiet"))
        noisy = asked.result()
    assert quiet.status_code == 200
    statuses = Counter(answer.status_code for answer in noisy)
    assert set(statuses) == {200, 429}
    assert statuses[200] <= TEAM_SLOTS + 1
    refused = next(answer for answer in noisy if answer.status_code == 429)
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("team_limit", "rate_limit_error")
    assert "retry-after" in refused.headers


def test_an_open_breaker_moves_traffic_and_it_comes_back(scene: Scene) -> None:
    """A model that fails is tried last until its time is over, then gets one probe, then its traffic."""
    scene.provider.fault("sim-medium", "error_500")
    failing = [scene.chat(model="pair") for _ in range(3)]
    assert [answer.status_code for answer in failing] == [200] * 3
    assert scene.decision(failing[0])["outcome"]["retries"] == 1
    found = scene.decision(scene.chat(model="pair"))
    assert (found["choice"], found["outcome"]["retries"]) == ("sim-large", 0)
    assert found["ranking"] == ["sim-large", "sim-medium"]
    assert {c["name"]: c["filtered_by"] for c in found["candidates"]} == {"sim-medium": "breaker", "sim-large": None}
    assert scene.metric("routeiq_circuit_breaker_state")['name="sim-medium",state="open"'] == 1
    assert scene.load()["breakers"]["sim-medium"] == "open"
    scene.provider.fault("sim-medium", None)
    time.sleep(OPEN_S)
    assert scene.decision(scene.chat(model="pair"))["choice"] == "sim-medium"
    until(lambda: scene.load()["breakers"]["sim-medium"], lambda state: state == "closed")


BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "completion": ("/v1/completions", {"prompt": "hello"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}),
    "responses": ("/v1/responses", {"input": "hello"}),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("surface", BODIES)
def test_a_client_that_leaves_ends_the_call(scene: Scene, surface: str, stream: bool) -> None:
    """The provider's call is cancelled while it is waited for, its place is free, and the outcome is cancelled."""
    path, body = BODIES[surface]
    with scene.client() as client:
        assert client.post(path, json={"model": "auto", "stream": stream, **body}).status_code == 200
        before = scene.metric("routeiq_outcomes_total")
        scene.provider.fault("*", "slow", delay_s=30.0)
        with pytest.raises(httpx.ReadTimeout):
            client.post(path, json={"model": "auto", "stream": stream, **body}, timeout=2.0)
    assert until(scene.provider.journal, lambda calls: calls[-1].outcome != "open")[-1].outcome == "gone"
    until(scene.load, lambda load: load["in_flight"] == 0)
    cancelled = 'model="sim-tiny",status="cancelled"'
    wanted = before.get(cancelled, 0) + 1
    assert until(lambda: scene.metric("routeiq_outcomes_total").get(cancelled, 0), lambda n: n >= wanted) == wanted


def test_a_stream_that_its_client_leaves_is_cancelled(scene: Scene) -> None:
    """Leaving in mid-stream ends the provider's call and is recorded with what was delivered."""
    scene.provider.fault("*", "trickle", delay_s=0.3)
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "How many herons are there?"}]}
    with scene.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(3)]
        assert scene.metric("active_streams_count") == {"": 1}
    outcome = scene.decision(answer)["outcome"]
    assert outcome["status"] == "cancelled"
    assert outcome["delivered"] >= 1
    assert until(scene.provider.journal, lambda calls: calls[-1].outcome != "open")[-1].outcome == "gone"
    assert scene.metric("active_streams_count") == {"": 0}


@pytest.mark.parametrize("surface", BODIES)
def test_a_stream_that_dies_half_way_is_a_failure(scene: Scene, surface: str) -> None:
    """A provider that closes in mid-stream leaves an outcome that failed, with what reached the client."""
    scene.provider.fault("*", "close_mid_stream")
    path, body = BODIES[surface]
    with (
        scene.client() as client,
        client.stream("POST", path, json={"model": "auto", "stream": True, **body}) as answer,
    ):
        delivered = 0
        try:
            for line in answer.iter_lines():
                delivered += line.startswith("data:")
        except httpx.RemoteProtocolError:
            pass
    outcome = scene.decision(answer)["outcome"]
    assert outcome["status"] == "failure"
    assert 1 <= outcome["delivered"] <= delivered
