"""Background tasks, ended for certain.

Owns the end of a task that somebody waits for. One `cancel` is a request: a library that tidies up on the way out may
swallow it, and whoever then waits for the task waits for ever.
"""

import asyncio
from typing import Any

ASK_AGAIN_S = 0.5
"""How long a task may take to end before it is asked again."""


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel tasks until they have ended; what they ended with is theirs. None is a task that never began."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASK_AGAIN_S)
