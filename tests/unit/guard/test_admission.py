"""Admission and bulkheads: bounds, turns, refusals. Time is an argument, so nothing here waits."""

import asyncio
import random

import pytest

from routeiq.core.errors import (
    AnswersTooSlow,
    DeadlineTooNear,
    KeyShareExceeded,
    Overloaded,
    QueueFull,
    ShareExceeded,
)
from routeiq.core.request import Caller
from routeiq.guard.admission import Admission, Limits
from routeiq.guard.bulkhead import STRANGERS, Directory, Party, Priority, Share, Shares, Ticket
from routeiq.testing.fakes import FakeClock

A, B = Party("team:a", "ka", known=True), Party("team:b", "kb", known=True)


def full(limits: Limits, shares: Shares | None = None, party: Party = A) -> tuple[Admission, list[Ticket]]:
    """An admission whose slots are all taken, at time 0."""
    admission = Admission(limits, shares or Shares())
    return admission, [admission.enter(party, 0.0) for _ in range(limits.concurrency)]


def settled(limits: Limits, hold_s: float, shares: Shares | None = None) -> Admission:
    """An admission that knows how long a slot is held."""
    admission = Admission(limits, shares or Shares())
    admission.leave(admission.enter(A, 0.0), hold_s)
    return admission


def test_without_limits_everybody_comes_in() -> None:
    """By default requests are counted and nobody waits or is refused."""
    admission = Admission()
    tickets = [admission.enter(A, 0.0, tokens=10**6) for _ in range(1_000)]
    assert not any(ticket.waiting for ticket in tickets)
    assert (admission.in_flight, admission.waiting) == (1_000, 0)


def test_a_place_is_given_to_who_waits() -> None:
    """A request beyond the bound waits, and comes in when another one leaves."""
    admission, [first] = full(Limits(concurrency=1, queued=1))
    second = admission.enter(A, 0.0)
    assert second.waiting
    admission.leave(first, 1.0)
    assert (second.waiting, second.admitted_at, admission.in_flight) == (False, 1.0, 1)


def test_a_place_is_given_back_once() -> None:
    """Leaving twice, or before a turn has come, frees nothing that is somebody else's."""
    admission, [first] = full(Limits(concurrency=1, queued=5))
    second, third = admission.enter(A, 0.0), admission.enter(A, 0.0)
    admission.leave(second, 0.5)
    admission.leave(first, 1.0)
    admission.leave(first, 1.0)
    assert (admission.in_flight, admission.waiting, third.waiting) == (1, 0, False)
    admission.leave(third, 2.0)
    assert (admission.in_flight, admission.tokens, admission.under_way()) == (0, 0, {})


def test_a_full_queue_refuses_at_once() -> None:
    """When as many wait as may, the next one is told when to come back."""
    admission, _ = full(Limits(concurrency=2, queued=1))
    admission.enter(A, 0.0)
    with pytest.raises(QueueFull) as refusal:
        admission.enter(A, 0.0)
    assert (refusal.value.status, refusal.value.reason, refusal.value.retry_after_s) == (503, "queue_full", 1.0)
    assert admission.refusals == {"queue_full": 1}


def test_who_cannot_be_in_time_does_not_wait() -> None:
    """A request whose turn would come after its time to wait, or its client's, is refused when it comes."""
    admission = settled(Limits(concurrency=1, queued=100, wait_s=5.0), hold_s=2.0)
    admission.enter(A, 2.0)
    admission.enter(A, 2.0)
    with pytest.raises(DeadlineTooNear):
        admission.enter(A, 2.0, timeout_s=4.0)
    admission.enter(A, 2.0)
    with pytest.raises(DeadlineTooNear) as refusal:
        admission.enter(A, 2.0)
    assert refusal.value.retry_after_s == 6.0
    assert admission.waiting == 2


async def test_who_was_not_in_time_is_refused() -> None:
    """A wait that turns out longer than expected ends when its time is over."""
    clock = FakeClock(0.0)
    admission, _ = full(Limits(concurrency=1, queued=1, wait_s=0.01))
    ticket = admission.enter(A, clock.monotonic())
    with pytest.raises(DeadlineTooNear):
        await admission.wait(ticket, clock)
    assert admission.waiting == 0


