"""A client for people and scripts: redis-py's own, synchronous, patient, for any form of address."""

from typing import Any

import redis
from redis.cluster import ClusterNode
from redis.sentinel import Sentinel

from routeiq.config.redis_url import RedisAddress

PATIENCE_S = 5.0


def client(address: RedisAddress) -> Any:
    """Return a client that is connected on first use."""
    tls: dict[str, Any] = {"ssl": True} if address.tls else {}
    tls |= {name: value for name, value in address.options.items() if name.startswith("ssl_")}
    limits: dict[str, Any] = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S, **tls}
    secrets: dict[str, Any] = {"username": address.username, "password": address.password}
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        return redis.RedisCluster(startup_nodes=nodes, require_full_coverage=False, **limits, **secrets)
    if address.kind == "sentinel":
        own = {name: address.options.get(f"sentinel_{name}") for name in ("username", "password")}
        sentinels: Any = Sentinel(address.hosts, sentinel_kwargs={**limits, **own})  # type: ignore[no-untyped-call]
        return sentinels.master_for(address.service, db=address.db, **limits, **secrets)
    host, port = address.hosts[0]
    return redis.Redis(host=host, port=port, db=address.db, **limits, **secrets)
