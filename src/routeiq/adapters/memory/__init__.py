"""Ports kept in memory: what a gateway without a disk, or without others to share with, has."""

from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog
from routeiq.adapters.memory.shared_state import MemorySharedState

__all__ = ["MemoryOutcomeLog", "MemorySharedState"]
