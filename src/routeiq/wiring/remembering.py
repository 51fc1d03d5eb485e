"""Which outcome log the settings ask for."""

from typing import TYPE_CHECKING

from routeiq.config.load import Settings
from routeiq.core.ports import Clock

if TYPE_CHECKING:
    from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog
    from routeiq.adapters.sql.sqlite.outcome_log import SqliteOutcomeLog


def outcome_log_of(settings: Settings, clock: Clock) -> "SqliteOutcomeLog | MemoryOutcomeLog":
    path = settings.outcome_log if settings.enabled else None
    if path is None:
        from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog

        return MemoryOutcomeLog()
    from routeiq.adapters.sql.sqlite import SqliteOutcomeLog, load_or_create_salt

    salt = load_or_create_salt(path.with_name(path.name + ".salt"))
    return SqliteOutcomeLog(path, salt=salt, clock=clock, store_prompts=settings.routeiq.outcome_log.store_prompts)
