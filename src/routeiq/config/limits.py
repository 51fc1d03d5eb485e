"""The operator's limits and breakers as the guards take them, and the guards of a worker made of them.

Owns what the settings mean; decides nothing.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routeiq.config.environment import Environment
from routeiq.config.load import Settings
from routeiq.config.settings import BreakerSettings, LimitsSettings, ShareSettings
from routeiq.core.decision import Decision
from routeiq.core.metrics import (
    ACTIVE_STREAMS,
    ADMITTED,
    BREAKER_STATE,
    P95,
    REFUSED,
    REQUEST_RATE,
    TOKEN_THROUGHPUT,
    WAITING,
    Metric,
    Reading,
)
from routeiq.core.outcome import Outcome
from routeiq.core.ports import Clock
from routeiq.core.request import RouteRequest
from routeiq.core.shared import SharedState
from routeiq.guard.admission import Admission, Limits
from routeiq.guard.behind import WriteBehind
from routeiq.guard.breaker import State, Trip
from routeiq.guard.breakers import Breakers
from routeiq.guard.bulkhead import Priority, Share, Shares
from routeiq.guard.everywhere import Everywhere
from routeiq.guard.mirror import Mirror

logger = logging.getLogger(__name__)

Failed = Callable[[str, BaseException], None]

QUEUED_BY_DEFAULT = 100


def limits_of(said: LimitsSettings, environment: Environment) -> Limits:
    """Return the bounds of one worker."""
    concurrency = _concurrency(said, environment)
    queued = said.max_queued_requests
    return Limits(
        concurrency=concurrency,
        queued=(concurrency or QUEUED_BY_DEFAULT) if queued is None else queued,
        wait_s=said.queue_timeout_s,
        tokens=said.max_tokens_in_flight,
        p95_s=said.max_p95_latency_s,
    )


def shares_of(said: LimitsSettings, environment: Environment) -> Shares:
    """Return the shares of teams and keys; a part of the worker is at least one request."""
    concurrency = _concurrency(said, environment)
    slots = 0 if said.share >= 1.0 or not concurrency else max(1, int(concurrency * said.share))

    def share(one: ShareSettings, other: int) -> Share:
        return Share(one.max_concurrent or other, one.weight, Priority[one.priority.upper()], one.max_everywhere)

    return Shares(
        other=Share(slots),
        teams={name: share(one, slots) for name, one in said.teams.items()},
        keys={name: share(one, slots) for name, one in said.keys.items()},
    )


def trip_of(said: BreakerSettings, environment: Environment) -> Trip:
    """Return what opens and closes breakers."""
    return Trip(
        failures=said.failure_threshold
        if environment.cb_failure_threshold is None
        else environment.cb_failure_threshold,
        share=said.failure_share,
        window_s=said.window_s,
        open_s=said.timeout_s if environment.cb_timeout is None else environment.cb_timeout,
        probes=said.probes,
        latency_s=said.max_latency_s,
        ttft_s=said.max_ttft_s,
    )


def providers_of(model_list: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return who serves each model name of the list: the host of its address, else LiteLLM's name of the provider.

    A name with deployments at several providers has none: one of them failing says nothing of the others.
    """
    found: dict[str, set[str]] = {}
    for entry in model_list:
        params = entry.get("litellm_params")
        params = params if isinstance(params, Mapping) else {}
        found.setdefault(str(entry.get("model_name")), set()).add(_provider(params))
    return {name: next(iter(providers)) for name, providers in found.items() if len(providers) == 1}


def _provider(params: Mapping[str, Any]) -> str:
    address = params.get("api_base")
    host = urlsplit(address).netloc.rpartition("@")[2] if isinstance(address, str) else ""
    named = params.get("custom_llm_provider") or str(params.get("model", "")).partition("/")[0]
    return host or str(named)


def _concurrency(said: LimitsSettings, environment: Environment) -> int:
    given = environment.max_concurrent_requests
    return said.max_concurrent_requests if given is None else given


@dataclass(slots=True)
class Guards:
    """What says no in one worker, and what it counts. As telemetry it learns how many tokens calls took.

    `everywhere` is None until the worker shares with others, and where no team is bounded over all of them.
    """

    admission: Admission
    breakers: Breakers | None
    clock: Clock
    everywhere: Everywhere | None = None

    def share(
        self, mirror: Mirror, state: SharedState, worker: str, workers: Callable[[], int], failed: Failed
    ) -> None:
        """Share breakers and the bounds of teams with all other workers; `state` answers quickly or not at all."""
        if self.breakers is not None:
            self.breakers.share(mirror, worker)
        if any(share.everywhere for share in self.admission.shares.teams.values()):
            self.everywhere = Everywhere(state, WriteBehind("limits", failed), failed, workers)

    async def close(self) -> None:
        """Give back what is held elsewhere."""
        if self.everywhere is not None:
            await self.everywhere.close()

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Decisions say nothing of load."""

    def ended(self, outcome: Outcome) -> None:
        """Count the tokens of a call that ended."""
        tokens = outcome.usage.input_tokens + outcome.usage.output_tokens
        if tokens:
            self.admission.load.tokens.add(self.clock.monotonic(), tokens)

    def failed(self, where: str, error: BaseException) -> None:
        """Swallowed errors say nothing of load."""

    def sources(self) -> dict[Metric, Callable[[], Reading]]:
        """Return what the metrics of load and breakers are read from."""
        admission, load, now = self.admission, self.admission.load, self.clock.monotonic
        breakers = self.breakers
        return {
            ADMITTED: lambda: float(admission.in_flight),
            WAITING: lambda: float(admission.waiting),
            REFUSED: lambda: {(reason,): float(count) for reason, count in admission.refusals.items()},
            BREAKER_STATE: lambda: {} if breakers is None else breakers.gauge(),
            ACTIVE_STREAMS: lambda: float(load.streams()),
            TOKEN_THROUGHPUT: lambda: load.tokens.per_second(now()),
            REQUEST_RATE: lambda: load.requests.per_second(now()),
            P95: lambda: (load.latencies.p95(now()) or 0.0) * 1000.0,
        }


def guards_of(settings: Settings, clock: Clock) -> Guards:
    """Return the guards of one worker, which share nothing with others yet."""
    said, environment = settings.routeiq, settings.environment
    admission = Admission(limits_of(said.limits, environment), shares_of(said.limits, environment))
    breakers = None
    if settings.enabled and said.breakers.enabled:
        trip = trip_of(said.breakers, environment)
        breakers = Breakers(trip, clock, providers_of(settings.model_list), turned=_log_turn)
    return Guards(admission, breakers, clock)


def _log_turn(name: str, state: State, failures: int) -> None:
    level = logging.WARNING if state is State.OPEN else logging.INFO
    fields = {"routeiq": {"breaker": name, "state": state.value, "failures": failures}}
    logger.log(level, "circuit breaker of %s is %s", name, state.value, extra=fields)
