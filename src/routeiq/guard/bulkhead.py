"""Who a request counts for, what share that party has, and whose turn it is when requests wait.

Owns identities (`Directory`), shares and the fair queue between bulkheads. A bulkhead is a team, or a key that belongs
to none. Pure and synchronous: counting slots and refusing is `guard.admission`'s business.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush

from routeiq.core.request import Caller

STRANGERS = 64
"""Over how many bulkheads keys are spread that were never authenticated here: made-up keys cannot make up bulkheads."""
PARTIES_KEPT = 20_000
TOKENS_PER_TURN = 1_000.0
"""How many prompt tokens weigh like one more request in the fair queue."""


class Priority(IntEnum):
    """The order between waiting requests; the lower ones are refused first."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Share:
    """What a team or key gets of a worker: slots at once (0: no bound of its own), weight in the queue, priority.

    `everywhere` bounds the requests under way on all workers of all replicas together (0: not bounded).
    """

    slots: int = 0
    weight: float = 1.0
    priority: Priority = Priority.NORMAL
    everywhere: int = 0


@dataclass(frozen=True, slots=True)
class Party:
    """Who a request counts for. `known` says that the key was authenticated here before; only then is there a share."""

    bulkhead: str
    key: str | None = None
    admin: bool = False
    known: bool = False


class Directory:
    """Credentials, by digest, to parties. Learns from what the host has authenticated; forgets the oldest."""

    def __init__(self, kept: int = PARTIES_KEPT) -> None:
        self._kept = kept
        self._parties: OrderedDict[str, Party] = OrderedDict()

    def find(self, digest: str) -> Party:
        """Return the party of credentials; `digest` is hexadecimal, or empty when there were none."""
        found = self._parties.get(digest)
        if found is not None:
            return found
        return Party(f"new:{int(digest[:4], 16) % STRANGERS}" if digest else "new:none")

    def learn(self, digest: str, caller: Caller) -> None:
        """Remember whom the host took the sender of these credentials for."""
        if not digest:
            return
        bulkhead = f"team:{caller.team}" if caller.team else f"key:{caller.key_hash or digest}"
        self._parties[digest] = Party(bulkhead, caller.key_hash, caller.admin, known=True)
        self._parties.move_to_end(digest)
        if len(self._parties) > self._kept:
            self._parties.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares by name: `teams` by team id, `keys` by the host's hash of the key, `other` for everybody else.

    A key of a team counts for the team; its own entry in `keys` bounds it within the team.
    """

    other: Share = Share()
    teams: Mapping[str, Share] = field(default_factory=dict)
    keys: Mapping[str, Share] = field(default_factory=dict)

    def of(self, party: Party) -> Share:
        """Return the share of the bulkhead that a party counts for."""
        kind, _, name = party.bulkhead.partition(":")
        return (self.teams if kind == "team" else self.keys).get(name, self.other)

    def of_key(self, party: Party) -> Share | None:
        """Return the bound of a key within its team, None when it has none."""
        if party.key is None or not party.bulkhead.startswith("team:"):
            return None
        return self.keys.get(party.key)


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place. `latest` is when it has to be in, on the clock that never goes back.

    `wake` is called once when a ticket that waits is let in or refused; `refused` then says why.
    """

    party: Party
    tokens: int
    priority: Priority
    since: float
    latest: float
    bulkhead: "Bulkhead"
    admitted_at: float | None = None
    over: bool = False
    refused: Exception | None = None
    wake: Callable[[], None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the ticket is still in the queue."""
        return self.admitted_at is None and not self.over


@dataclass(slots=True, eq=False)
class Bulkhead:
    """The requests of one team or key: how many are under way, and which wait, by priority."""

    name: str
    share: Share
    held: int = 0
    debt: float = 0.0
    queues: tuple[deque[Ticket], deque[Ticket], deque[Ticket]] = field(
        default_factory=lambda: (deque(), deque(), deque())
    )
    entry: int = 0

    @property
    def waiting(self) -> int:
        """How many requests wait here."""
        low, normal, high = self.queues
        return len(low) + len(normal) + len(high)

    @property
    def full(self) -> bool:
        """Whether the bulkhead has all the slots that it may have."""
        return 0 < self.share.slots <= self.held

    @property
    def best(self) -> int:
        """The highest priority that waits here, -1 when nothing does."""
        low, normal, high = self.queues
        return 2 if high else 1 if normal else 0 if low else -1


class FairQueue:
    """Requests that wait, let in by priority, then in turn between bulkheads by weight, then by age.

    Start-time fair queueing (Goyal, Vin, Cheng, 1996): each bulkhead has a debt in virtual time that grows by cost over
    weight with every request that is let in; the smallest debt goes first, and who was away owes nothing. A bulkhead
    that is full is set aside until one of its requests has ended. Each step costs the logarithm of the bulkheads.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._turn = 0.0
        self._entries = 0
        self._ready: list[tuple[int, float, int, Bulkhead]] = []

    def push(self, ticket: Ticket) -> None:
        """Have a request wait."""
        bulkhead = ticket.bulkhead
        before = bulkhead.best
        bulkhead.queues[ticket.priority].append(ticket)
        self.waiting += 1
        if bulkhead.best != before:
            self.offer(bulkhead)

    def offer(self, bulkhead: Bulkhead) -> None:
        """Put a bulkhead where its present debt and priority belong, if it may go on."""
        self._entries += 1
        bulkhead.entry = self._entries
        best = bulkhead.best
        if best >= 0 and not bulkhead.full:
            heappush(self._ready, (-best, max(self._turn, bulkhead.debt), self._entries, bulkhead))

    def first(self) -> Ticket | None:
        """Return whose turn it is, without taking it out; None when nobody can go on.

        Within a bulkhead the oldest goes first, also under overload: a request whose turn would come too late was
        refused when it came, so that nobody here is past its time.
        """
        while self._ready:
            negative, _, entry, bulkhead = self._ready[0]
            if entry != bulkhead.entry or bulkhead.best != -negative or bulkhead.full:
                heappop(self._ready)
                if entry == bulkhead.entry:
                    self.offer(bulkhead)
                continue
            return bulkhead.queues[-negative][0]
        return None

    def remove(self, ticket: Ticket) -> None:
        """Take a request out that waits."""
        queue = ticket.bulkhead.queues[ticket.priority]
        if queue[0] is ticket:
            queue.popleft()
        elif queue[-1] is ticket:
            queue.pop()
        else:
            queue.remove(ticket)
        self.waiting -= 1

    def charge(self, bulkhead: Bulkhead, tokens: int) -> None:
        """Add a request that was let in to its bulkhead's debt."""
        start = max(self._turn, bulkhead.debt)
        self._turn = start
        bulkhead.debt = start + (1.0 + tokens / TOKENS_PER_TURN) / bulkhead.share.weight

    @property
    def blocked(self) -> bool:
        """Whether somebody is in front whom only the worker's own bounds keep out."""
        return bool(self._ready) and self.first() is not None


def longest(bulkheads: Iterator[Bulkhead]) -> Bulkhead | None:
    """Return the bulkhead with the most requests waiting for its weight, None when nothing waits."""
    found = max(bulkheads, key=lambda b: b.waiting / b.share.weight, default=None)
    return found if found is not None and found.waiting else None
