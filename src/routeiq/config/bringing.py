"""Artifacts brought while a gateway serves: in threads, one fetch of each at a time, and nobody waits for ever.

Owns who waits how long and what is known of the last try. Fetching is `config.fetch`'s, taking up what came is
`config.reload`'s.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from routeiq.config.load import Settings
from routeiq.core.errors import RouteIQError, SourceUnavailable

PATIENCE_S: Final = 20.0
"""How long a look at the configuration waits for artifacts; what takes longer is taken up when it has come."""

Bring = Callable[[Settings | None], int]
"""Brings the artifacts that settings name, or the files as they are now (None); returns how many have an address."""

logger = logging.getLogger(__name__)


class Bringing:
    """The artifacts of one worker. `bring` blocks and raises RouteIQError; `fetched` hears whether places answered."""

    def __init__(self, bring: Bring, fetched: Callable[[bool], None]) -> None:
        self.trouble: str | None = None
        self.followed = 0
        """How many artifacts had an address the last time."""
        self._bring, self._fetched = bring, fetched
        self._tasks: dict[bool, asyncio.Task[int]] = {}

    async def now(self, settings: Settings | None, patience_s: float = PATIENCE_S) -> bool:
        """Bring them, or wait for who does already; return whether that ended in time. Never raises RouteIQError."""
        new = settings is None  # what hangs at an old address must not be in the way of a new one
        if new not in self._tasks:
            task = asyncio.create_task(asyncio.to_thread(self._bring, settings), name="routeiq-artifacts")
            self._tasks[new] = task
            task.add_done_callback(partial(self._ended, new))
        done, _ = await asyncio.wait({self._tasks[new]}, timeout=patience_s)
        return bool(done)

    def _ended(self, new: bool, task: "asyncio.Task[int]") -> None:
        del self._tasks[new]
        if task.cancelled():
            return
        trouble = None
        error = task.exception()
        if error is None:
            self.followed = task.result()
            if self.followed:
                self._fetched(True)
        elif isinstance(error, RouteIQError):
            trouble = error.message
            if isinstance(error, SourceUnavailable):
                self._fetched(False)
        else:
            trouble = f"{type(error).__name__}; the log has more"
            logger.error("artifacts could not be looked at", exc_info=error)
        if trouble is not None and trouble != self.trouble:
            logger.warning("an artifact could not be fetched, what is here goes on: %s", trouble)
        self.trouble = trouble
