"""When Python's collector of cycles has to look although it has counted few objects: when memory grows.

Python counts objects, not bytes, and `wiring.serve` has it look less often than usual. LiteLLM leaves the body of a
request in cycles, so a few bodies of many megabytes are few objects, and would stay for hundreds of requests.
"""

import asyncio
import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

STEP: Final = 32 * 2**20
"""By how many bytes the memory that is held must have grown for a collection."""
PAUSE_S: Final = 1.0


def memory() -> int:
    """Return the memory that this process holds, in bytes; where the system does not say, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
    return pages * resource.getpagesize()


async def collect_as_memory_grows(
    held: Callable[[], int] = memory, collect: Callable[[], object] = gc.collect, pause_s: float = PAUSE_S
) -> None:
    """Collect whenever memory has grown by a step since it was least after the last collection, until cancelled."""
    least = held()
    while True:
        await asyncio.sleep(pause_s)
        now = held()
        if now - least >= STEP:
            collect()
            now = least = held()
        least = min(least, now)