async def test_a_wait_ends_with_the_turn() -> None:
    """Waiting returns as soon as the place is free, and a cancelled wait gives its place in the queue back."""
    clock = FakeClock(0.0)
    admission, [first] = full(Limits(concurrency=1, queued=2))
    second, third = admission.enter(A, 0.0), admission.enter(A, 0.0)
    waits = [asyncio.create_task(admission.wait(ticket, clock)) for ticket in (second, third)]
    await asyncio.sleep(0)
    waits[0].cancel()
    admission.leave(second, 0.0)
    admission.leave(first, 0.1)
    await waits[1]
    assert (third.admitted_at, admission.waiting) == (0.1, 0)


def test_prompts_are_bounded_by_their_tokens() -> None:
    """Tokens under way are bounded besides requests; a prompt over the whole bound goes alone, and is not overtaken."""
    admission = Admission(Limits(tokens=1_000))
    small = admission.enter(A, 0.0, tokens=600)
    large, late = admission.enter(A, 0.0, tokens=5_000), admission.enter(A, 0.0, tokens=100)
    assert (large.waiting, late.waiting) == (True, True)
    admission.leave(small, 1.0)
    assert (large.waiting, late.waiting, admission.tokens) == (False, True, 5_000)
    admission.leave(large, 2.0)
    assert not late.waiting


def test_a_higher_priority_goes_first() -> None:
    """Whatever came before, a waiting request of a higher priority is let in first, and takes a low one's place."""
    admission, [first] = full(Limits(concurrency=1, queued=2))
    low, normal = admission.enter(A, 0.0, priority=Priority.LOW), admission.enter(A, 0.0)
    high = admission.enter(A, 0.0, priority=Priority.HIGH)
    assert isinstance(low.refused, QueueFull)
    admission.leave(first, 1.0)
    assert (high.waiting, normal.waiting) == (False, True)


def test_teams_take_turns() -> None:
    """Between teams that wait, places go by weight, however many requests each has sent."""
    shares = Shares(teams={"b": Share(weight=3.0)})
    admission, [running] = full(Limits(concurrency=1, queued=100, wait_s=1e6), shares, Party("team:c"))
    noisy = [admission.enter(A, 0.0) for _ in range(40)]
    quiet = [admission.enter(B, 0.0) for _ in range(9)]
    for turn in range(12):
        admission.leave(running, float(turn))
        running = next(t for t in noisy + quiet if t.admitted_at is not None and not t.over)
    assert (sum(not t.waiting for t in quiet), sum(not t.waiting for t in noisy)) == (9, 3)


def test_long_prompts_count_for_more_turns() -> None:
    """A team with long prompts gets fewer turns than one with short ones."""
    admission, [running] = full(Limits(concurrency=1, queued=100, wait_s=1e6), None, Party("team:c"))
    long = [admission.enter(A, 0.0, tokens=3_000) for _ in range(20)]
    short = [admission.enter(B, 0.0, tokens=10) for _ in range(20)]
    for turn in range(20):
        admission.leave(running, float(turn))
        running = next(t for t in long + short if t.admitted_at is not None and not t.over)
    assert sum(not t.waiting for t in short) >= 3 * sum(not t.waiting for t in long)


def test_a_noisy_team_does_not_take_the_queue() -> None:
    """A newcomer of a quiet team takes the place of the noisiest team's last request when the queue is full."""
    admission, _ = full(Limits(concurrency=1, queued=4))
    noisy = [admission.enter(A, 0.0) for _ in range(4)]
    quiet = admission.enter(B, 0.0)
    assert quiet.waiting
    assert isinstance(noisy[-1].refused, QueueFull)
    with pytest.raises(QueueFull):
        admission.enter(A, 0.0)


