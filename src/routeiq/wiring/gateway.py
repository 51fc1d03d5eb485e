"""The running parts of one process, built and joined."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeiq.config.limits import Guards, guards_of
from routeiq.config.load import Settings
from routeiq.config.preload import Preloaded
from routeiq.config.secrets import Secrets
from routeiq.core.audit import AuditTrail
from routeiq.core.candidate import Candidate
from routeiq.core.metrics import AB_SKEW, AGREEMENT, Metric, Reading
from routeiq.core.ports import Telemetry
from routeiq.flow import RequestFlow
from routeiq.guard.agreement import agreement
from routeiq.guard.audits import Audits
from routeiq.routing.snapshot import SnapshotHolder
from routeiq.routing.vitals import Vitals
from routeiq.sharing import Shared, share, skewed
from routeiq.wiring.artifacts import Artifacts, artifacts_of
from routeiq.wiring.auditing import audit_form, audit_of, audit_readings
from routeiq.wiring.clock import SystemClock
from routeiq.wiring.learning import embedder_of, learners_of, snapshot_of, warm
from routeiq.wiring.remembering import log_form, outcome_log_of
from routeiq.wiring.telling import CompositeTelemetry, lines_of, metrics_of, spans_of

if TYPE_CHECKING:
    from routeiq.adapters.prometheus.metrics import PrometheusTelemetry
    from routeiq.wiring.remembering import Log


@dataclass(slots=True)
class Gateway:
    """The running parts of one process, owned by whoever assembled them."""

    settings: Settings
    flow: RequestFlow
    shared: Shared
    log: "Log"
    metrics: "PrometheusTelemetry"
    guards: Guards
    audit: AuditTrail
    audits: Audits
    artifacts: Artifacts
    secrets: Secrets
    closers: tuple[Callable[[], None], ...] = ()
    renew_spans: Callable[[], bool] = lambda: False

    async def close(self) -> None:
        """Make outcome log and audit durable and send what telemetry still holds; may be called again."""
        await self.flow.close()
        await self.guards.close()
        await self.audits.close()
        await self.shared.close()
        for closer in self.closers:
            closer()
        await asyncio.to_thread(self.audit.kept.close)

    def status(self) -> Mapping[str, object]:
        """Return what /routeiq/status shows of this process."""
        return {
            "config": str(self.settings.path),
            "secrets": self.secrets.status(),
            "enabled": self.settings.enabled,
            "embedder": self.flow.embedder.id if self.flow.embedder else None,
            "learned": self.flow.learners.status(),
            **self.shared.status(),
            "outcome_log": log_form(self.log.status()),
            "audit": audit_form(self.audit.kept),
        }

    def standing(self) -> Mapping[str, object]:
        """Return what other workers hear of this one's outcome log and load."""
        log, admission = self.log.status(), self.guards.admission
        load, now = admission.load, self.guards.clock.monotonic()
        return {
            "outcome_log": {"healthy": log.healthy, "queued": log.queued, "dropped": log.dropped},
            "secrets": self.secrets.standing(),
            "load": {
                "in_flight": admission.in_flight,
                "queued": admission.waiting,
                "active_streams": load.streams(),
                "prompt_tokens_in_flight": admission.tokens,
                "requests_per_second": round(load.requests.per_second(now), 3),
                "token_throughput": round(load.tokens.per_second(now), 3),
            },
        }

    def checks(self) -> Mapping[str, str]:
        """Return the state of the parts for readiness; advice only."""
        log = self.log.status()
        writes = "ok" if log.healthy else (log.last_error_reason or "failing")
        audit = self.audit.kept.trouble or "ok"
        return {"outcome_log": writes, "audit": audit, **self.shared.degraded.checks()}


def assemble(
    settings: Settings,
    candidates: Sequence[Candidate],
    lost_lines: Callable[[], int] = lambda: 0,
    preloaded: Preloaded | None = None,
    secrets: Secrets | None = None,
) -> Gateway:
    """Build every part of one process; raises ConfigError or ArtifactError when something cannot be used.

    `lost_lines` counts log lines that could not be written. What is `preloaded` is used as long as the files say so.
    `secrets` are those that come from files.
    """
    clock = SystemClock()
    artifacts = artifacts_of(settings)
    if preloaded is not None and preloaded.fits(settings):
        embedder, snapshot = preloaded.embedder, preloaded.snapshot
    else:
        embedder = embedder_of(settings) if settings.enabled else None
        snapshot = snapshot_of(settings, candidates, embedder, artifacts)
        warm(snapshot, embedder)
    shared = share(settings, clock, lambda where, error: telemetry.failed(where, error))
    kept = audit_of(settings, clock)
    audits = Audits(kept, shared.state, shared.everywhere, lambda where, error: telemetry.failed(where, error))
    experiments = shared.experiments(lambda where, error: telemetry.failed(where, error))
    log = outcome_log_of(settings, clock, shared.degraded)
    vitals = Vitals()
    guards = guards_of(settings, clock)
    more: dict[Metric, Callable[[], Reading]] = {
        AB_SKEW: lambda: skewed(experiments, flow.holder.current),
        AGREEMENT: lambda: float(agreement(shared.workers())["agree"]),
        **audit_readings(kept),
    }
    metrics = metrics_of(snapshot, candidates, log.status, vitals, shared.degraded, lost_lines, guards, more)
    guards.share(shared.mirror, shared.quick, shared.worker, shared.count, lambda *told: telemetry.failed(*told))
    spans, close_spans, renew_spans = spans_of(settings, clock)
    telemetry: Telemetry = CompositeTelemetry((metrics, spans, lines_of(settings, clock), guards))
    shared.degraded.on_change(metrics.depended)
    learners = learners_of(settings, telemetry)
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
    audit = artifacts.audit = AuditTrail(kept, clock, shared.worker, lambda: shared.replica)
    secrets = secrets or Secrets({})
    parts = (settings, flow, shared, log, metrics, guards, audit, audits, artifacts, secrets)
    return Gateway(*parts, closers=(close_spans,), renew_spans=renew_spans)
