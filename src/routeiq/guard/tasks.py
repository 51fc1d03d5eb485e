"""Background tasks: kept while they run, ended for certain.

Owns that a task which nobody waits for is not lost, and the end of one that somebody waits for. One `cancel` is a
request: a library that tidies up on the way out may swallow it, and whoever then waits for the task waits for ever.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Errands:
    """Tasks that nobody waits for. The event loop knows tasks weakly only, so that they are kept here until done."""

    _running: "set[asyncio.Task[Any]]" = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
        """Have work done by the running event loop; what is returned need not be kept."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def __len__(self) -> int:
        return len(self._running)

    @property
    def busy(self) -> bool:
        """Whether any still runs."""
        return bool(self._running)

    async def end(self, patience_s: float = 0.0) -> None:
        """Cancel what still runs after so many seconds, and wait for it."""
        if patience_s and self._running:
            await asyncio.wait(self._running, timeout=patience_s)
        await end(*self._running)
