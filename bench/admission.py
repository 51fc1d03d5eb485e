"""What letting a request in and out costs: admission and bulkhead, alone and with others waiting.

    python bench/admission.py                 # the figures of docs/performance.md, a few seconds
    python bench/admission.py --once          # to see that it runs

Everything runs in this one thread. The target, 30 microseconds per request, is for reading the headers, finding the
party, `enter`, `begins` and `leave` together.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256

from routeiq.core.request import Caller
from routeiq.guard.admission import Admission, Limits
from routeiq.guard.bulkhead import Party, Share, Shares
from routeiq.http.gate import CREDENTIALS, asked

TARGET_US = 30.0
TEAMS = 200


def key(number: int) -> bytes:
    """The credentials of a caller."""
    return b"Bearer sk-%032d" % number


def admission(concurrency: int) -> Admission:
    """An admission with all bounds on and callers that it knows."""
    shares = Shares(Share(slots=max(1, concurrency // 2)), teams={"team-0": Share(slots=concurrency, weight=3.0)})
    limits = Limits(concurrency=concurrency, queued=concurrency, wait_s=1e6, tokens=10**9, p95_s=1e6)
    made = Admission(limits, shares)
    for number in range(TEAMS):
        digest = sha256(key(number)).hexdigest()
        made.directory.learn(digest, Caller(key_hash=digest, team=f"team-{number % 50}"))
    return made


def whole_way(made: Admission) -> Callable[[int], None]:
    """One request from its headers to its end, while there is room."""
    credentials = frozenset(CREDENTIALS)
    headers = [
        [(b"host", b"gateway"), (b"content-type", b"application/json"), (b"content-length", b"2048"),
         (b"accept", b"*/*"), (b"user-agent", b"bench"), (b"x-stainless-read-timeout", b"600"),
         (b"authorization", key(number))]
        for number in range(TEAMS)
    ]  # fmt: skip

    def once(turn: int) -> None:
        given = asked(headers[turn % TEAMS], credentials)
        now = turn * 1e-4
        ticket = made.enter(made.directory.find(given.sender), now, tokens=given.tokens, timeout_s=given.timeout_s)
        made.begins(ticket, now)
        made.leave(ticket, now)

    return once


def crowded(made: Admission) -> Callable[[int], None]:
    """One request in, behind others, and another one out: the worker is full all the time."""
    chance = random.Random(1)
    parties = [Party(f"team:team-{number}", str(number), known=True) for number in range(50)]
    running = [made.enter(parties[at % 50], 0.0) for at in range(made.limits.concurrency)]
    waiting = [made.enter(chance.choice(parties), 0.0) for _ in range(made.limits.queued // 2)]

    def once(turn: int) -> None:
        now = turn * 1e-4
        waiting.append(made.enter(parties[turn % 50], now, tokens=500))
        made.leave(running.pop(), now)
        at = next(at for at, ticket in enumerate(waiting) if not ticket.waiting)
        running.append(waiting.pop(at))

    return once


def timed(work: Callable[[int], None], calls: int) -> tuple[float, float]:
    """Median and 99th percentile of single calls in microseconds, after a warm-up."""
    for turn in range(200):
        work(turn)
    gc.collect()
    took = []
    for turn in range(200, 200 + calls):
        begun = time.perf_counter_ns()
        work(turn)
        took.append((time.perf_counter_ns() - begun) / 1000)
    took.sort()
    return took[len(took) // 2], took[int(0.99 * len(took))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; fails when the median misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="few calls: only to see that it runs")
    calls = 1_000 if parser.parse_args(arguments).once else 50_000
    rows = {
        "room for all": timed(whole_way(admission(1_000)), calls),
        "100 slots taken, 50 waiting": timed(crowded(admission(100)), calls),
    }
    print(f"{'':32}{'p50 us':>10}{'p99 us':>10}   target")
    for name, (p50, p99) in rows.items():
        print(f"{name:32}{p50:>10.1f}{p99:>10.1f}   {TARGET_US:g} {'met' if p50 < TARGET_US else 'MISSED'}")
    return 0 if all(p50 < TARGET_US for p50, _ in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
