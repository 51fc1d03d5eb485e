"""The table of RouteIQ's own endpoints: the one list that requests are served by.

Owns paths and methods, which endpoints are for admins only, and what the audit calls the changes they make.
docs/reference/http.md is checked against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from routeiq.core import audit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `{id}` in a path stands for one segment; `keyed` ones need a LiteLLM key, `admin` ones an admin's.

    `kind` is what the audit calls the change that it makes; `shared` ones refuse it while it cannot reach all workers.
    """

    method: str
    path: str
    summary: str
    keyed: bool = True
    admin: bool = False
    kind: str | None = None
    shared: bool = False

    @property
    def prefix(self) -> str | None:
        """The path up to its parameter, or None when it has none."""
        return self.path[: self.path.index("{")] if "{" in self.path else None


LIVE = ("/_health/live", "/_health/liveliness", "/health/liveliness", "/health/liveness")
READY = ("/_health/ready", "/health/readiness")
STARTUP = ("/_health/startup",)
METRICS = ("/metrics",)
CONFIG_SYNC = ("/_health/config-sync", "/health/config-sync", "/config/sync/status")

OPEN: tuple[Endpoint, ...] = (
    *(Endpoint("GET", path, "the process answers", keyed=False) for path in LIVE),
    *(Endpoint("GET", path, "the worker takes requests, with its checks", keyed=False) for path in READY),
    *(Endpoint("GET", path, "start and warm-up are done", keyed=False) for path in STARTUP),
    *(Endpoint("GET", path, "metrics in Prometheus text form", keyed=False) for path in METRICS),
    *(Endpoint("GET", path, "which configuration serves, and since when", keyed=False) for path in CONFIG_SYNC),
)

DECISION = Endpoint("GET", "/routeiq/decisions/{id}", "one decision explained, with its outcome and feedback")
ROUTE = Endpoint("POST", "/routeiq/route", "what would be decided for a prompt; calls no model")
FEEDBACK = Endpoint("POST", "/routeiq/feedback", "a score or a comparison for an answer, by decision id")
STATUS = Endpoint("GET", "/routeiq/status", "version, snapshot, aliases and the state of this worker's parts")
LOAD = Endpoint("GET", "/routeiq/load", "how busy the worker that answers is, and its circuit breakers")
EXPERIMENTS = Endpoint("GET", "/routeiq/experiments", "the experiments, each arm with its intervals")
EXPERIMENT = Endpoint("GET", "/routeiq/experiments/{id}", "one experiment, by its name")


def _changes(path: str, kind: str, summary: str, *, shared: bool = True) -> Endpoint:
    return Endpoint("POST", path, f"{summary}; admins only", admin=True, kind=kind, shared=shared)


RELOAD = _changes("/routeiq/reload", audit.RELOAD_ORDERED, "looks for a changed configuration now", shared=False)
STEER = _changes(
    "/routeiq/experiments/{id}", audit.EXPERIMENT_CHANGED, "changes weights, stops, promotes or resumes an experiment"
)
STRATEGY = _changes("/routeiq/admin/strategy", audit.STRATEGY_CHANGED, "changes an alias's strategy in every worker")
STRATEGIES = Endpoint("GET", "/routeiq/admin/strategy", "the strategies that admins chose; admins only", admin=True)
ROLLBACK = _changes(
    "/routeiq/admin/rollback", audit.ROLLBACK_ORDERED, "puts a version back that served before, in every worker"
)
AUDIT = Endpoint("GET", "/routeiq/audit", "who changed what, and who was refused; admins only", admin=True)
RESTART = _changes("/routeiq/restart", audit.RESTART_ORDERED, "replaces the workers of all replicas", shared=False)
RESTARTED = Endpoint("GET", "/routeiq/restart", "how far the latest rolling restart is; admins only", admin=True)

KEYED: tuple[Endpoint, ...] = (
    DECISION,
    ROUTE,
    FEEDBACK,
    STATUS,
    LOAD,
    RELOAD,
    EXPERIMENTS,
    EXPERIMENT,
    STEER,
    STRATEGY,
    STRATEGIES,
    ROLLBACK,
    AUDIT,
    RESTART,
    RESTARTED,
)
ENDPOINTS: tuple[Endpoint, ...] = OPEN + KEYED


def is_ours(path: str) -> bool:
    """Return whether a path belongs to the keyed endpoints, whether or not one answers there."""
    return path.startswith("/routeiq/") or path == "/routeiq"


def at(path: str) -> Iterator[tuple[Endpoint, str]]:
    """Yield the keyed endpoints of a path, of whatever method, with the parameter of the path or ""."""
    for endpoint in KEYED:
        prefix = endpoint.prefix
        if prefix is None:
            if path == endpoint.path:
                yield endpoint, ""
        elif path.startswith(prefix) and path[len(prefix) :] and "/" not in path[len(prefix) :]:
            yield endpoint, path[len(prefix) :]
