"""The composition root: settings to running parts. The only module that may import everything, and it decides nothing.

Two ways in. `install` is what `LITELLM_WORKER_STARTUP_HOOKS=routeiq.wiring:install` calls in each worker of an
unmodified `litellm --config` (plugin mode). `app` is the ASGI factory that `routeiq serve` runs: our edge around
LiteLLM's application (serve mode). Heavy imports stand in functions: the command line imports this module too.
"""

import asyncio
import atexit
import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeiq import __version__
from routeiq.config.active import with_strategies
from routeiq.config.compile import compile_snapshot
from routeiq.config.limits import Guards, guards_of
from routeiq.config.load import Settings, load
from routeiq.config.preload import Preloaded, stamps_of
from routeiq.core.candidate import Candidate
from routeiq.core.decision import Decision
from routeiq.core.errors import ConfigError, RouteIQError
from routeiq.core.metrics import (
    AB_SKEW,
    DEGRADED_NOW,
    IN_FLIGHT,
    LINES_DROPPED,
    LOG_DROPPED,
    LOG_HEALTHY,
    LOG_QUEUED,
    Metric,
    Reading,
)
from routeiq.core.outcome import Outcome
from routeiq.core.ports import ArtifactStore, Authenticator, Clock, Embedder, Telemetry
from routeiq.core.remembered import LogStatus
from routeiq.core.request import RouteRequest
from routeiq.flow import NAMED_STRATEGY, RequestFlow
from routeiq.guard.degraded import Degraded
from routeiq.guard.drain import Drain
from routeiq.guard.tasks import end
from routeiq.routing.learners import Learners
from routeiq.routing.snapshot import Snapshot, SnapshotHolder
from routeiq.routing.vitals import Vitals
from routeiq.sharing import Shared, StrategySwitch, share, skewed

if TYPE_CHECKING:
    from routeiq.adapters.logs import JsonLogging
    from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog
    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry
    from routeiq.adapters.sqlite.outcome_log import SqliteOutcomeLog
    from routeiq.http.edge import Edge
    from routeiq.http.gate import Gate
    from routeiq.http.siblings import Siblings

COLLECTOR_THRESHOLDS = (20_000, 20, 20)
"""After how many allocations and younger collections Python looks for cycles; its default is 700, 10, 10."""

_OWN_LATE = (
    *(f"routeiq.adapters.{name}" for name in ("logs", "otel.tracing", "prometheus.metrics", "sqlite")),
    *(f"routeiq.http.{name}" for name in ("edge", "siblings", "worker")),
)
"""Modules of our own that `app` imports."""

logger = logging.getLogger(__name__)


