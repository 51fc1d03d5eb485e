"""Compound models around a provider of simulated models in this process, for tests to talk to as clients do."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from starlette.types import Message, Receive, Scope, Send

from routeiq.core.candidate import Candidate
from routeiq.core.decision import Decision
from routeiq.core.request import Caller, RouteRequest
from routeiq.flow import RequestFlow
from routeiq.http.compound.models import CompoundModels
from routeiq.routing.compound.ledger import Budget
from routeiq.routing.compound.methods import METHODS, Compound
from routeiq.routing.compound.steps import Plan
from routeiq.routing.pickers import Best
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.stages import Filter, Prediction, View
from routeiq.routing.strategies import Recipe, Tuning, build
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import FixedKeys, RecordingLog, RecordingTelemetry
from routeiq.testing.replay.app import Provider, build_app
from routeiq.testing.replay.faults import Fault
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks.models import MODELS_BY_NAME
from routeiq.testing.tasks.task import Task
from routeiq.testing.tasks.task_list import all_tasks
from tests.unit.adapters.records import WallClock

POOL = ("sim-tiny", "sim-mini", "sim-large")
TASKS = tuple(task for task in all_tasks() if task.tools is None)
HARD = next(t for t in TASKS if t.family == "code_output" and t.difficulty == 3)
PAIR = "\n\n".join(next(t for t in TASKS if t.family == f).prompt for f in ("translation", "classification"))
"""A question of two parts, as multi-round methods like them."""


class Expected:
    """A scorer that expects the more of a model the dearer it is."""

    name = "expected"

    def predict(self, view: View) -> Prediction:
        """Return one score per candidate."""
        return Prediction(np.linspace(0.4, 0.9, len(view.table)), quality=True)


def priced(name: str) -> Candidate:
    """A simulated model at its prices."""
    model = MODELS_BY_NAME[name]
    return Candidate(name, model.usd_per_m_input / 1e6, model.usd_per_m_output / 1e6)


def compound(
    method: str, budget: Budget | None = None, plan: Plan | None = None, filters: tuple[Filter, ...] = ()
) -> Compound:
    """A compound model of the name of its method."""
    table = CandidateTable(tuple(map(priced, POOL)))
    made_of = Recipe("expected", "expects something", lambda table, artifact: Expected(), Best)
    leader = "sim-mini" if "model" in METHODS[method].needs else None
    profile = build(made_of, table, None, Tuning(filters=filters))
    return Compound(
        Route(method, table, profile), METHODS[method], plan or Plan(model=leader), budget or Budget(), POOL
    )


def translate(body: Mapping[str, Any], headers: Mapping[str, str], caller: Caller) -> RouteRequest:
    """Read a body; stands in for the translation of LiteLLM's requests."""
    return RouteRequest("preview", body["model"], text=str(body["messages"][-1]["content"]), caller=caller)


@dataclass
class Heard:
    """What a client was sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of the stream's events, without the end mark."""
        lines = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def text(self) -> str:
        """The answer's text, streamed or not."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return str(self.json["choices"][0]["message"]["content"])
        deltas = [event["choices"][0]["delta"] for event in self.events if event["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)


@dataclass
class Scene:
    """Clients, compound models, and the provider behind them."""

    provider: Provider
    flow: RequestFlow
    app: CompoundModels
    log: RecordingLog
    calls: int = 0

    @classmethod
    def around(cls, *compounds: Compound) -> "Scene":
        provider = Provider(SimulatedSource(0, POOL), inf, "test")
        log = RecordingLog()
        flow = RequestFlow(
            SnapshotHolder(Snapshot("1", {}, {one.name: one for one in compounds})),
            None,
            log,
            RecordingTelemetry(),
            WallClock(),
            random.Random(0),
        )
        keys = FixedKeys(
            {"all": Caller("all"), "some": Caller("some"), "red": Caller("red", team="red")}, {"some": set(POOL[:2])}
        )
        app = CompoundModels(build_app(provider), flow=flow, auth=keys, translate=translate)
        return cls(provider, flow, app, log)

    async def ask(
        self, model: str, prompt: str, key: str = "all", leave: bool = False, midway: bool = False, **more: Any
    ) -> Heard:
        """Send a chat completion; with `leave` the client goes as soon as a call has arrived at the provider.

        With `midway` it goes when something of the answer has reached it.
        """
        self.calls += 1
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        raw = json.dumps(body).encode()
        headers = [(b"authorization", f"Bearer {key}".encode()), (b"x-litellm-call-id", str(self.calls).encode())]
        scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "root_path": ""}
        scope |= {"headers": headers, "query_string": b"", "http_version": "1.1", "scheme": "http"}
        return await self._sent(scope, raw, leave, midway)

    async def _sent(self, scope: Scope, raw: bytes, leave: bool, midway: bool) -> Heard:
        heard, said = Heard(), False

        async def receive() -> Message:
            nonlocal said
            if not said:
                said = True
                return {"type": "http.request", "body": raw, "more_body": False}
            while not (heard.body if midway else leave and self.asked()):
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                heard.status = message["status"]
                heard.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                heard.body += message.get("body", b"")

        task: Send = send
        given: Receive = receive
        await asyncio.wait_for(self.app(scope, given, task), 20)
        return heard

    def asked(self) -> list[str]:
        """The models that the provider was asked for, in order."""
        return [row["model"] for row in self.provider.journal.rows()]

    def fail(self, model: str, fault: str = "error_500", **more: Any) -> None:
        """Have the calls of a model go wrong."""
        self.provider.faults.set(model, Fault(fault, **more))

    @property
    def decision(self) -> Decision:
        """The only decision that was kept."""
        ((_, decision, _),) = self.log.decisions
        return decision


def wrong_for(model: str) -> Task:
    """A task that a simulated model gets wrong."""
    from routeiq.testing.tasks.models import simulate

    return next(task for task in TASKS if not simulate(task, model).correct)
