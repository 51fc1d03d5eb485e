"""Whether all workers serve the same: what each of them says of itself, put side by side.

Owns the comparison and the sums. Versions and digests are compared, never times: the clocks of replicas differ. How
workers hear of one another is `sharing`'s and `converging`'s business.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

Said = Mapping[str, Any]
"""What one worker says of itself, as JSON has it."""

DRAINING: Final = "draining"
SAME: Final = ("version", "snapshot", "digest")
"""What must be equal: RouteIQ's version, the version of the configuration, the digest of its files."""

SHOWN: Final = ("id", "replica", "worker", "pid", "version", "snapshot", "digest", "state", "reason", "since")


def agreement(workers: Sequence[Said]) -> dict[str, Any]:
    """Return whether the workers that take requests agree, on what, and who serves what when they do not.

    `agree` is about what serves; `settled` says besides that no worker has seen another version that it does not serve.
    Workers that drain finish what they began and are left out, unless there is no other.
    """
    staying = [one for one in workers if one.get("state") != DRAINING] or list(workers)
    kinds = Counter(tuple(one.get(name) for name in SAME) for one in staying)
    parties = [{**dict(zip(SAME, kind, strict=True)), "workers": count} for kind, count in kinds.most_common()]
    agree = len(parties) == 1
    settled = agree and all(one.get("state") == "ok" and one.get("seen") == one.get("digest") for one in staying)
    return {
        "agree": agree,
        "settled": settled,
        "on": {name: parties[0][name] for name in SAME} if agree else None,
        "workers": len(staying),
        "parties": parties,
    }


def totals(workers: Sequence[Said]) -> dict[str, Any]:
    """Return the outcome logs and the load of all workers together; those that say nothing of it add nothing."""
    logs = [one["outcome_log"] for one in workers if one.get("outcome_log")]
    loads = [one["load"] for one in workers if one.get("load")]
    return {
        "workers": len(workers),
        "outcome_log": {
            "healthy": all(log["healthy"] for log in logs),
            "queued": sum(log["queued"] for log in logs),
            "dropped": sum(log["dropped"] for log in logs),
        },
        "load": {name: round(sum(load[name] for load in loads), 3) for name in (loads[0] if loads else ())},
    }
