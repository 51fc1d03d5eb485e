"""Calls of `litellm.Router` as a library, with the strategy attached; prints what came of each as one JSON object.

Usage: python -m tests.integration.library_calls URL. Runs in the environment of the LiteLLM under test.
"""

import asyncio
import json
import random
import sys
import urllib.request
from typing import Any

import litellm

from routeiq.adapters.litellm import host
from routeiq.adapters.litellm.hook import RouteIQRoutingStrategy
from routeiq.adapters.litellm.translate import candidates
from routeiq.flow import RequestFlow
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import RecordingLog, RecordingTelemetry
from tests.integration.seam_startup import Clock, Embedder

GROUPS = {"auto": ["tiny", "small", "large"], "colours": ["red", "blue"], "narrow": ["cramped", "roomy"]}
MESSAGES = [{"role": "user", "content": "What is a library?"}]


def model(url: str, name: str, upstream: str, size: float, params: dict[str, Any] | None = None) -> dict[str, Any]:
    at = {"model": f"openai/{upstream}", "api_base": f"{url}/v1", "api_key": "provider-key", **(params or {})}
    return {"model_name": name, "litellm_params": at, "model_info": {"size": size, "id": name}}


def fault(url: str, name: str, kind: str | None, times: int | None = None) -> None:
    order = json.dumps({"model": name, "fault": kind, "times": times}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/control", order, method="POST")).close()


class Library:
    """A router with our strategy, and what the flow was told."""

    def __init__(self, url: str) -> None:
        self.url = url
        models = [
            model(url, "tiny", "sim-tiny", 1),
            model(url, "small", "sim-small", 3),
            model(url, "large", "sim-large", 70),
            model(url, "red", "sim-tiny", 50, {"tags": ["red"]}),
            model(url, "blue", "sim-small", 5, {"tags": ["blue"]}),
            {
                **model(url, "cramped", "sim-math", 90),
                "model_info": {"id": "cramped", "size": 90, "max_input_tokens": 5},
            },
            model(url, "roomy", "sim-code", 8),
        ]
        priority = {"routing_strategy": "priority"}
        groups = [
            {"group_name": name, "models": members, "model_priorities": dict.fromkeys(members, 1), **priority}
            for name, members in GROUPS.items()
        ]
        self.router = litellm.Router(
            model_list=models,
            routing_groups=groups,
            num_retries=1,
            retry_after=0,
            enable_tag_filtering=True,
            enable_pre_call_checks=True,
        )
        known = {c.name: c for c in candidates(models)}
        routes = {}
        for name, members in GROUPS.items():
            table = CandidateTable(tuple(known[member] for member in members))
            routes[name] = Route(name, table, build(recipe("largest"), table, None, Tuning()))
        self.log, self.telemetry = RecordingLog(), RecordingTelemetry()
        holder = SnapshotHolder(Snapshot("library", routes))
        clock: Any = Clock()
        embedder: Any = Embedder()
        self.flow = RequestFlow(holder, embedder, self.log, self.telemetry, clock, random.Random(7))
        self.strategy = RouteIQRoutingStrategy(self.router, self.flow)

    async def call(self, alias: str, **more: Any) -> str:
        """Return who answered; the text of the simulated models says it."""
        answer = await self.router.acompletion(model=alias, messages=MESSAGES, **more)
        return str(answer.choices[0].message.content).split(",")[0].removeprefix("This is ")

    async def settle(self, count: int) -> None:
        """Wait until that many outcomes were recorded; LiteLLM logs after it answered."""
        for _ in range(200):
            if len(self.log.outcomes) >= count:
                return
            await asyncio.sleep(0.05)

    def last(self) -> dict[str, Any]:
        request, decision, embedding = self.log.decisions[-1]
        outcome = self.log.outcomes[-1]
        return {
            "choice": decision.choice,
            "text": request.text,
            "embedded": embedding is not None,
            "served": outcome.model,
            "retries": outcome.retries,
            "joined": outcome.decision_id == decision.id,
            "tokens": outcome.usage.input_tokens,
        }


async def scenarios(library: Library) -> dict[str, Any]:
    """Run every scenario and return its result by name."""
    found: dict[str, Any] = {"groups": host.supports_priority_groups()}
    library.strategy.attach()
    found["best"] = await library.call("auto")
    await library.settle(1)
    found["record"] = library.last()

    fault(library.url, "sim-large", "error_500", 1)
    found["retry"] = await library.call("auto", metadata={})
    await library.settle(2)
    found["retry_record"] = library.last()
    fault(library.url, "sim-large", "error_500", 1)
    found["retry_without_metadata"] = await library.call("auto")
    found["decisions_of_a_retry"] = len(library.log.decisions) - 2

    found["tags"] = await library.call("colours", metadata={"tags": ["blue"]})
    found["window"] = await library.call("narrow")

    fault(library.url, "sim-large", "error_429", 1)
    await library.call("auto")
    before = len(library.log.decisions)
    found["cooldown"] = await library.call("auto")
    found["cooldown_words"] = {
        c.name: c.filtered_by for c in library.log.decisions[before][1].candidates if c.filtered_by
    }
    found["named"] = await library.call("tiny")
    found["sync"] = library.router.completion(model="tiny", messages=MESSAGES).choices[0].message.content.split(",")[0]
    library.router.update_settings(routing_strategy="least-busy")
    found["kept_after_update"] = "async_get_available_deployment" in library.router.__dict__
    found["after_update"] = await library.call("colours", metadata={"tags": ["blue"]})
    found["best_after_update"] = await library.call("auto")  # the large one is still cooling down
    found["failures"] = [(where, repr(error)) for where, error in library.telemetry.failures]
    return found


def main() -> None:
    litellm.suppress_debug_info = True
    print(json.dumps(asyncio.run(scenarios(Library(sys.argv[1])))))


if __name__ == "__main__":
    main()
