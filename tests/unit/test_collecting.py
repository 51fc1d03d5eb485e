"""Cycles are collected as memory grows, however few objects they are made of."""

import asyncio
from contextlib import suppress

from routeiq.wiring.collecting import STEP, collect_as_memory_grows, memory


async def test_memory_that_grows_by_a_step_is_looked_through() -> None:
    """Less than a step changes nothing; a step is a collection, and what it frees counts anew when it comes back."""
    held, collected = iter([STEP, 2 * STEP - 1, 2 * STEP, STEP, 2 * STEP, 0, STEP - 1, STEP, 0]), []
    last = 0

    def collect() -> None:
        collected.append(True)

    watching = asyncio.create_task(collect_as_memory_grows(lambda: next(held, last), collect, pause_s=0.0))
    for _ in range(50):
        await asyncio.sleep(0)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert len(collected) == 3


def test_memory_is_in_bytes() -> None:
    """A process with Python and numpy in it holds more than 16 MiB and less than 64 GiB."""
    assert 2**24 < memory() < 2**36
