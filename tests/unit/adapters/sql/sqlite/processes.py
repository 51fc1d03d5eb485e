"""Programs that tests run as processes of their own: to be killed, to share a file, to run out of disk.

Usage: python -m tests.unit.adapters.sql.sqlite.processes PROGRAM FOLDER [NAME]. Each prints one JSON value per line.
"""

import asyncio
import atexit
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from routeiq.adapters.sql.sqlite import SqliteOutcomeLog
from routeiq.core.errors import StoreUnavailable
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback


def opened(folder: Path, **changes: Any) -> SqliteOutcomeLog:
    return SqliteOutcomeLog(folder / "log.db", **{"salt": SALT, "clock": WallClock(), **changes})


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def judge_for_ever(folder: Path) -> None:
    """Record and judge, printing the id of every judgement that was acknowledged, until killed."""
    log = opened(folder)

    async def one_after_another(start: int) -> None:
        for number in range(start, start + 1_000_000):
            log.record_decision(a_request(number), a_decision(number), None)
            log.record_outcome(an_outcome(number))
            given = some_feedback(number)
            await log.add_feedback(given)
            say([given.decision_id, given.id])

    await asyncio.gather(*(one_after_another(task * 1_000_000) for task in range(4)))


async def share(folder: Path, name: str) -> None:
    """Record from four threads and judge from the event loop, as one of several workers on one file."""
    log = opened(folder, answer_s=20.0)

    def record(thread: int) -> None:
        for i in range(300):
            number = f"{name}_{thread}_{i}"
            log.record_decision(a_request(), a_decision(id=f"dec_{number}"), None)
            log.record_outcome(an_outcome(decision_id=f"dec_{number}"))
            time.sleep(0.001)

    threads = [threading.Thread(target=record, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for i in range(40):
        log.record_decision(a_request(), a_decision(id=f"dec_{name}_judged_{i}"), None)
        await log.add_feedback(some_feedback(decision_id=f"dec_{name}_judged_{i}"))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await log.close()
    say({"dropped": log.status().dropped})


async def run_out(folder: Path, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """Run out of space in the middle, get it back, and say what was seen at each step."""
    log = opened(folder, answer_s=2.0)
    log.record_decision(a_request(0), a_decision(0), None)
    await log.add_feedback(some_feedback(0, id="before"))
    fill()
    for number in range(1, 1_001):
        log.record_decision(a_request(number), a_decision(number), None)
        log.record_outcome(an_outcome(number))
    seen: dict[str, Any] = {}
    began = time.monotonic()
    try:
        await log.add_feedback(some_feedback(1_000, id="during"))
    except StoreUnavailable as error:
        seen["refused"] = error.message
    seen["refused_after_s"] = time.monotonic() - began
    status = log.status()
    seen |= {"healthy": status.healthy, "reason": status.last_error_reason, "queued": status.queued}
    waiting, written = await log.find("dec_1000"), await log.find("dec_0")
    seen["waiting_is_found"] = waiting is not None and waiting.outcome == an_outcome(1_000)
    seen["written_is_found"] = written is not None and [given.id for given in written.feedback] == ["before"]
    free()
    deadline = time.monotonic() + 30
    while log.status().queued and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    await log.add_feedback(some_feedback(1_000, id="after"))
    status = log.status()
    seen |= {"healthy_after": status.healthy, "dropped": status.dropped}
    await log.close()
    say(seen)


def filler(folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what fills the disk under a folder with a file, and what deletes the file."""
    file = folder / "filler"

    def fill() -> None:
        with file.open("wb", buffering=0) as out:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        out.write(b"\0" * size)
                except OSError:
                    continue

    return fill, file.unlink


def file_size_limit() -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what keeps every file of this process from growing beyond a kilobyte, and what takes the limit away."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    return (
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1])),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before),
    )


def close_at_exit(folder: Path) -> None:
    """Leave closing to the end of the interpreter, as a host does that has no other moment for it."""
    log = opened(folder)
    atexit.register(lambda: asyncio.run(log.close()))
    log.record_decision(a_request(1), a_decision(1), None)
    say("recorded")


async def be_forbidden(folder: Path) -> None:
    """Write, as an ordinary user, to a log that only another user may write."""
    if os.geteuid() == 0:
        os.setuid(65534)
    log = opened(folder, answer_s=2.0, settle_s=0.05)
    log.record_decision(a_request(1), a_decision(1), None)
    try:
        await log.add_feedback(some_feedback(1))
    except StoreUnavailable:
        say({"healthy": log.status().healthy, "reason": log.status().last_error_reason})


def main(program: str, folder: Path, name: str = "") -> None:
    match program:
        case "judge":
            asyncio.run(judge_for_ever(folder))
        case "share":
            asyncio.run(share(folder, name))
        case "disk":
            asyncio.run(run_out(folder, *filler(folder)))
        case "limit":
            asyncio.run(run_out(folder, *file_size_limit()))
        case "exit":
            close_at_exit(folder)
        case "forbidden":
            asyncio.run(be_forbidden(folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