class SystemClock:
    """The machine's time; implements `core.ports.Clock`."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


@dataclass(slots=True)
class CompositeTelemetry:
    """Tells every part, in order; implements `core.ports.Telemetry`."""

    parts: tuple[Telemetry, ...]

    def decided(self, request: RouteRequest, decision: Decision, parent: Any) -> None:
        """Report a decision to all parts."""
        for part in self.parts:
            part.decided(request, decision, parent)

    def ended(self, outcome: Outcome) -> None:
        """Report an outcome to all parts."""
        for part in self.parts:
            part.ended(outcome)

    def failed(self, where: str, error: BaseException) -> None:
        """Report a swallowed error to all parts."""
        for part in self.parts:
            part.failed(where, error)


@dataclass(slots=True)
class Gateway:
    """The running parts of one process, owned by whoever assembled them."""

    settings: Settings
    flow: RequestFlow
    shared: Shared
    log: "SqliteOutcomeLog | MemoryOutcomeLog"
    metrics: "PrometheusTelemetry"
    guards: Guards
    closers: tuple[Callable[[], None], ...] = ()

    async def close(self) -> None:
        """Make the outcome log durable and send what telemetry still holds; may be called again."""
        await self.flow.close()
        await self.guards.close()
        await self.shared.close()
        for closer in self.closers:
            closer()

    def status(self) -> Mapping[str, object]:
        """Return what /routeiq/status shows of this process."""
        log = self.log.status()
        return {
            "config": str(self.settings.path),
            "enabled": self.settings.enabled,
            "embedder": self.flow.embedder.id if self.flow.embedder else None,
            "learned": self.flow.learners.status(),
            **self.shared.status(),
            "outcome_log": {"healthy": log.healthy, "queued": log.queued, "dropped": log.dropped},
        }

    def checks(self) -> Mapping[str, str]:
        """Return the state of the parts for readiness; advice only."""
        log = self.log.status()
        writes = "ok" if log.healthy else (log.last_error_reason or "failing")
        return {"outcome_log": writes, **self.shared.degraded.checks()}


def embedder_of(settings: Settings) -> Embedder | None:
    """Return the embedder that the settings name, None for `kind: none`; raises ConfigError."""
    if settings.routeiq.embedder.kind == "none":
        return None
    return encoder(settings.encoder)


def encoder(folder: Path | None) -> Embedder:
    """Return the encoder in a folder, or the built-in embedder; raises ConfigError."""
    if folder is None:
        from routeiq.routing.embedding import load_default

        return load_default()
    try:
        from routeiq.adapters.onnx import OnnxEmbedder
    except ModuleNotFoundError as error:
        raise ConfigError(f"an ONNX encoder needs {error.name}; run: pip install 'routeiq-router[onnx]'") from None
    return OnnxEmbedder(folder)


def snapshot_of(settings: Settings, candidates: Sequence[Candidate], embedder: Embedder | None) -> Snapshot:
    """Return the compiled configuration; raises ConfigError or ArtifactError."""
    return compile_snapshot(settings, candidates, _artifacts(settings), embedder)


def _artifacts(settings: Settings) -> ArtifactStore:
    """Return where artifacts come from, with whose word they need; raises ConfigError."""
    from routeiq.adapters.files.artifacts import FileArtifactStore

    wanted = settings.routeiq.signatures
    if not wanted.trusted_keys:
        return FileArtifactStore()
    try:
        from routeiq.adapters.signing import SignedArtifactStore, TrustedKeys
    except ModuleNotFoundError as error:
        raise ConfigError(f"signatures need {error.name}; run: pip install 'routeiq-router[proxy]'") from None
    try:
        trusted = TrustedKeys(wanted.trusted_keys)
    except ConfigError as error:
        raise ConfigError(f"{settings.where('signatures', 'trusted_keys')}: {error.message}") from None
    return SignedArtifactStore(FileArtifactStore(), trusted, wanted.required)


def assemble(
    settings: Settings,
    candidates: Sequence[Candidate],
    lost_lines: Callable[[], int] = lambda: 0,
    preloaded: Preloaded | None = None,
) -> Gateway:
    """Build every part of one process; raises ConfigError or ArtifactError when something cannot be used.

    `lost_lines` counts log lines that could not be written. What is `preloaded` is used as long as the files say so.
    """
    clock = SystemClock()
    if preloaded is not None and preloaded.fits(settings):
        embedder, snapshot = preloaded.embedder, preloaded.snapshot
    else:
        embedder = embedder_of(settings) if settings.enabled else None
        snapshot = snapshot_of(settings, candidates, embedder)
    shared = share(settings, clock, lambda where, error: telemetry.failed(where, error))
    experiments = shared.experiments(lambda where, error: telemetry.failed(where, error))
    log = _outcome_log(settings, clock)
    vitals = Vitals()
    guards = guards_of(settings, clock)
    skew = {AB_SKEW: lambda: skewed(experiments, flow.holder.current)}
    metrics = _metrics(snapshot, candidates, log.status, vitals, shared.degraded, lost_lines, guards, skew)
    guards.share(shared.mirror, shared.quick, shared.worker, shared.count, lambda *told: telemetry.failed(*told))
    spans, close_spans = _spans(settings, clock)
    telemetry: Telemetry = CompositeTelemetry((metrics, spans, _lines(settings, clock), guards))
    shared.degraded.on_change(metrics.depended)
    learners = _learners(settings, telemetry)
    flow: RequestFlow = RequestFlow(
        holder=SnapshotHolder(snapshot, learners.adopt),
        embedder=embedder,
        log=log,
        telemetry=telemetry,
        learners=learners,
        clock=clock,
        chance=random.Random(),  # noqa: S311 - exploration, not a secret
        deadline_s=settings.routeiq.embedder.deadline_ms / 1000.0,
        vitals=vitals,
        degraded=shared.degraded,
        breakers=guards.breakers,
        met=guards.admission.met,
        experiments=experiments,
        conversations=shared.conversations(settings.routeiq.affinity, telemetry.failed),
    )
    return Gateway(settings, flow, shared, log, metrics, guards, (close_spans,))


def _learners(settings: Settings, telemetry: Telemetry) -> Learners:
    """Return what learns while serving, with its state in files."""
    from routeiq.adapters.files.posteriors import FilePosteriorStore

    online = settings.routeiq.online
    return Learners(
        store=FilePosteriorStore(settings.learned),
        failed=telemetry.failed,
        answered=online.answered_score,
        save_updates=online.save_updates,
        save_seconds=online.save_seconds,
    )


def _outcome_log(settings: Settings, clock: Clock) -> "SqliteOutcomeLog | MemoryOutcomeLog":
    path = settings.outcome_log if settings.enabled else None
    if path is None:
        from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog

        return MemoryOutcomeLog()
    from routeiq.adapters.sqlite import SqliteOutcomeLog, load_or_create_salt

    salt = load_or_create_salt(path.with_name(path.name + ".salt"))
    return SqliteOutcomeLog(path, salt=salt, clock=clock, store_prompts=settings.routeiq.outcome_log.store_prompts)


def _metrics(
    snapshot: Snapshot,
    candidates: Sequence[Candidate],
    status: Callable[[], LogStatus],
    vitals: Vitals,
    degraded: Degraded,
    lost_lines: Callable[[], int],
    guards: Guards,
    more: Mapping[Metric, Callable[[], Reading]],
) -> "PrometheusTelemetry":
    from prometheus_client import REGISTRY

    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry

    sources: dict[Metric, Callable[[], Reading]] = {
        **guards.sources(),
        **more,
        IN_FLIGHT: lambda: float(vitals.total()),
        LINES_DROPPED: lambda: float(lost_lines()),
        LOG_QUEUED: lambda: float(status().queued),
        LOG_DROPPED: lambda: float(status().dropped),
        LOG_HEALTHY: lambda: float(status().healthy),
        DEGRADED_NOW: lambda: float(degraded.count()),
    }
    return PrometheusTelemetry(
        __version__,
        strategies={NAMED_STRATEGY, *snapshot.strategies},
        experiments={found.plan.name for found in snapshot.experiments},
        models={candidate.name for candidate in candidates},
        sources=sources,
        beside=(REGISTRY,),  # LiteLLM's own metrics, which its path would show if ours did not stand before it
    )


def _spans(settings: Settings, clock: Clock) -> tuple[Telemetry, Callable[[], None]]:
    """Return telemetry for spans, and what closes it; without the `otel` extra there are none."""
    endpoint = settings.environment.otlp_endpoint
    try:
        from routeiq.adapters.otel.tracing import SpanTelemetry, host_spans
    except ModuleNotFoundError as error:
        if endpoint is not None:
            message = f"OTEL_EXPORTER_OTLP_ENDPOINT needs {error.name}; run: pip install 'routeiq-router[otel]'"
            raise ConfigError(message) from None
        return CompositeTelemetry(()), lambda: None
    if endpoint is None:
        return host_spans(clock), lambda: None
    spans = SpanTelemetry.to_collector(str(endpoint), clock, service_name=settings.environment.service_name)
    return spans, spans.close


def _lines(settings: Settings, clock: Clock) -> Telemetry:
    """Return telemetry that writes to the process's loggers."""
    from routeiq.adapters.logs import LogTelemetry

    return LogTelemetry(clock, random.Random(), share=float(settings.routeiq.decision_log))  # noqa: S311 - a sample


