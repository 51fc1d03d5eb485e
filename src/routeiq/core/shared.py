"""What all workers of all replicas agree on, as one port: documents, counters, limits, locks.

Owns the words and the promises; `adapters.memory` keeps them for one process, `adapters.redis` for many. Nothing here
is called on the way of a decision: a worker reads its own picture (`guard.mirror`), refreshed in the background.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Document:
    """A value and the version of its area in which it was written."""

    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What was written in an area since some version: the area's version now, and per key the value, None if removed.

    `whole` says that the entries are all there are, because what happened since is not known any more.
    """

    version: int
    entries: Mapping[str, bytes | None] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a request for a share of a rate limit; `retry_after_s` is 0 when it was granted."""

    granted: bool
    retry_after_s: float = 0.0


class SharedState(Protocol):
    """State that is the same everywhere. Each method is one atomic step.

    An `area` groups keys that are watched together and has a version that grows with every write; areas and keys are
    letters, digits and `._:-`. Everything raises StateUnavailable when the store does not answer within its bound; then
    it is not known whether the step was taken, and it may be repeated: `put` with `expect`, `add` with the same token,
    `acquire` and `release` by the same holder take effect once.
    """

    async def put(
        self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None, expect: int | None = None
    ) -> int | None:
        """Write a value, or remove it with None; return the area's new version.

        With `expect` only if the key's version is still that one (0: it does not exist); None when it is not.
        """
        ...

    async def get(self, area: str, key: str) -> Document | None:
        """Return a value, or None when there is none or it has expired."""
        ...

    async def changes(self, area: str, since: int) -> Changes:
        """Return what was written after a version; 0 asks for everything."""
        ...

    async def add(
        self, area: str, key: str, amounts: Mapping[str, float], *, token: str, expires_s: float | None = None
    ) -> Mapping[str, float]:
        """Add to the counters of a key and return all their sums; a token that was seen before adds nothing.

        Tokens are remembered for at least ten minutes.
        """
        ...

    async def counters(self, area: str, key: str) -> Mapping[str, float]:
        """Return the sums of a key, empty when nothing was added."""
        ...

    async def take(self, key: str, cost: float, *, limit: float, window_s: float) -> Taken:
        """Take `cost` of a limit per window (generic cell rate algorithm: no burst beyond `limit`)."""
        ...

    async def acquire(self, key: str, holder: str, *, limit: int, lease_s: float) -> bool:
        """Take one of `limit` places for a holder until it is released or the lease ends; a second time renews it."""
        ...

    async def release(self, key: str, holder: str) -> None:
        """Give a place back; does nothing when it is not held."""
        ...

    async def lock(self, name: str, holder: str, *, lease_s: float) -> int | None:
        """Return a fencing token that grows with every new holder, or None while another holds the lock.

        The holder itself renews its lease by calling again and gets the same token.
        """
        ...

    async def unlock(self, name: str, holder: str) -> None:
        """Give a lock back; does nothing when it is not held."""
        ...

    def watch(self, area: str, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify`, on the event loop, soon after something was written in an area; returns what ends that.

        A hint only: notifications may be lost, so whoever needs the area also asks for its changes from time to time.
        """
        ...

    async def ping(self) -> float:
        """Return how long the store took to answer, in seconds."""
        ...

    async def close(self) -> None:
        """Release connections; watching ends."""
        ...