def test_a_team_over_its_share_is_told_so() -> None:
    """A team has its slots and its part of the queue, then 429, while others come in at once."""
    shares = Shares(other=Share(slots=2))
    admission = Admission(Limits(concurrency=8, queued=8), shares)
    held = [admission.enter(A, 0.0) for _ in range(2)]
    waiting = [admission.enter(A, 0.0) for _ in range(2)]
    with pytest.raises(ShareExceeded) as refusal:
        admission.enter(A, 0.0)
    assert (refusal.value.status, refusal.value.reason) == (429, "team_limit")
    assert not admission.enter(B, 0.0).waiting
    admission.leave(held[0], 1.0)
    assert [t.waiting for t in waiting] == [False, True]


def test_a_key_has_a_bound_within_its_team() -> None:
    """A key with a share of its own is refused beyond it; other keys of the team go on."""
    admission = Admission(Limits(), Shares(keys={"ka": Share(slots=1)}))
    first = admission.enter(A, 0.0)
    with pytest.raises(KeyShareExceeded):
        admission.enter(A, 0.0)
    assert not admission.enter(Party("team:a", "other", known=True), 0.0).waiting
    admission.leave(first, 1.0)
    assert not admission.enter(A, 1.0).waiting


def test_fewer_come_in_while_answers_are_slow() -> None:
    """When p95 is over the limit the bound on requests falls, and it rises again when answers are quick."""
    admission = Admission(Limits(p95_s=1.0))
    running = [admission.enter(A, 0.0) for _ in range(40)]
    for ticket in running[:20]:
        admission.begins(ticket, 3.0)
    with pytest.raises(AnswersTooSlow) as refusal:
        admission.enter(B, 3.0)
    assert refusal.value.reason == "latency"
    for ticket in running:
        admission.leave(ticket, 4.0)
    assert admission.bound.allowed == pytest.approx(32.0)
    now = 4.0
    while admission.bound.allowed < 40:
        now += 0.1
        ticket = admission.enter(B, now)
        admission.begins(ticket, now + 0.1)
        admission.leave(ticket, now + 0.1)
    assert now < 60


def test_three_times_the_load_costs_no_goodput() -> None:
    """At three times what a worker can serve it still serves over 0.9 of that, and who is let in waits little."""
    chance = random.Random(7)
    hold_s, slots, now = 1.0, 10, 0.0
    admission = Admission(Limits(concurrency=slots, queued=slots, wait_s=2.0))
    events: list[tuple[float, Ticket]] = []
    done, waits = 0, []
    waiting: list[Ticket] = []
    while now < 100.0:
        now += chance.expovariate(3 * slots / hold_s)
        for ends, ticket in sorted(e for e in events if e[0] <= now):
            events.remove((ends, ticket))
            admission.leave(ticket, ends)
            done += 1
            for let_in in [t for t in waiting if not t.waiting]:
                waiting.remove(let_in)
                if let_in.admitted_at is not None:
                    waits.append(let_in.admitted_at - let_in.since)
                    events.append((let_in.admitted_at + hold_s * chance.uniform(0.8, 1.2), let_in))
        try:
            ticket = admission.enter(A, now)
        except Overloaded:
            continue
        waiting.append(ticket) if ticket.waiting else events.append((now + hold_s, ticket))
    assert done > 0.9 * slots / hold_s * 100.0
    assert sorted(waits)[int(0.99 * len(waits))] < 2 * hold_s


def test_keys_are_strangers_until_the_host_knows_them() -> None:
    """Keys that were never authenticated share a few bulkheads; a known key counts for its team."""
    directory = Directory(kept=2)
    digests = [f"{number:064x}" for number in (1 << 240, 2 << 240, 3 << 240)]
    assert len({directory.find(f"{random.Random(n).getrandbits(256):064x}").bulkhead for n in range(999)}) <= STRANGERS
    for digest in digests:
        directory.learn(digest, Caller(key_hash="k" + digest[:4], team="a"))
    assert directory.find(digests[2]) == Party("team:a", "k" + digests[2][:4], known=True)
    assert not directory.find(digests[0]).known
    directory.learn(digests[0], Caller(key_hash="alone", admin=True))
    assert directory.find(digests[0]) == Party("key:alone", "alone", admin=True, known=True)
    assert not directory.find("").known