def _json_lines(settings: Settings, stack: ExitStack, worker_id: str | None = None) -> "JsonLogging":
    """Have this process write JSON lines only, its host's messages and prints included, until the stack is closed."""
    from routeiq.adapters.logs import JsonLogging, LineHandler, PrintedLines

    handler = LineHandler(sys.stdout, service=settings.environment.service_name, worker_id=worker_id)
    lines = JsonLogging(handler, level=logging.getLogger("uvicorn.error").getEffectiveLevel())
    lines.start()
    stack.callback(lines.stop)
    stack.enter_context(redirect_stdout(PrintedLines()))
    return lines


def _register(gateway: Gateway, announces: bool) -> None:
    """Have LiteLLM call the gateway's flow; `announces` as for `RouteIQHook`."""
    from routeiq.adapters.litellm import host
    from routeiq.adapters.litellm.hook import RouteIQHook

    host.register(RouteIQHook(gateway.flow, announces=announces))


def _candidates(settings: Settings) -> Sequence[Candidate]:
    from routeiq.adapters.litellm import host, translate

    host.refuse_bad_version()
    return translate.candidates(settings.model_list)


def install() -> None:
    """Plugin mode: build the parts and have LiteLLM call us. Without a `routeiq_settings` section nothing happens.

    Raises what `assemble` raises, which ends the worker; the mistake is logged in one line first, because the host
    shows a traceback.
    """
    try:
        _install()
    except RouteIQError as error:
        logger.error("error[%s]: %s", error.reason, error.message)
        raise


