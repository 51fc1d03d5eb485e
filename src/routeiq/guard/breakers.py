"""The circuit breakers of candidates and their providers, shared by all workers, and of what each worker has alone.

Owns who is counted where, which probes are under way, and what workers tell each other. Each worker writes its own
tally of a breaker and nobody else's, so that workers that count at once lose nothing; the sum of all is judged. Turns
(opened, closed) are one document per breaker, in which the last write wins.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from routeiq.core.ports import Clock
from routeiq.guard.breaker import Mark, State, Tally, Trip, Window, together

AREA = "cb"
LOCAL = "local:"
"""Begins the name of what each worker has for itself; its breaker is not shared."""
TOLD_S = 1.0
"""How often a worker tells its calls to one in trouble elsewhere; failures are told at once."""
RESERVED_S = 5.0
"""How long a decision for a probe keeps the place of a call that has not begun."""
KEPT_S = 3_600.0
"""How long a turn is remembered without another one."""
LEAST_TROUBLED = 2
"""How many candidates of a provider must be in trouble before the trouble is the provider's."""

_KEY = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Picture(Protocol):
    """What is used of `guard.mirror.Mirror`."""

    def put(self, area: str, key: str, value: bytes | None, *, expires_s: float | None = None) -> None:
        """Write a value."""
        ...

    def on_change(self, area: str, call: Callable[[Mapping[str, bytes | None]], None]) -> None:
        """Be told of changes."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """A call under way. `first_at` is when its answer began; `slow` says that it was already counted as slow."""

    name: str
    streamed: bool
    begun: float
    probes: tuple[str, ...] = ()
    first_at: float | None = None
    slow: bool = False


@dataclass(slots=True)
class _Breaker:
    """One breaker as this worker sees it: its own tally, those of other workers, and its probes."""

    own: Window
    others: dict[str, Window] = field(default_factory=dict)
    mark: Mark = field(default_factory=Mark)
    probing: int = 0
    reserved: float = float("-inf")
    told: float = float("-inf")

    def tally(self, now: float) -> Tally:
        total = self.own.since(self.mark.at, now)
        for window in self.others.values():
            total += window.since(self.mark.at, now)
        return total


class Breakers:
    """Every breaker of one worker.

    `providers` maps candidates to whoever serves them; `worker` is an id that no other worker has. Without a `picture`
    breakers are this worker's own. `turned` hears of every turn: name, new state, failures.
    """

    def __init__(
        self,
        trip: Trip,
        clock: Clock,
        providers: Mapping[str, str],
        *,
        worker: str = "alone",
        picture: Picture | None = None,
        turned: Callable[[str, State, int], None] = lambda name, state, failures: None,
    ) -> None:
        self.trip = trip
        self._clock = clock
        self._provider = {name: f"provider:{provider}" for name, provider in providers.items()}
        self._members: dict[str, list[str]] = {}
        for name, provider in self._provider.items():
            self._members.setdefault(provider, []).append(name)
        self._worker, self._picture, self._turned = worker, picture, turned
        self._breakers: dict[str, _Breaker] = {}
        self._troubled: set[str] = set()
        self._calls: dict[Call, None] = {}
        if picture is not None:
            self.share(picture, worker)

    def share(self, picture: Picture, worker: str) -> None:
        """Share with other workers from now on; `worker` is an id that no other one has."""
        self._picture, self._worker = picture, worker
        picture.on_change(AREA, self._hear)

    def shut(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of the candidates that should be tried last: open, or half-open with no probe to spare."""
        self._overdue()
        if not self._troubled:
            return frozenset()
        now = self._clock.now()
        self._judge(now)
        return frozenset(name for name in names if any(self._keeps_out(unit, now) for unit in self._units(name)))

    def chosen(self, name: str) -> None:
        """Keep the place of a probe for a candidate that a decision has just chosen."""
        if self._troubled:
            now = self._clock.now()
            for unit in self._units(name):
                if self._state(unit, now) is State.HALF_OPEN:
                    self._breakers[unit].reserved = now

    def begin(self, name: str, streamed: bool = False) -> Call:
        """Note that a call begins; give the answer to `end`."""
        call = Call(name, streamed, self._clock.monotonic())
        if self._troubled:
            now = self._clock.now()
            call.probes = tuple(unit for unit in self._units(name) if self._state(unit, now) is State.HALF_OPEN)
            for unit in call.probes:
                self._breakers[unit].probing += 1
                self._breakers[unit].reserved = float("-inf")
        self._calls[call] = None
        return call

    def end(self, call: Call, ok: bool | None, latency_s: float | None = None, ttft_s: float | None = None) -> None:
        """Note how a call ended; `ok` is None when that says nothing of who was called (the client left or erred)."""
        if self._calls.pop(call, self) is self:
            return
        slow = not call.slow and bool(ok) and self.trip.slow(latency_s, ttft_s, call.streamed)
        if ok is not None and not (ok and call.slow):
            self._count(call.name, Tally(0 if call.slow else 1, int(not ok), int(slow)))
        now = self._clock.now()
        for unit in call.probes:
            breaker = self._breakers[unit]
            breaker.probing -= 1
            if ok is not None:
                self._turn(unit, breaker.mark.probed(ok and not slow and not call.slow, self.trip, now))

    def states(self) -> dict[str, State]:
        """Return the state of every breaker that was ever asked for."""
        now = self._clock.now()
        self._judge(now)
        return {name: breaker.mark.now(self.trip, now) for name, breaker in sorted(self._breakers.items())}

    def gauge(self) -> dict[tuple[str, ...], float]:
        """Return 1 for the state that each breaker is in and 0 for the others, by (name, state)."""
        return {(name, s.value): float(s is state) for name, state in self.states().items() for s in State}

    def _units(self, name: str) -> tuple[str, ...]:
        provider = self._provider.get(name)
        return (name,) if provider is None else (name, provider)

    def _breaker(self, name: str) -> _Breaker:
        found = self._breakers.get(name)
        if found is None:
            found = self._breakers[name] = _Breaker(Window(self.trip.window_s))
        return found

    def _state(self, unit: str, now: float) -> State:
        found = self._breakers.get(unit)
        return State.CLOSED if found is None else found.mark.now(self.trip, now)

    def _keeps_out(self, unit: str, now: float) -> bool:
        state = self._state(unit, now)
        if state is not State.HALF_OPEN:
            return state is State.OPEN
        breaker = self._breakers[unit]
        return breaker.probing + (abs(now - breaker.reserved) < RESERVED_S) >= self.trip.probes

    def _overdue(self) -> None:
        """Count calls that have been without an answer for too long, before they end."""
        limits = [limit for limit in (self.trip.latency_s, self.trip.ttft_s) if limit is not None]
        if not limits:
            return
        now = self._clock.monotonic()
        for call in self._calls:
            if now - call.begun <= min(limits):
                break
            limit = self.trip.patience_s(call.streamed)
            if limit is not None and not call.slow and call.first_at is None and now - call.begun > limit:
                call.slow = True
                self._count(call.name, Tally(1, 0, 1))

    def _count(self, name: str, tally: Tally) -> None:
        now = self._clock.now()
        breaker = self._breaker(name)
        breaker.own.add(now, tally)
        bad = bool(tally.failures or tally.slow)
        if bad:
            self._troubled.add(name)
            self._judge(now)
        if name in self._troubled and (bad or abs(now - breaker.told) >= TOLD_S):
            self._tell(name, breaker, now)

    def _judge(self, now: float) -> None:
        """Look at whoever is in trouble, and forget whose trouble is over."""
        providers = {self._provider[name] for name in self._troubled if name in self._provider}
        for name in tuple(self._troubled):
            breaker = self._breaker(name)
            tally = breaker.tally(now)
            self._turn(name, breaker.mark.judged(tally, self.trip, now))
            if breaker.mark.state is State.CLOSED and not tally.failures and not tally.slow:
                self._troubled.discard(name)
        for provider in providers:
            mark = self._breaker(provider).mark
            members = self._members[provider]
            total, troubled = together(self._since(name, mark.at, now) for name in members)
            if troubled >= LEAST_TROUBLED:
                self._turn(provider, mark.judged(total, self.trip, now))

    def _since(self, name: str, start: float, now: float) -> Tally:
        found = self._breakers.get(name)
        if found is None:
            return Tally()
        return sum((w.since(start, now) for w in found.others.values()), found.own.since(start, now))

    def _turn(self, name: str, mark: Mark) -> None:
        breaker = self._breaker(name)
        if mark is breaker.mark:
            return
        before, breaker.mark = breaker.mark, mark
        if mark.state is State.OPEN:
            self._troubled.add(name)
        if mark.state is not before.state:
            self._turned(name, mark.state, mark.failures)
        if self._picture is not None and not name.startswith(LOCAL):
            form = {"name": name, "state": mark.state.value, "failures": mark.failures, "opened_at": mark.at}
            self._picture.put(AREA, _key(name), json.dumps(form).encode(), expires_s=KEPT_S)

    def _tell(self, name: str, breaker: _Breaker, now: float) -> None:
        breaker.told = now
        if self._picture is None or name.startswith(LOCAL):
            return
        seconds = {s: (t.calls, t.failures, t.slow) for s, t in breaker.own.seconds.items()}
        text = json.dumps({"name": name, "worker": self._worker, "seconds": seconds})
        self._picture.put(AREA, f"{_key(name)}:{self._worker}", text.encode(), expires_s=2 * self.trip.window_s)

    def _hear(self, changes: Mapping[str, bytes | None]) -> None:
        """Take over what other workers wrote."""
        for value in changes.values():
            if value is None:
                continue
            form = json.loads(value)
            breaker = self._breaker(form["name"])
            if "worker" in form:
                if form["worker"] != self._worker:
                    told = {int(second): Tally(*numbers) for second, numbers in form["seconds"].items()}
                    breaker.others[form["worker"]] = Window(self.trip.window_s, told)
                    self._forget_others(breaker)
            else:
                self._take_over(form["name"], breaker, Mark(State(form["state"]), form["opened_at"], form["failures"]))
            self._troubled.add(form["name"])

    def _take_over(self, name: str, breaker: _Breaker, mark: Mark) -> None:
        before, breaker.mark = breaker.mark, mark
        if before.state is not mark.state:
            self._turned(name, mark.state, mark.failures)

    def _forget_others(self, breaker: _Breaker) -> None:
        now = self._clock.now()
        silent = [
            w for w, window in breaker.others.items() if not window.since(now - 2 * self.trip.window_s, now).calls
        ]
        for worker in silent:
            del breaker.others[worker]


def _key(name: str) -> str:
    """Return a name as the key of a document: itself where it may be one, else what may be kept of it and a digest."""
    if _KEY.fullmatch(name):
        return name
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80]
    return f"{kept}-{sha256(name.encode()).hexdigest()[:12]}"
