"""What this worker shares with all others: the store, its mirror, who they are, and what happens without it.

Owns building these from the settings and running them: Redis when there is an address, else memory, in which case this
worker is all there is. What is shared is the business of those who use it.
"""

import asyncio
import json
import logging
import os
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from routeiq import __version__
from routeiq.config.load import Settings
from routeiq.config.redis_url import RedisAddress, parse_redis_url
from routeiq.config.settings import AffinitySettings
from routeiq.core.errors import ConfigError
from routeiq.core.ports import Clock
from routeiq.core.shared import SharedState
from routeiq.flow import RequestFlow
from routeiq.guard.conversations import Conversations
from routeiq.guard.degraded import REASONS, REDIS, Degraded
from routeiq.guard.experiments import Experiments
from routeiq.guard.mirror import Mirror
from routeiq.guard.tasks import Errands, end
from routeiq.learn.sequential import skew_of
from routeiq.routing.snapshot import Snapshot, SnapshotHolder
from routeiq.routing.vitals import Vitals

if TYPE_CHECKING:
    from routeiq.config.reload import Reloader, SyncStatus
    from routeiq.http.strategy import StrategyEndpoint

REQUEST_BOUND_S: Final = 0.05
"""How long a step on shared state may take that a request waits for."""

BACKGROUND_BOUND_S: Final = 1.0
"""How long any other step may take."""

AREAS: Final = ("busy", "strategy", "ab.weights", "cb", "config", "policy", "workers")
"""The areas that every worker mirrors."""

STRATEGY: Final = "strategy"
WORKERS: Final = "workers"
BUSY: Final = "busy"
LEAST_BUSY: Final = "least-busy"
"""The strategy that goes by the calls under way everywhere."""

TOLD_S: Final = 0.25
BUSY_FORGOTTEN_S: Final = 3.0
"""How often a worker looks whether its load is news, and after how long what it said is forgotten."""

ANNOUNCED_S: Final = 5.0
FORGOTTEN_S: Final = 15.0
"""How often a worker says that it is there, and when it is thought gone after it said so last."""

logger = logging.getLogger(__name__)

Failed = Callable[[str, BaseException], None]


def skewed(experiments: Experiments, snapshot: Snapshot) -> float:
    """Return how many experiments have units that are not divided as meant, as far as this worker has heard."""
    plans = [found.plan for found in snapshot.experiments]
    return float(sum(skew_of(plan, experiments.counts(plan)).alarm for plan in plans))


