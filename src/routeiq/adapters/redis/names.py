"""The names of RouteIQ's keys in Redis, safe for a cluster: all keys of one script lie in one hash slot.

Owns the map from areas and keys of `core.shared` to names. A companion's name has the main key's whole name between
braces, so that Redis Cluster puts both in the same slot while the main key keeps the name that operators know.
"""

import re

CHANNEL = "routeiq:changed"
"""Where the name of an area is published when something was written in it."""

ALONE = frozenset({"affinity"})
"""Areas of very many documents, each under a key of its own with Redis's own expiry; they cannot be watched."""

_DOCUMENTS = {"strategy": "routeiq:strategy:active", "policy": "routeiq:policy:rules"}
_SHARED_SUMS = frozenset({"ab.counters"})
"""Areas whose counters all stand in one hash, as `KEY/NAME`; they have no expiry."""


_NAME = re.compile(r"[A-Za-z0-9._:-]{1,200}")


def checked(name: str) -> str:
    """Return an area, a key or a holder; raises ValueError for one that could fall into another hash slot."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:60]!r} is no name for shared state; expected letters, digits and . _ : -")
    return name


def documents(area: str) -> str:
    """Return the hash that holds an area's documents, key by key."""
    return _DOCUMENTS.get(area) or "routeiq:" + checked(area).replace(".", ":")


def watched(area: str) -> list[str]:
    """Return the keys of an area: documents, their versions, their expiries, and the area's own version."""
    main = documents(area)
    return [main, f"{{{main}}}:versions", f"{{{main}}}:expiries", f"{{{main}}}:meta"]


def alone(area: str, key: str) -> str:
    """Return the key of a document that has one of its own."""
    return f"{documents(area)}:{checked(key)}"


def sums(area: str, key: str) -> tuple[str, str]:
    """Return the hash that holds the counters of a key, and what their names begin with in it."""
    if area in _SHARED_SUMS:
        return documents(area), f"{checked(key)}/"
    return f"{documents(area)}:{checked(key)}", ""


def once(main: str, prefix: str, token: str) -> str:
    """Return the key that remembers the token of an addition."""
    return f"{{{main}}}:once:{prefix}{checked(token)}"


def rate(key: str) -> str:
    """Return the key of a rate limit."""
    return f"routeiq:limits:rate:{checked(key)}"


def places(key: str) -> str:
    """Return the key of a concurrency limit."""
    return f"routeiq:limits:places:{checked(key)}"


def lock(name: str) -> list[str]:
    """Return the keys of a lock: the lock, and its last fencing token."""
    main = f"routeiq:lock:{checked(name)}"
    return [main, f"{{{main}}}:fence"]
