"""Whether a request may come in now, waits, or is refused at once: bounded concurrency, tokens and queue of one worker.

Owns the counting. Pure and synchronous but for `wait`; time is an argument, on the clock that never goes back. Who a
request counts for and whose turn it is are `guard.bulkhead`'s business; HTTP is the edge's.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from math import ceil

from routeiq.core.errors import (
    AnswersTooSlow,
    DeadlineTooNear,
    KeyShareExceeded,
    Overloaded,
    QueueFull,
    ShareExceeded,
)
from routeiq.core.ports import Clock
from routeiq.core.request import Caller
from routeiq.guard.bulkhead import Bulkhead, Directory, FairQueue, Party, Priority, Shares, Ticket, longest
from routeiq.guard.load import LatencyBound, Load

LONGEST_RETRY_S = 30.0
SMOOTHING = 0.1
"""Weight of the newest request in the moving average of how long a slot is held."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one worker; 0 or None is no bound.

    At most `queued` requests wait, each for `wait_s` seconds at most. `tokens` are estimated prompt tokens under way.
    `p95_s` is the 95th percentile of the time until an answer begins above which fewer requests are let in.
    """

    concurrency: int = 0
    queued: int = 100
    wait_s: float = 5.0
    tokens: int = 0
    p95_s: float | None = None


@dataclass(slots=True)
class Admission:
    """The requests under way and waiting in one worker."""

    limits: Limits = Limits()
    shares: Shares = field(default_factory=Shares)
    directory: Directory = field(default_factory=Directory)
    load: Load = field(default_factory=Load)
    in_flight: int = 0
    tokens: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    hold_s: float = 0.0
    bound: LatencyBound = field(init=False)
    _queue: FairQueue = field(default_factory=FairQueue)
    _bulkheads: dict[str, Bulkhead] = field(default_factory=dict)
    _keys: Counter[str] = field(default_factory=Counter)
    _senders: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bound = LatencyBound(self.limits.p95_s)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._queue.waiting

    def under_way(self) -> dict[str, tuple[int, int]]:
        """Return by bulkhead how many requests are under way and how many wait."""
        return {name: (b.held, b.waiting) for name, b in self._bulkheads.items()}

    def enter(
        self,
        party: Party,
        now: float,
        *,
        tokens: int = 0,
        priority: Priority | None = None,
        timeout_s: float | None = None,
    ) -> Ticket:
        """Return the ticket of a request that may come in or, when it is `waiting`, may wait; raises Overloaded.

        `tokens` is an estimate of the prompt's; `timeout_s` is how long the client waits for its answer, None when it
        does not say. Every ticket must be given to `leave` once.
        """
        self.load.requests.add(now)
        bulkhead = self._bulkhead(party)
        given = bulkhead.share.priority if priority is None else priority
        ticket = Ticket(party, tokens, given, now, now + self._patience(timeout_s), bulkhead)
        try:
            self._bound_key(party)
            if self._roomy(tokens) and not bulkhead.full and not self._queue.blocked:
                self._take(ticket, now)
            else:
                self._line_up(ticket, now)
        except Overloaded as error:
            self._forget(bulkhead)
            self.refusals[error.reason] += 1
            raise
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """Give a request's place back, wherever it stands, and let others in; a second time does nothing."""
        if ticket.over:
            return
        if ticket.admitted_at is None:
            self._queue.remove(ticket)
            ticket.over = True
        else:
            ticket.over = True
            self._give_back(ticket, now - ticket.admitted_at)
        self._forget(ticket.bulkhead)
        self._let_in(now)

    def begins(self, ticket: Ticket, now: float) -> None:
        """Note that the answer to a request begins; only what came after it was let in counts for the bound."""
        self.load.latencies.add(now, now - ticket.since)
        if ticket.admitted_at is not None:
            self.bound.add(now, now - ticket.since, self.in_flight)

    def expect(self, call_id: str, sender: str) -> None:
        """Note whose credentials, by digest, came with a call that the host is about to be given."""
        if sender:
            self._senders[call_id] = sender

    def met(self, call_id: object, caller: Caller) -> None:
        """Learn whom the host took the sender of a call for."""
        sender = self._senders.pop(call_id, None) if isinstance(call_id, str) else None
        if sender is not None:
            self.directory.learn(sender, caller)

    def forget(self, call_id: str) -> None:
        """Forget a call that has ended, also when the host did not say who sent it."""
        self._senders.pop(call_id, None)

    async def wait(self, ticket: Ticket, clock: Clock) -> None:
        """Return when a waiting ticket is let in; raises Overloaded when its time is over.

        Cancelling the wait leaves the ticket in the queue: `leave` takes it out.
        """
        if ticket.waiting:
            woken = asyncio.get_running_loop().create_future()
            ticket.wake = lambda: None if woken.done() else woken.set_result(None)
            await asyncio.wait({woken}, timeout=max(0.0, ticket.latest - clock.monotonic()))
        if ticket.waiting:
            self._expire(ticket)
        if ticket.refused is not None:
            raise ticket.refused

    def expected_wait_s(self, bulkhead: Bulkhead) -> float:
        """Return how long one more request of a bulkhead would probably wait, in seconds."""
        if bulkhead.full:
            return (bulkhead.waiting + 1) * self.hold_s / bulkhead.share.slots
        slots = self.limits.concurrency or max(1, self.in_flight)
        crowd = sum(1 for b in self._bulkheads.values() if b.waiting and b is not bulkhead) + 1
        ahead = min(self._queue.waiting, (bulkhead.waiting + 1) * crowd - 1)
        return (ahead + 1) * self.hold_s / slots

    def _bulkhead(self, party: Party) -> Bulkhead:
        found = self._bulkheads.get(party.bulkhead)
        if found is None:
            found = self._bulkheads[party.bulkhead] = Bulkhead(party.bulkhead, self.shares.of(party))
        return found

    def _forget(self, bulkhead: Bulkhead) -> None:
        if not bulkhead.held and not bulkhead.waiting:
            self._bulkheads.pop(bulkhead.name, None)

    def _patience(self, timeout_s: float | None) -> float:
        """Return how long a request may wait: less than its client waits, as the answer takes its time too."""
        if timeout_s is None:
            return self.limits.wait_s
        return min(self.limits.wait_s, max(timeout_s - self.hold_s, timeout_s / 2))

    def _bound_key(self, party: Party) -> None:
        share = self.shares.of_key(party)
        if share is not None and 0 < share.slots <= self._keys[party.key or ""]:
            raise KeyShareExceeded(
                f"this key has {share.slots} requests under way, which is its share; try again when one has ended",
                self._retry_after(self.hold_s / share.slots),
            )

    def _roomy(self, tokens: int) -> bool:
        """Whether the worker's own bounds leave room; a prompt larger than all that may be under way goes alone."""
        limits = self.limits
        if 0 < limits.concurrency <= self.in_flight or self.bound.keeps_out(self.in_flight):
            return False
        return not limits.tokens or not self.in_flight or self.tokens + tokens <= limits.tokens

    def _take(self, ticket: Ticket, now: float) -> None:
        ticket.admitted_at = now
        ticket.bulkhead.held += 1
        self.in_flight += 1
        self.tokens += ticket.tokens
        if ticket.party.key is not None:
            self._keys[ticket.party.key] += 1
        self._queue.charge(ticket.bulkhead, ticket.tokens)

    def _give_back(self, ticket: Ticket, held_s: float) -> None:
        self.hold_s += SMOOTHING * (held_s - self.hold_s) if self.hold_s else held_s
        self.in_flight -= 1
        self.tokens -= ticket.tokens
        bulkhead, key = ticket.bulkhead, ticket.party.key
        was_full = bulkhead.full
        bulkhead.held -= 1
        if key is not None:
            self._keys[key] -= 1
            if not self._keys[key]:
                del self._keys[key]
        if was_full:
            self._queue.offer(bulkhead)

    def _line_up(self, ticket: Ticket, now: float) -> None:
        """Have a request wait, or raise why it may not."""
        bulkhead = ticket.bulkhead
        expected = self.expected_wait_s(bulkhead)
        if bulkhead.full:
            if bulkhead.waiting >= self._places(bulkhead) or expected > ticket.latest - now:
                raise self._share_exceeded(bulkhead, expected)
        elif self.bound.keeps_out(self.in_flight):
            raise AnswersTooSlow("answers take too long at the moment; try again later", self._retry_after(expected))
        elif expected > ticket.latest - now:
            raise DeadlineTooNear(
                f"about {expected:.1f} s would pass before this request's turn, which is too late; try again later",
                self._retry_after(expected),
            )
        if self._queue.waiting >= self.limits.queued and not self._push_out(ticket):
            raise QueueFull("as many requests wait as may; try again later", self._retry_after(expected))
        self._queue.push(ticket)

    def _places(self, bulkhead: Bulkhead) -> int:
        """Return how many requests of a bulkhead that is full may wait: its share of the queue."""
        slots, limits = bulkhead.share.slots, self.limits
        return ceil(limits.queued * slots / limits.concurrency) if limits.concurrency else min(slots, limits.queued)

    def _share_exceeded(self, bulkhead: Bulkhead, expected: float) -> ShareExceeded:
        return ShareExceeded(
            f"{bulkhead.share.slots} requests of this team or key are under way, which is its share, and "
            f"{bulkhead.waiting} wait; try again later",
            self._retry_after(expected),
        )

    def _push_out(self, ticket: Ticket) -> bool:
        """Make room in a full queue at the cost of who has taken most of it, or of a lower priority."""
        crowded = longest(iter(self._bulkheads.values()))
        if crowded is None:
            return False
        mine = (ticket.bulkhead.waiting + 1) / ticket.bulkhead.share.weight
        lowest = next(at for at, queue in enumerate(crowded.queues) if queue)
        if lowest > ticket.priority or (lowest == ticket.priority and mine >= crowded.waiting / crowded.share.weight):
            return False
        victim = crowded.queues[lowest][-1]
        expected = self.expected_wait_s(crowded)
        self._refuse(victim, QueueFull("others that wait come first; try again later", self._retry_after(expected)))
        return True

    def _expire(self, ticket: Ticket) -> None:
        bulkhead = ticket.bulkhead
        expected = self._retry_after(self.expected_wait_s(bulkhead))
        error = DeadlineTooNear("this request's turn did not come in time; try again later", expected)
        self._refuse(ticket, self._share_exceeded(bulkhead, expected) if bulkhead.full else error)

    def _refuse(self, ticket: Ticket, error: Overloaded) -> None:
        self._queue.remove(ticket)
        ticket.over, ticket.refused = True, error
        self.refusals[error.reason] += 1
        self._forget(ticket.bulkhead)
        if ticket.wake is not None:
            ticket.wake()

    def _let_in(self, now: float) -> None:
        """Let in who may come in now, in turn."""
        while (ticket := self._queue.first()) is not None:
            if ticket.latest < now:
                self._expire(ticket)
                continue
            if not self._roomy(ticket.tokens):
                break
            self._queue.remove(ticket)
            self._take(ticket, now)
            self._queue.offer(ticket.bulkhead)
            if ticket.wake is not None:
                ticket.wake()

    def _retry_after(self, expected_s: float) -> float:
        """Return after how many whole seconds there should be room."""
        return float(min(LONGEST_RETRY_S, max(1, ceil(expected_s))))
