"""A lock of shared state held by a thread: taken, renewed, waited for, lost, and done without."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from routeiq.core.errors import StateUnavailable
from routeiq.guard.lease import Leases

LIMIT_S = 30


@dataclass
class Locks:
    """A lock that counts: `holder` has it; `away` says that nobody answers."""

    holder: str | None = None
    token: int = 0
    away: bool = False
    asked: int = 0
    closed: int = 0
    renewed: threading.Event = field(default_factory=threading.Event)

    async def lock(self, name: str, holder: str, *, lease_s: float) -> int | None:
        self.asked += 1
        if self.away:
            raise StateUnavailable("away")
        if self.holder not in (None, holder):
            return None
        if self.holder == holder:
            self.renewed.set()
        else:
            self.holder, self.token = holder, self.token + 1
        return self.token

    async def unlock(self, name: str, holder: str) -> None:
        if self.holder == holder:
            self.holder = None

    async def close(self) -> None:
        self.closed += 1


def test_a_lease_is_renewed_and_given_back() -> None:
    """While the work goes on the lock is renewed; after it the lock is free and the connection closed."""
    locks = Locks()
    with Leases(lambda: locks, lease_s=0.05).hold("artifact.x", "me") as lease:
        assert lease is not None
        assert lease.token == 1
        assert locks.renewed.wait(LIMIT_S)
        assert not lease.lost.is_set()
    assert (locks.holder, locks.closed) == (None, 1)


def test_another_has_it() -> None:
    """Who is not given the lock in its time is told so, and takes nothing from its holder."""
    locks = Locks(holder="other")
    with Leases(lambda: locks).hold("artifact.x", "me", wait_s=0.3) as lease:
        assert lease is None
    assert locks.asked >= 2
    assert locks.holder == "other"


def test_a_lease_that_was_lost_is_said() -> None:
    """When another has it at the next renewal, the work can know."""
    locks = Locks()
    with Leases(lambda: locks, lease_s=0.05).hold("artifact.x", "me") as lease:
        assert lease is not None
        locks.holder = "other"
        assert lease.lost.wait(LIMIT_S)
    assert locks.holder == "other"


def test_nobody_waits_for_what_does_not_answer() -> None:
    """Without shared state the work goes on without a token, and an outage in the middle is no loss."""
    with Leases(lambda: Locks(away=True)).hold("artifact.x", "me", wait_s=60) as lease:
        assert lease is not None
        assert lease.token is None
    locks = Locks()
    with Leases(lambda: locks, lease_s=0.05).hold("artifact.x", "me") as lease:
        assert lease is not None
        locks.away, asked = True, locks.asked
        deadline = time.monotonic() + LIMIT_S
        while locks.asked < asked + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not lease.lost.is_set()


def test_an_error_of_the_work_gives_the_lock_back() -> None:
    """Whatever ends the work, the next one need not wait for the lease."""
    locks = Locks()
    with pytest.raises(ValueError, match="disk"), Leases(lambda: locks).hold("artifact.x", "me"):
        raise ValueError("disk")
    assert locks.holder is None
