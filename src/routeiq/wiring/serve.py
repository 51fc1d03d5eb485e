"""Serve mode: our edge around LiteLLM's application, and what workers that are forked inherit."""

import asyncio
import gc
import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

from routeiq import __version__
from routeiq.config.load import Settings, load
from routeiq.config.preload import Preloaded, stamps_of
from routeiq.config.secrets import Secrets
from routeiq.converging import Convergence
from routeiq.core.ports import Authenticator
from routeiq.flow import RequestFlow
from routeiq.guard.drain import Drain
from routeiq.guard.tasks import Errands
from routeiq.wiring.collecting import collect_as_memory_grows
from routeiq.wiring.gateway import Gateway, assemble
from routeiq.wiring.host import candidates_of, register
from routeiq.wiring.learning import embedder_of, snapshot_of, warm
from routeiq.wiring.live import live_of
from routeiq.wiring.pages import use_large_pages
from routeiq.wiring.renewing import Renewal
from routeiq.wiring.telling import json_lines

if TYPE_CHECKING:
    from routeiq.http.edge import Edge
    from routeiq.http.foreman import Foreman
    from routeiq.http.gate import Gate
    from routeiq.http.siblings import Siblings

COLLECTOR_THRESHOLDS = (20_000, 20, 20)
"""After how many allocations and younger collections Python looks for cycles; its default is 700, 10, 10."""

_OWN_LATE = (
    *(f"routeiq.adapters.{name}" for name in ("logs", "otel.tracing", "prometheus.metrics", "sql.sqlite")),
    *(f"routeiq.http.{name}" for name in ("edge", "siblings", "worker")),
)
"""Modules of our own that `app` imports."""

logger = logging.getLogger("routeiq.wiring")


def preload(settings: Settings) -> Preloaded:
    """Import LiteLLM's proxy and load what can be shared, for workers that are forked from this process.

    Starts no thread and opens no connection: neither would survive. Raises what `assemble` raises.
    """
    from routeiq.adapters.litellm import host
    from routeiq.adapters.litellm.late import load_late

    gc.disable()
    with redirect_stdout(sys.stderr):
        _load_the_rest(host.load_app())
        load_late(_OWN_LATE)
        if settings.routeiq.outcome_log.kind == "postgres":
            load_late(("routeiq.adapters.sql.postgres",))
    embedder = embedder_of(settings) if settings.enabled else None
    stamps = stamps_of(settings.files)
    loaded = Preloaded(settings, embedder, snapshot_of(settings, candidates_of(settings), embedder), stamps)
    warm(loaded.snapshot, embedder)
    gc.enable()
    gc.freeze()
    return loaded


def app(
    preloaded: Preloaded | None = None, siblings: "Siblings | None" = None, foreman: "Foreman | None" = None
) -> "Edge":
    """Serve mode: return our edge around LiteLLM's application. One of several workers has siblings and a foreman."""
    from routeiq.adapters.litellm import access, host, refusals, translate
    from routeiq.adapters.litellm.direct import DirectExecutor
    from routeiq.http.admin import AdminDoor
    from routeiq.http.audit import AuditEndpoint
    from routeiq.http.config_sync import ReloadEndpoint, open_form
    from routeiq.http.edge import Edge
    from routeiq.http.restart import RestartEndpoint
    from routeiq.http.table import AUDIT, RELOAD, RESTART, RESTARTED, ROLLBACK, STRATEGIES, STRATEGY

    secrets = Secrets.of_process()
    settings = load()
    stack = ExitStack()
    secrets.concealed.learn_settings(settings)
    worker_id = str(siblings.index) if siblings is not None else None
    lines = json_lines(settings, stack, worker_id, secrets.concealed.hide)
    gateway = assemble(settings, candidates_of(settings), lambda: lines.handler.dropped, preloaded, secrets)
    inner = host.load_app(once_logging=lines.adopt)
    if settings.enabled:
        register(gateway, announces=False)
    flow, shared, failed = gateway.flow, gateway.shared, gateway.flow.telemetry.failed
    auth = access.KeyAuthenticator(access.Access(flow.clock, failed))
    renewal = Renewal(gateway)
    live = live_of(gateway, siblings, foreman, lonely=siblings is not None and siblings.count > 1)

    collecting = Errands()

    async def started() -> None:
        lines.adopt()
        host.cancel_with_client()
        asyncio.get_running_loop().set_default_executor(DirectExecutor())
        if preloaded is None:
            # Not in a thread: nothing is served yet, and memory that a thread takes is not given back to the others.
            _load_the_rest(inner)
        await shared.start(flow, forked=siblings is not None)
        gateway.audits.start()
        await live.start()
        renewal.start(live.reloader, edge.traffic)
        _spare_the_collector()
        if preloaded is None:
            use_large_pages()
        collecting.start(collect_as_memory_grows())
        if siblings is not None:
            await siblings.open(gateway.metrics.render)
        logger.info("RouteIQ %s serves snapshot %s", __version__, gateway.flow.holder.current.version)

    async def stopped() -> None:
        await collecting.end()
        await live.close()
        await renewal.close()
        if siblings is not None:
            await siblings.close()
        await gateway.close()
        stack.close()

    edge = Edge(
        _with_compounds(inner, flow, auth),
        flow=gateway.flow,
        log=gateway.log,
        auth=auth,
        translate=translate.preview,
        worded=refusals.worded,
        metrics=gateway.metrics.render if siblings is None else siblings.metrics(gateway.metrics.render),
        drain=Drain(settings.environment.lame_duck_s, settings.environment.drain_timeout_s),
        on_startup=started,
        on_shutdown=stopped,
        deliver=host.deliver_events,
        status=partial(_status, gateway, live.convergence),
        checks=gateway.checks,
        sync=lambda: open_form(live.reloader.status),
        more={
            RELOAD: ReloadEndpoint(live.reloader, live.convergence.look),
            ROLLBACK: live.rollback,
            AUDIT: AuditEndpoint(gateway.audits),
            **dict.fromkeys((RESTART, RESTARTED), RestartEndpoint(live.restart)),
            **dict.fromkeys((STRATEGY, STRATEGIES), live.switch.endpoint()),
        },
        gate=_gate(gateway, host.cors_options(inner)),
        door=AdminDoor(gateway.audit, shared.state, lambda: shared.cut_off, settings.routeiq.audit.required),
    )
    live.convergence.going = lambda: edge.retiring or edge.health.draining
    return edge


async def _status(gateway: Gateway, convergence: Convergence) -> Mapping[str, object]:
    """Return what /routeiq/status shows: what all serve, then this worker's parts, then all workers."""
    return {**await convergence.status(), **gateway.status()}


def _load_the_rest(inner: Any) -> None:
    """Load and build what LiteLLM leaves to its first requests, so that whoever sends them does not wait for it."""
    from routeiq.adapters.litellm.late import build_late, build_routes, load_late

    load_late()
    build_late()
    build_routes(inner)


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