def _install() -> None:
    settings = load()
    for warning in settings.warnings:
        logger.warning("%s", warning)
    if not settings.enabled:
        logger.warning("%s has no section routeiq_settings; RouteIQ stays out of the way", settings.path)
        return
    if settings.routeiq.compound:
        logger.warning("compound models need `routeiq serve`; not served: %s", ", ".join(settings.routeiq.compound))
    gateway = assemble(settings, _candidates(settings))
    _register(gateway, announces=True)
    gateway.shared.begin(gateway.flow)
    atexit.register(_close_at_exit, gateway)


def _close_at_exit(gateway: Gateway) -> None:
    asyncio.run(gateway.close())


def _read(gateway: Gateway, active: Mapping[str, str]) -> tuple[Settings, Snapshot]:
    """Return the configuration as the files are now, with the strategies that admins chose, and what it compiles to."""
    settings = with_strategies(load(gateway.settings.path), active)
    return settings, snapshot_of(settings, _candidates(settings), gateway.flow.embedder)


def preload(settings: Settings) -> Preloaded:
    """Import LiteLLM's proxy and load what can be shared, for workers that are forked from this process.

    Starts no thread and opens no connection: neither would survive. Raises what `assemble` raises.
    """
    from routeiq.adapters.litellm import host
    from routeiq.adapters.litellm.late import load_late

    gc.disable()
    with redirect_stdout(sys.stderr):
        host.load_app()
        load_late()
        load_late(_OWN_LATE)
    embedder = embedder_of(settings) if settings.enabled else None
    stamps = stamps_of(settings.files)
    loaded = Preloaded(settings, embedder, snapshot_of(settings, _candidates(settings), embedder), stamps)
    gc.enable()
    gc.freeze()
    return loaded


