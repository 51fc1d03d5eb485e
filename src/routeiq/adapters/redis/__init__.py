"""Shared state in Redis: one server, one found through sentinels, or a cluster."""

from routeiq.adapters.redis.link import RedisLink
from routeiq.adapters.redis.shared_state import RedisSharedState

__all__ = ["RedisLink", "RedisSharedState"]
