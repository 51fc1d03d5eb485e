"""Ports kept in memory: what a gateway without a disk has."""

from routeiq.adapters.memory.outcome_log import MemoryOutcomeLog

__all__ = ["MemoryOutcomeLog"]