def app(preloaded: Preloaded | None = None, siblings: "Siblings | None" = None) -> "Edge":
    """Serve mode: return our edge around LiteLLM's application. One of several workers has siblings."""
    from routeiq.adapters.litellm import host, translate
    from routeiq.http.config_sync import ReloadEndpoint, open_form
    from routeiq.http.edge import Edge
    from routeiq.http.rollback import RollbackEndpoint
    from routeiq.http.table import RELOAD, ROLLBACK, STRATEGIES, STRATEGY
    from routeiq.reloading import keep_reloading, reloader_of

    settings = load()
    stack = ExitStack()
    lines = _json_lines(settings, stack, str(siblings.index) if siblings is not None else None)
    gateway = assemble(settings, _candidates(settings), lambda: lines.handler.dropped, preloaded)
    inner = host.load_app(once_logging=lines.adopt)
    if settings.enabled:
        _register(gateway, announces=False)
    flow, shared, failed = gateway.flow, gateway.shared, gateway.flow.telemetry.failed
    auth = host.KeyAuthenticator(host.Access(flow.clock, failed))
    reloader = reloader_of(settings, flow, gateway.metrics, lambda: _read(gateway, shared.strategies()))
    shared.lonely = lonely = siblings is not None and siblings.count > 1
    switch = StrategySwitch(shared, reloader, flow.holder, lambda active: _read(gateway, active), lonely=lonely)
    rollback = RollbackEndpoint(reloader, shared.mirror, lonely and not shared.everywhere)
    background: list[asyncio.Task[None]] = []

    async def started() -> None:
        lines.adopt()
        host.cancel_with_client()
        await shared.start(flow, forked=siblings is not None)
        await switch.start()
        rollback.start()
        background.append(asyncio.create_task(keep_reloading(reloader, settings, failed)))
        _spare_the_collector()
        if siblings is not None:
            await siblings.open(gateway.metrics.render)
        logger.info("RouteIQ %s serves snapshot %s", __version__, gateway.flow.holder.current.version)

    async def stopped() -> None:
        await end(*background)
        if siblings is not None:
            await siblings.close()
        await gateway.close()
        stack.close()

    return Edge(
        _with_compounds(inner, flow, auth),
        flow=gateway.flow,
        log=gateway.log,
        auth=auth,
        translate=translate.preview,
        metrics=gateway.metrics.render if siblings is None else siblings.metrics(gateway.metrics.render),
        drain=Drain(settings.environment.lame_duck_s, settings.environment.drain_timeout_s),
        on_startup=started,
        on_shutdown=stopped,
        deliver=host.deliver_events,
        status=gateway.status,
        checks=gateway.checks,
        sync=lambda: open_form(reloader.status),
        more={
            RELOAD: ReloadEndpoint(reloader),
            ROLLBACK: rollback,
            **dict.fromkeys((STRATEGY, STRATEGIES), switch.endpoint()),
        },
        gate=_gate(gateway, host.cors_options(inner)),
    )


def _gate(gateway: Gateway, cors: Mapping[str, Any] | None) -> "Gate":
    """Return what calls to models pass before LiteLLM."""
    from routeiq.http.gate import Gate

    guards, general = gateway.guards, gateway.settings.litellm.get("general_settings") or {}
    header = general.get("litellm_key_header_name")
    return Gate(guards.admission, guards.clock, cors=cors, key_header=header, everywhere=guards.everywhere)


def _with_compounds(inner: Any, flow: RequestFlow, auth: Authenticator) -> Any:
    """Return LiteLLM's application with the compound models around it."""
    from routeiq.adapters.litellm import translate
    from routeiq.http.compound.models import CompoundModels

    return CompoundModels(inner, flow=flow, auth=auth, translate=translate.preview)


def _spare_the_collector() -> None:
    """Take what start-up built out of the garbage collector's sight, and have it look less often.

    LiteLLM's modules are a million objects that live as long as the process; going through them again and again costs
    more of a request than routing does. What requests leave behind is still collected.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