@dataclass(slots=True)
class Shared:
    """The shared parts of one worker. `state` is for the background and for admins, `quick` for requests.

    `describe` adds to what this worker says of itself.
    """

    state: SharedState
    quick: SharedState
    mirror: Mirror
    degraded: Degraded
    clock: Clock
    worker: str
    address: RedisAddress | None = None
    lonely: bool = False
    describe: Callable[[], Mapping[str, object]] = lambda: {}
    _move: Callable[[RedisAddress], None] = lambda _: None
    _snapshot: Callable[[], str] = lambda: ""
    _replica: str = ""
    _said: int = 0
    _near: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _began: float = 0.0

    @property
    def replica(self) -> str:
        """The name of this worker's replica, empty until it is started."""
        return self._replica

    def readdress(self, url: str) -> bool:
        """Go on with Redis at another address or with another password; False where there is none so far."""
        if self.address is None:
            return False
        self.address = parse_redis_url(url)
        self._move(self.address)
        return True

    @property
    def everywhere(self) -> bool:
        """Whether what is written here reaches other workers."""
        return self.address is not None

    @property
    def cut_off(self) -> bool:
        """Whether this worker has others (`lonely`) that would not hear of a change."""
        return self.lonely and not self.everywhere

    def experiments(self, failed: Failed) -> Experiments:
        """Return the experiments of this worker."""
        return Experiments(self.mirror, self.state, self.clock, failed)

    def conversations(self, said: AffinitySettings, failed: Failed) -> Conversations:
        """Return who remembers conversations; without a store for all workers each remembers its own."""
        state = self.quick if self.everywhere else None
        return Conversations(state, self.clock, failed, said.ttl_s, said.budget_ms / 1000.0)

    async def start(self, flow: RequestFlow, forked: bool = False) -> None:
        """Fetch the picture once and keep it fresh, and tell the others of this worker and of what `flow` has to do.

        A `forked` worker is one of several of its replica, which is named after the process that forked it.
        """
        self._loop, self._began = asyncio.get_running_loop(), self.clock.now()
        self._snapshot = lambda: flow.holder.current.version
        self._replica = f"{_name(socket.gethostname())}:{os.getppid() if forked else os.getpid()}"
        self.announce()
        await self.mirror.start()
        self._tasks.append(asyncio.create_task(self._keep_announcing(), name="routeiq-announce"))
        if self.everywhere:
            busy = SharedLoad(self.mirror, flow.vitals, self.worker)
            self._tasks.append(asyncio.create_task(self._keep_telling(busy, flow.holder), name="routeiq-busy"))

    async def close(self) -> None:
        """Say goodbye, write what waits, and close the connections; only on the event loop it was started on."""
        if self._loop is not asyncio.get_running_loop():
            return
        self._loop = None
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        self.mirror.put(WORKERS, self.worker, None)
        await self.mirror.close()
        await self.state.close()

    def own(self) -> Mapping[str, object]:
        """Return what this worker says of itself; `said` counts, so that the later of two can be told."""
        self._said += 1
        return {
            "said": self._said,
            "id": self.worker,
            "replica": self.replica,
            "pid": os.getpid(),
            "version": __version__,
            "snapshot": self._snapshot(),
            "started": self._began,
            **self.describe(),
        }

    def announce(self) -> None:
        """Tell the others what this worker says of itself; it does so now and then by itself."""
        if self._loop is not None:
            self.mirror.put(WORKERS, self.worker, json.dumps(self.own()).encode(), expires_s=FORGOTTEN_S)

    def meet(self, siblings: Iterable[Mapping[str, Any]]) -> None:
        """Know what the siblings said of themselves when they were asked just now; those of before are forgotten."""
        self._near = {str(one["id"]): one for one in siblings}

    def workers(self) -> list[Mapping[str, Any]]:
        """Return what each worker says of itself, as last known; during an outage those of before."""
        told = {key: json.loads(value) for key, value in self.mirror.items(WORKERS).items()}
        met = self._near.items()
        near = {key: one for key, one in met if not self.everywhere or told.get(key, one).get("said", 0) < one["said"]}
        found: dict[str, Mapping[str, Any]] = {**told, **near, self.worker: self.own()}
        return sorted(found.values(), key=lambda one: (str(one["replica"]), one.get("worker", 0), str(one["id"])))

    def count(self) -> int:
        """Return how many workers there are, this one included."""
        return max(1, len(self.mirror.items(WORKERS)))

    def strategies(self) -> dict[str, str]:
        """Return the strategy that an admin chose, by alias."""
        return {alias: value.decode() for alias, value in self.mirror.items(STRATEGY).items()}

    def status(self) -> Mapping[str, object]:
        """Return what /routeiq/status shows."""
        return {
            "shared_state": self.address.shown if self.address is not None else "memory",
            "worker": self.worker,
            "workers": self.workers(),
            "dependencies": self.degraded.status(),
        }

    async def _keep_announcing(self) -> None:
        while True:
            await asyncio.sleep(ANNOUNCED_S)
            self.announce()

    async def _keep_telling(self, busy: "SharedLoad", holder: SnapshotHolder) -> None:
        while True:
            await asyncio.sleep(TOLD_S)
            routes = holder.current.routes.values()
            busy.tell(any(route.profile.strategy == LEAST_BUSY for route in routes))
            busy.hear(none=self.degraded.gone(REDIS))


