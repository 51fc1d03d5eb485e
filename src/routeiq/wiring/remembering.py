"""Which outcome log the settings ask for."""

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from routeiq.config.database_url import database_address
from routeiq.config.environment import reference
from routeiq.config.load import Settings
from routeiq.core.errors import ConfigError
from routeiq.core.ports import Clock
from routeiq.core.remembered import LogStatus
from routeiq.guard.degraded import DATABASE, Degraded

if TYPE_CHECKING:
    from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog
    from routeiq.adapters.sql.outcome_log import SqlOutcomeLog

Log: TypeAlias = "SqlOutcomeLog | MemoryOutcomeLog"

_SALT_USE = b"routeiq outcome log: hashes of prompts"


def outcome_log_of(settings: Settings, clock: Clock, degraded: Degraded) -> "Log":
    """Return the log, open; a database that does not answer is reported to `degraded`. Raises ConfigError."""
    wanted = settings.routeiq.outcome_log
    if settings.enabled and wanted.kind == "postgres":
        return _postgres(settings, clock, degraded)
    if wanted.url is not None:
        raise ConfigError(
            f"{settings.where('outcome_log', 'url')}: only `kind: postgres` takes an address; set that too"
        )
    path = settings.outcome_log if settings.enabled else None
    if path is None:
        from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog

        return MemoryOutcomeLog()
    from routeiq.adapters.sql.sqlite import SqliteOutcomeLog, load_or_create_salt

    salt = load_or_create_salt(path.with_name(path.name + ".salt"))
    return SqliteOutcomeLog(
        path, salt=salt, clock=clock, store_prompts=wanted.store_prompts, keep_days=wanted.keep_days
    )


def place_of(settings: Settings) -> str:
    """Return where outcomes are kept, without secrets; raises ConfigError."""
    if settings.routeiq.outcome_log.kind == "postgres":
        return database_address(settings).shown
    return str(settings.outcome_log or "memory only")


def _postgres(settings: Settings, clock: Clock, degraded: Degraded) -> "SqlOutcomeLog":
    try:
        from routeiq.adapters.sql.postgres import PostgresOutcomeLog
    except ImportError as error:
        where, missing = settings.where("outcome_log", "kind"), error.name or "psycopg"
        raise ConfigError(f"{where}: postgres needs {missing}; run: pip install 'routeiq-router[postgres]'") from None
    degraded.expect(DATABASE)
    wanted = settings.routeiq.outcome_log
    return PostgresOutcomeLog(
        lambda: database_address(settings).url,
        settings.spill,
        salt=salt_of(settings, _SALT_USE, settings.spill.with_name(settings.spill.name + ".salt")),
        clock=clock,
        store_prompts=wanted.store_prompts,
        spill_bytes=wanted.spill_mb << 20,
        answered=lambda ok: degraded.report(DATABASE, ok),
        keep_days=wanted.keep_days,
    )


def salt_of(settings: Settings, use: bytes, drawn: Path) -> bytes:
    """Return a salt that is the same in all gateways of an installation: made of a secret that they share.

    Where they share none it is drawn once and kept in a file.
    """
    environment = settings.environment
    given = environment.salt_key or environment.master_key
    key = given.get_secret_value() if given is not None else None
    if key is None:
        written = (settings.litellm.get("general_settings") or {}).get("master_key")
        key = reference(written) if isinstance(written, str) else None
    if not key:
        from routeiq.adapters.sql.salt import load_or_create_salt

        return load_or_create_salt(drawn)
    return hmac.digest(key.encode(), use, "sha256")


def log_form(log: LogStatus) -> Mapping[str, object]:
    """Return what /routeiq/status shows of the log of this worker."""
    form = {"healthy": log.healthy, "queued": log.queued, "dropped": log.dropped, "on_disk": log.on_disk}
    return {**form, "spilled": log.spilled, "replayed": log.replayed, "last_error": log.last_error_reason}
