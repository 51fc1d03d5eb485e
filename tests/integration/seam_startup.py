"""What the proxy of the seam tests runs when a worker starts: the real hook over a real flow, records in a journal.

Runs in the environment of the LiteLLM under test, so it imports nothing but RouteIQ, LiteLLM and what they need.
"""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import litellm
import numpy as np
import yaml
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

from routeiq.adapters.litellm import host
from routeiq.adapters.litellm.hook import RouteIQHook
from routeiq.adapters.litellm.translate import candidates
from routeiq.flow import RequestFlow
from routeiq.routing.pickers import Best
from routeiq.routing.profile import Profile
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.stages import Prediction, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable

FOLDER = Path(os.environ.get("SEAM_FOLDER", "."))

MASTER_KEY = "sk-integration-7Hq2vLw9"
NARROW = "sk-narrow-4Tr8kPz1"
BARE = "sk-bare-9Lm3xQw6"
TEAM = "sk-team-2Bn7yHd5"
GROUPS = "sk-groups-6Vc1sJf8"


def write(kind: str, **fields: Any) -> None:
    """Add a line to the journal; lines are short, so that appending is atomic."""
    with (FOLDER / "journal").open("a") as journal:
        journal.write(json.dumps({"kind": kind, **fields}) + "\n")


class Clock:
    """The time of the machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class JournalLog:
    """An outcome log that writes into the journal."""

    def record_decision(self, request: Any, decision: Any, embedding: Any) -> None:
        write(
            "decision",
            id=decision.id,
            request_id=request.id,
            alias=decision.alias,
            surface=request.surface.value,
            choice=decision.choice,
            ranking=decision.ranking,
            strategy=decision.strategy,
            reason=decision.reason.value,
            degraded=decision.degraded,
            text=request.text,
            prompt_tokens=request.prompt_tokens,
            needs=sorted(request.needs),
            session=request.session,
            team=request.caller.team,
            key_hash=request.caller.key_hash,
            admin=request.caller.admin,
            embedded=embedding is not None,
            filtered={c.name: c.filtered_by for c in decision.candidates if c.filtered_by},
        )

    def record_outcome(self, outcome: Any) -> None:
        write(
            "outcome",
            decision_id=outcome.decision_id,
            model=outcome.model,
            status=outcome.status.value,
            input_tokens=outcome.usage.input_tokens,
            output_tokens=outcome.usage.output_tokens,
            cost_usd=outcome.cost_usd,
            latency_s=outcome.latency_s,
            ttft_s=outcome.ttft_s,
            retries=outcome.retries,
            streamed=outcome.streamed,
            cached=outcome.cached,
            error=outcome.error,
        )


class JournalTelemetry:
    """Telemetry of which only swallowed errors are of interest here."""

    def decided(self, request: Any, decision: Any, parent: Any) -> None:
        """Say nothing: the log does."""

    def ended(self, outcome: Any) -> None:
        """Say nothing: the log does."""

    def failed(self, where: str, error: BaseException) -> None:
        write("failed", where=where, error=repr(error))


class Embedder:
    """Two numbers for a text, at once."""

    id = "lengths"
    dimensions = 2
    inline = True

    def embed(self, text: str) -> Any:
        return np.array([1.0, float(len(text))], dtype=np.float32)


class Raising:
    """A scorer with a defect."""

    name = "raising"

    def predict(self, view: View) -> Prediction:
        raise RuntimeError("a defect in a scorer")


class Spy(CustomLogger):
    """What LiteLLM logs of a request, as any other callback sees it."""

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        payload = kwargs.get("standard_logging_object") or {}
        decision = (payload.get("metadata") or {}).get("routing_decision")
        write("spend_log", routing_decision=decision, model_group=payload.get("model_group"))


def snapshot(config: dict[str, Any]) -> Snapshot:
    """One route per routing group; the strategy stands in the `seam_strategies` of the same file."""
    known = {c.name: c for c in candidates(config["model_list"])}
    routes = {}
    for group in config["router_settings"]["routing_groups"]:
        alias = group["group_name"]
        table = CandidateTable(tuple(known[name] for name in group["models"]))
        strategy = config["seam_strategies"][alias]
        if strategy == "broken":
            profile = Profile("broken", (), ((Raising(), 1.0),), Best())
        else:
            profile = build(recipe(strategy), table, None, Tuning())
        routes[alias] = Route(alias, table, profile)
    return Snapshot("integration", routes)


def install() -> None:
    """The startup hook."""
    config = yaml.safe_load((FOLDER / "config.yaml").read_text())
    holder = SnapshotHolder(snapshot(config))
    flow = RequestFlow(holder, Embedder(), JournalLog(), JournalTelemetry(), Clock(), random.Random(7))  # type: ignore[arg-type]
    hook = RouteIQHook(flow)
    host.register(hook)
    host.register(hook)
    litellm.logging_callback_manager.add_litellm_callback(Spy())
    write("installed", version=host.refuse_bad_version(), callbacks=[type(c).__name__ for c in litellm.callbacks])


async def authenticate(request: Any, api_key: str) -> UserAPIKeyAuth:
    """LiteLLM's `custom_auth`: virtual keys without a database."""
    known: dict[str, dict[str, Any]] = {
        MASTER_KEY: {"user_role": LitellmUserRoles.PROXY_ADMIN},
        NARROW: {"models": ["auto", "cheap", "frail", "tiny", "small"]},
        BARE: {"models": ["auto"]},
        TEAM: {"models": [], "team_id": "red", "team_models": ["auto", "small"]},
        GROUPS: {"models": ["auto", "basics"]},
    }
    if api_key not in known:
        raise ValueError("unknown key")
    return UserAPIKeyAuth(api_key=api_key, **known[api_key])
