"""Bounds on the requests of a team over all workers of all replicas, counted in shared state.

Owns the places that this worker holds there, their leases, and what counts instead while shared state is away: this
worker's part of the bound. Only teams with such a bound are ever asked for, so that nobody else waits for a store.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from routeiq.core.errors import ShareExceeded, StateUnavailable
from routeiq.core.shared import SharedState
from routeiq.guard.behind import WriteBehind
from routeiq.guard.bulkhead import Ticket

BUDGET_S = 0.05
"""How long a request waits for shared state."""
LEASE_S = 60.0
"""After how long the places of a worker that died are free again."""
RENEWED_S = 20.0


@dataclass(slots=True)
class Everywhere:
    """The places that requests of this worker hold. `workers` says how many workers there are in all."""

    state: SharedState
    behind: WriteBehind
    failed: Callable[[str, BaseException], None]
    workers: Callable[[], int]
    _held: dict[str, tuple[str, int, bool]] = field(default_factory=dict)
    _local: Counter[str] = field(default_factory=Counter)
    _task: "asyncio.Task[None] | None" = None

    async def enter(self, ticket: Ticket, call_id: str) -> None:
        """Take a place for a request whose team is bounded everywhere; raises ShareExceeded."""
        limit, team = ticket.bulkhead.share.everywhere, ticket.bulkhead.name
        if not limit:
            return
        try:
            async with asyncio.timeout(BUDGET_S):
                granted = await self.state.acquire(team, call_id, limit=limit, lease_s=LEASE_S)
        except (StateUnavailable, TimeoutError) as error:
            self.failed("limits", error)
            self._give_back(team, call_id)  # it may have been taken all the same
            granted = self._local[team] < max(1, limit // self.workers())
            shared = False
        else:
            shared = True
        if not granted:
            raise ShareExceeded(
                f"{limit} requests of this team are under way in all, which is its share; try again later"
            )
        self._local[team] += 1
        self._held[call_id] = team, limit, shared
        if self._task is None:
            self._task = asyncio.create_task(self._renew(), name="routeiq-leases")

    def leave(self, call_id: str) -> None:
        """Give the place of a request back, if it has one; nobody waits for that."""
        held = self._held.pop(call_id, None)
        if held is None:
            return
        team, _, shared = held
        self._local[team] -= 1
        if not self._local[team]:
            del self._local[team]
        if shared:
            self._give_back(team, call_id)

    async def close(self) -> None:
        """Give back what is still to be given back; only on the event loop of the requests."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await self.behind.close()

    def _give_back(self, team: str, call_id: str) -> None:
        self.behind.add(call_id, lambda: self.state.release(team, call_id))

    async def _renew(self) -> None:
        """Keep the leases of requests that take long."""
        while True:
            await asyncio.sleep(RENEWED_S)
            for call_id, (team, limit, shared) in tuple(self._held.items()):
                try:
                    if shared and call_id in self._held:
                        await self.state.acquire(team, call_id, limit=limit, lease_s=LEASE_S)
                        if call_id not in self._held:
                            self._give_back(team, call_id)
                except StateUnavailable as error:
                    self.failed("limits", error)
                    break
