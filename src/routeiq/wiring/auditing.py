"""Which audit the settings ask for, and what is told of changes of the configuration."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from routeiq.config.load import Settings
from routeiq.config.reload import SyncStatus
from routeiq.core.audit import (
    ARTIFACT_REFUSED,
    CONFIG_REJECTED,
    CONFIG_RELOADED,
    CONFIG_ROLLED_BACK,
    AuditLog,
    AuditTrail,
    NoAudit,
)
from routeiq.core.metrics import AUDIT_DROPPED, AUDIT_EVENTS, AUDIT_HEALTHY, AUDIT_QUEUED, Metric, Reading
from routeiq.core.ports import Clock
from routeiq.wiring.remembering import salt_of

if TYPE_CHECKING:
    from routeiq.adapters.files.audit_chain import Keeping

_SALT_USE = b"routeiq audit: actors"

_SUBJECT = "configuration"
_KINDS = {"ok": CONFIG_RELOADED, "rejected": CONFIG_REJECTED, "rolled_back": CONFIG_ROLLED_BACK}


def audit_of(settings: Settings, clock: Clock) -> AuditLog:
    """Return the audit; where it cannot be written is found out when something is."""
    folder = settings.audit if settings.enabled else None
    if folder is None:
        return NoAudit()
    import random

    from routeiq.adapters.files.audit import FileAudit
    from routeiq.adapters.logs.redact import redact

    return FileAudit(
        folder,
        salt=lambda: salt_of(settings, _SALT_USE, folder / "salt"),
        clean=redact,
        clock=clock,
        keeping=_keeping(settings),
        chance=random.Random(),  # noqa: S311 - jitter of pauses
    )


def _keeping(settings: Settings) -> "Keeping":
    from routeiq.adapters.files.audit_chain import Keeping

    said = settings.routeiq.audit
    return Keeping(
        file_bytes=said.file_mb << 20,
        file_s=said.file_days * 86_400.0,
        keep_s=said.keep_days * 86_400.0,
        total_bytes=said.total_mb << 20,
        fsync=said.fsync,
    )


def audit_readings(log: AuditLog) -> Mapping[Metric, Callable[[], Reading]]:
    """Return what metrics say of an audit."""
    return {
        AUDIT_EVENTS: lambda: {labels: float(count) for labels, count in dict(log.counts).items()},
        AUDIT_QUEUED: lambda: float(log.queued),
        AUDIT_DROPPED: lambda: float(log.dropped),
        AUDIT_HEALTHY: lambda: float(log.trouble is None),
    }


def audit_form(log: AuditLog) -> Mapping[str, object]:
    """Return what /routeiq/status shows of the audit of this worker."""
    return {"healthy": log.trouble is None, "queued": log.queued, "dropped": log.dropped, "last_error": log.trouble}


def telling_of(trail: AuditTrail, version: str) -> Callable[[SyncStatus], None]:
    """Return what has a trail tell of every change of the configuration, from a version on.

    Of one that was refused `after` is the beginning of the digest of its files.
    """
    serving = version

    def tell(status: SyncStatus) -> None:
        nonlocal serving
        kind = _KINDS[status.state]
        if kind == CONFIG_REJECTED:
            trail.tell(kind, _SUBJECT, before=serving, after=status.seen[:12], result="refused", reason=status.reason)
            if status.reason is not None and status.reason.startswith("artifact_"):
                trail.tell(ARTIFACT_REFUSED, status.message or _SUBJECT, result="refused", reason=status.reason)
            return
        before, serving = serving, status.version
        trail.tell(kind, _SUBJECT, before=before, after=status.version)

    return tell
