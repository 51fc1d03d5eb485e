"""One holder in the whole cluster at a time, for work that blocks and may take longer than one lease.

Owns waiting for a lock of the shared state, its renewal while the work goes on, and the word that it was lost. What a
late holder must not do is for the work to know: it has the fencing token.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from routeiq.core.errors import StateUnavailable
from routeiq.core.shared import SharedState
from routeiq.guard.tasks import end

POLL_S: Final = 0.25
RENEWALS: Final = 3
"""How often a lease is renewed before it would end."""


@dataclass(slots=True)
class Lease:
    """What somebody holds: the fencing token, None when shared state did not answer and nobody was asked."""

    token: int | None = None
    lost: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Leases:
    """Locks of shared state for threads. `connect` gives shared state of its own to each holder's event loop."""

    connect: Callable[[], SharedState]
    lease_s: float = 30.0

    @contextmanager
    def hold(self, name: str, holder: str, wait_s: float = 0.0) -> Iterator[Lease | None]:
        """Give the lock to a holder, or None when another has had it for `wait_s` seconds; blocks.

        While shared state does not answer nobody is kept waiting: the lease then has no token.
        """
        found: list[Lease | None] = []
        answered, done = threading.Event(), threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._run(name, holder, wait_s, found, answered, done))
            finally:
                answered.set()

        thread = threading.Thread(target=run, name="routeiq-lease", daemon=True)
        thread.start()
        answered.wait()
        try:
            yield found[0] if found else Lease()
        finally:
            done.set()
            thread.join()

    async def _run(
        self,
        name: str,
        holder: str,
        wait_s: float,
        found: list[Lease | None],
        answered: threading.Event,
        done: threading.Event,
    ) -> None:
        state = self.connect()
        try:
            lease = await self._taken(state, name, holder, wait_s)
            found.append(lease)
            answered.set()
            if lease is None or lease.token is None:
                return
            renewing = asyncio.create_task(self._renew(state, name, holder, lease))
            await asyncio.to_thread(done.wait)
            await end(renewing)
            with suppress(StateUnavailable):
                await state.unlock(name, holder)
        finally:
            await state.close()

    async def _taken(self, state: SharedState, name: str, holder: str, wait_s: float) -> Lease | None:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                token = await state.lock(name, holder, lease_s=self.lease_s)
            except StateUnavailable:
                return Lease()
            if token is not None:
                return Lease(token)
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(POLL_S)

    async def _renew(self, state: SharedState, name: str, holder: str, lease: Lease) -> None:
        """Renew until cancelled. That shared state does not answer is no loss: it may well still know the lease."""
        while True:
            await asyncio.sleep(self.lease_s / RENEWALS)
            with suppress(StateUnavailable):
                if await state.lock(name, holder, lease_s=self.lease_s) != lease.token:
                    lease.lost.set()
                    return