@dataclass(slots=True)
class SharedLoad:
    """The calls that each worker has under way, told to all others while a strategy goes by them."""

    mirror: Mirror
    vitals: Vitals
    worker: str
    _told: dict[str, int] = field(default_factory=dict)
    _at: int = 0

    def tell(self, wanted: bool) -> None:
        """Tell what changed, and now and then what did not, because it is forgotten otherwise."""
        counts = self.vitals.counts() if wanted else {}
        self._at += 1
        if counts != self._told or (counts and self._at % 4 == 0):
            value = json.dumps(counts).encode() if counts else None
            self.mirror.put(BUSY, self.worker, value, expires_s=BUSY_FORGOTTEN_S if counts else None)
        self._told = counts

    def hear(self, none: bool = False) -> None:
        """Take up what the others said; nothing (`none`) while nothing new can be heard."""
        total: Counter[str] = Counter()
        for worker, value in self.mirror.items(BUSY).items() if not none else ():
            if worker != self.worker:
                total.update(json.loads(value))
        self.vitals.elsewhere(total)


class StrategySwitch:
    """Has the strategies that an admin chose, here or at another worker, take effect in this one.

    `attempt` compiles the configuration with given choices, and raises when it cannot be used.
    """

    def __init__(
        self,
        shared: Shared,
        reloader: "Reloader",
        holder: SnapshotHolder,
        attempt: Callable[[Mapping[str, str]], object],
    ) -> None:
        self._shared, self._reloader, self._holder = shared, reloader, holder
        self._attempt = attempt
        self._looks = Errands()
        self._taken: dict[str, str] = {}

    async def start(self) -> None:
        """Take up what was chosen before this worker began, then what is chosen from now on."""
        await self.look()
        self._shared.mirror.on_change(STRATEGY, self._changed)

    async def look(self) -> "SyncStatus":
        """Take up what is chosen now, unless it is in force."""
        chosen = self._shared.strategies()
        status = await self._reloader.check(force=chosen != self._taken, fetch=False)
        if status.state != "rejected":
            self._taken = chosen
        return status

    def endpoint(self) -> "StrategyEndpoint":
        """Return what answers admins."""
        from routeiq.http.strategy import StrategyEndpoint

        return StrategyEndpoint(
            state=self._shared.state,
            mirror=self._shared.mirror,
            aliases=self._strategies,
            attempt=self._attempt,
            look=self.look,
        )

    def _strategies(self) -> Mapping[str, str]:
        routes = self._holder.current.routes
        return {alias: route.profile.strategy for alias, route in routes.items()}

    def _changed(self, _: Mapping[str, bytes | None]) -> None:
        self._looks.start(self.look())


def share(settings: Settings, clock: Clock, failed: Failed) -> Shared:
    """Build the shared parts of one worker; raises ConfigError when there is an address but not the library for it."""
    address = settings.environment.redis if settings.enabled else None
    state, quick, move = _state(address, clock)
    degraded = Degraded(clock)
    degraded.on_change(_log_change)
    if address is not None:
        degraded.expect(REDIS)

    def answered(ok: bool) -> None:
        if address is not None:
            degraded.report(REDIS, ok)

    mirror = Mirror(state, clock, AREAS, failed=failed, answered=answered)
    worker = f"{_name(socket.gethostname())}-{uuid.uuid4().hex[:12]}"
    return Shared(state, quick, mirror, degraded, clock, worker, address, _move=move)


def _state(
    address: RedisAddress | None, clock: Clock
) -> tuple[SharedState, SharedState, Callable[[RedisAddress], None]]:
    if address is None:
        from routeiq.adapters.memory import MemorySharedState

        memory = MemorySharedState(clock)
        return memory, memory, lambda _: None
    try:
        from routeiq.adapters.redis import RedisLink, RedisSharedState
    except ModuleNotFoundError as error:
        raise ConfigError(f"REDIS_URL needs {error.name}; run: pip install 'routeiq-router[redis]'") from None
    redis = RedisSharedState(RedisLink(address), BACKGROUND_BOUND_S)
    return redis, redis.bounded(REQUEST_BOUND_S), redis.readdress


def _name(host: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in host)[:60] or "host"


def _log_change(name: str, degraded: bool, lasted_s: float) -> None:
    told = {"dependency": name, "degraded": degraded, "reason": REASONS.get(name, "degraded")}
    fields = {"routeiq": {**told, "lasted_s": round(lasted_s, 3)}}
    if degraded:
        logger.error("%s does not answer; going on with what this worker knows", name, extra=fields)
    else:
        logger.warning("%s answers again after %.1f s", name, lasted_s, extra=fields)
