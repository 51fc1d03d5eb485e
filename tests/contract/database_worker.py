"""A worker that judges without end while its database is away, to be killed; or one that ends by itself.

Usage: python -m tests.contract.database_worker URL SPILL. Prints the id of every judgement that was acknowledged. With
a third argument it records once and leaves closing to the end of the interpreter.
"""

import asyncio
import atexit
import json
import sys
from pathlib import Path

from routeiq.adapters.sql.postgres import PostgresOutcomeLog
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback


async def judge_for_ever(url: str, spill: Path) -> None:
    """Record and judge."""
    log = PostgresOutcomeLog(lambda: url, spill, salt=SALT, clock=WallClock())

    async def one_after_another(start: int) -> None:
        for number in range(start, start + 1_000_000):
            log.record_decision(a_request(number), a_decision(number), None)
            log.record_outcome(an_outcome(number))
            given = some_feedback(number)
            await log.add_feedback(given)
            print(json.dumps(given.id), flush=True)

    await asyncio.gather(*(one_after_another(task * 1_000_000) for task in range(4)))


def close_at_exit(url: str, spill: Path) -> None:
    """Leave closing to the end of the interpreter, as a host does that has no other moment for it."""
    log = PostgresOutcomeLog(lambda: url, spill, salt=SALT, clock=WallClock())
    atexit.register(lambda: asyncio.run(log.close()))
    log.record_decision(a_request(), a_decision(), None)
    log.record_outcome(an_outcome())


if __name__ == "__main__":
    if len(sys.argv) > 3:
        close_at_exit(sys.argv[1], Path(sys.argv[2]))
    else:
        asyncio.run(judge_for_ever(sys.argv[1], Path(sys.argv[2])))
