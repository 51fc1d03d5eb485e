"""Two gateways on one Redis: what an admin changes at one holds at both, also after an outage that no request felt."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integration.serving import KEY, Serving, free_port
from tests.pauses import Pauses
from tests.servers.redis import RedisServer, redis_servers

pytestmark = pytest.mark.integration

STRATEGY = "/routeiq/admin/strategy"
PATIENCE_S = 90.0
SLOW_S = 5
HEARD_S = 1.0
"""After this what stands in Redis has been heard by every worker."""


@dataclass
class Pair:
    """Two gateways and the Redis they share."""

    redis: RedisServer
    gateways: list[Serving]

    def ask(self, which: int, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send one request with the master key to one of them."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.request(method, self.gateways[which].url + path, json=body, headers=headers, timeout=60)

    def chat(self, which: int, alias: str = "auto") -> httpx.Response:
        """Send a chat completion to one of them."""
        body = {"model": alias, "messages": [{"role": "user", "content": "Which river is the longest?"}]}
        return self.ask(which, "POST", "/v1/chat/completions", body)

    def active(self, which: int) -> str:
        """The strategy of the alias at one of them."""
        found: str = self.ask(which, "GET", "/routeiq/status").json()["aliases"]["auto"]["strategy"]
        return found

    def switch(self, which: int, strategy: str | None) -> httpx.Response:
        """Choose a strategy at one of them."""
        return self.ask(which, "POST", STRATEGY, {"alias": "auto", "strategy": strategy})

    def under_way(self) -> int:
        """The calls that both have told of in Redis."""
        told = [json.loads(line) for line in self.redis.ask("hvals", "routeiq:busy").splitlines() if line]
        return sum(sum(counts.values()) for counts in told)

    def redis_is(self, wanted: str) -> bool:
        """Whether both are ready and say this of Redis."""
        answers = [self.ask(which, "GET", "/_health/ready") for which in (0, 1)]
        return all(one.status_code == 200 and one.json()["checks"]["redis"] == wanted for one in answers)


def config() -> dict[str, Any]:
    """Two models that answer by themselves, and a virtual model over them."""

    def model(name: str, size: int) -> dict[str, Any]:
        at = {"model": f"openai/{name}", "api_key": "none", "mock_response": f"I am {name}."}
        return {"model_name": name, "litellm_params": at, "model_info": {"size": size}}

    def slow(name: str) -> dict[str, Any]:
        made = model(name, 7)
        return {**made, "litellm_params": {**made["litellm_params"], "mock_delay": SLOW_S}}

    def group(name: str, *models: str) -> dict[str, Any]:
        order = {"routing_strategy": "priority", "model_priorities": dict.fromkeys(models, 1)}
        return {"group_name": name, "models": list(models), **order}

    groups = [group("auto", "small", "large"), group("even", "slow-a", "slow-b")]
    return {
        "model_list": [model("small", 3), model("large", 70), slow("slow-a"), slow("slow-b")],
        "router_settings": {"routing_groups": groups},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "routeiq_settings": {"aliases": {"auto": {"strategy": "largest"}, "even": {"strategy": "least-busy"}}},
    }


def until(done: Callable[[], bool], what: str) -> float:
    """Wait until something is so, and return how long it took."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < PATIENCE_S, what
        time.sleep(0.02)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A durable Redis and two gateways, each with everything else of its own."""
    folder = tmp_path_factory.mktemp("pair")
    with redis_servers(folder / "redis") as servers, ThreadPoolExecutor(2) as pool:
        redis = servers.single(durable=True)
        ports = [free_port(), free_port()]

        def start(which: int) -> Serving:
            own = folder / str(which)
            own.mkdir()
            return Serving.start(config(), own, ports[which], {"REDIS_URL": redis.url})

        starts = [pool.submit(start, which) for which in (0, 1)]
        running = [one.result() for one in starts if one.exception() is None]
        try:
            assert len(running) == 2, [one.exception() for one in starts]
            yield Pair(redis, running)
        finally:
            for one in running:
                one.stop()


def test_each_lists_the_workers_of_both(pair: Pair) -> None:
    """Status names the store and every worker of every replica with its version, snapshot and start."""
    for which in (0, 1):
        until(lambda which=which: len(pair.ask(which, "GET", "/routeiq/status").json()["workers"]) == 2, "two workers")
    status = pair.ask(0, "GET", "/routeiq/status").json()
    assert status["shared_state"] == pair.redis.url
    assert len({one["replica"] for one in status["workers"]}) == 2
    assert status["worker"] in {one["id"] for one in status["workers"]}
    assert all(one["snapshot"] == status["snapshot"] for one in status["workers"])


def test_a_strategy_chosen_at_one_serves_at_the_other(pair: Pair) -> None:
    """A choice is in force at both in about a second, decides requests there, and can be taken back at either."""
    assert pair.chat(1).json()["choices"][0]["message"]["content"] == "I am large."
    took = []
    with Pauses() as machine:
        for strategy in ("smallest", "largest", "smallest"):
            answer = pair.switch(0, strategy)
            assert answer.status_code == 200, answer.text
            assert answer.json()["active"]["auto"] == strategy
            took.append(until(lambda strategy=strategy: pair.active(1) == strategy, "the other gateway"))
    assert sorted(took)[1] < 1.0 + 3 * machine.worst_s, took
    assert pair.chat(1).json()["choices"][0]["message"]["content"] == "I am small."
    assert pair.redis.ask("hgetall", "routeiq:strategy:active").split() == ["auto", "smallest"]
    assert pair.switch(1, None).status_code == 200
    until(lambda: pair.active(0) == "largest", "the file's strategy")


def test_least_busy_counts_the_calls_of_both(pair: Pair) -> None:
    """While one gateway has three slow calls under way, the other takes the model with fewer of them, every time."""
    for _ in range(3):
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(pair.chat, 0, "even") for _ in range(3)]
            until(lambda: pair.under_way() == 3, "the first gateway tells of its calls")
            time.sleep(HEARD_S)
            other = pair.chat(1, "even")
        until(lambda: pair.under_way() == 0, "the calls are over")
        under_way = Counter(call.result().headers["x-routeiq-model"] for call in calls)
        assert sorted(under_way.values()) == [1, 2]
        assert under_way[other.headers["x-routeiq-model"]] == 1


def test_a_choice_that_cannot_be_used_changes_nothing(pair: Pair) -> None:
    """A strategy that does not exist, or an alias that does not, is refused by name, and nothing is written."""
    answer = pair.switch(0, "smalest")
    assert answer.status_code == 422
    assert "smallest" in answer.text
    assert pair.ask(0, "POST", STRATEGY, {"alias": "atuo", "strategy": "largest"}).status_code == 400
    assert pair.redis.ask("hgetall", "routeiq:strategy:active") == ""
    assert pair.active(0) == pair.active(1) == "largest"


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_an_outage_is_felt_by_admins_only(pair: Pair, how: str) -> None:
    """Redis killed or frozen: requests go on and say what they lack, admins get 503; afterwards all is as before."""
    assert pair.switch(0, "smallest").status_code == 200
    until(lambda: pair.active(1) == "smallest", "the other gateway")
    pair.redis.kill() if how == "killed" else pair.redis.freeze()
    try:
        answers = [pair.chat(number % 2) for number in range(10)]
        until(lambda: pair.redis_is("state_unavailable"), "both notice")
        later = [pair.chat(number % 2) for number in range(10)]
        refused = pair.switch(0, "largest")
        lives = pair.ask(0, "GET", "/_health/live")
    finally:
        pair.redis.start() if how == "killed" else pair.redis.thaw()
    assert {answer.status_code for answer in answers + later} == {200}
    assert {answer.json()["choices"][0]["message"]["content"] for answer in answers + later} == {"I am small."}
    assert {answer.headers.get("x-routeiq-degraded") for answer in later} == {"state_unavailable"}
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "state_unavailable")
    assert lives.status_code == 200
    until(lambda: pair.redis_is("ok"), "both recover")
    assert "x-routeiq-degraded" not in pair.chat(0).headers
    assert pair.active(0) == pair.active(1) == "smallest"
    assert pair.switch(1, "largest").status_code == 200
    until(lambda: pair.active(0) == "largest", "the other gateway")
    assert pair.switch(1, None).status_code == 200


def test_each_change_is_logged_and_counted_once(pair: Pair) -> None:
    """Two outages have left two lines for going and two for coming back, and the same in the metrics."""
    for which in (0, 1):
        lines = [json.loads(line) for line in pair.gateways[which].lines if line.startswith("{")]
        told = [line["degraded"] for line in lines if line.get("dependency") == "redis"]
        assert told == [True, False, True, False]
        metrics = pair.ask(which, "GET", "/metrics").text
        assert 'routeiq_dependency_changes_total{dependency="redis",state="degraded"} 2.0' in metrics
        assert "routeiq_degraded 0.0" in metrics
