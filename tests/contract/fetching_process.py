"""A process that brings one artifact: `ROOT ADDRESS LEASE_S WAIT_S REDIS_URL`; says what it has, or why nothing."""

import sys
from pathlib import Path

from routeiq.adapters.object_store import open_folder
from routeiq.config.artifact_cache import ArtifactCache
from routeiq.config.fetch import ArtifactFetcher
from routeiq.config.redis_url import parse_redis_url
from routeiq.core.errors import RouteIQError
from routeiq.core.shared import SharedState
from routeiq.guard.lease import Leases


def main(root: str, address: str, lease_s: float, wait_s: float, redis_url: str) -> str:
    def connect() -> SharedState:
        from routeiq.adapters.redis import RedisLink, RedisSharedState

        return RedisSharedState(RedisLink(parse_redis_url(redis_url)), bound_s=20.0)

    leases = Leases(connect, lease_s) if redis_url else None
    cache = ArtifactCache(Path(root), 1 << 30)
    fetcher = ArtifactFetcher(cache, lambda place: open_folder(place, names=("",)), leases, lease_s)
    print("begins", flush=True)
    sys.stdin.readline()
    try:
        fetcher.refresh([address], wait_s=wait_s)
        return f"has {cache.state(address).version}"
    except RouteIQError as error:
        return f"failed {type(error).__name__}: {error.message}"


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]), flush=True)
