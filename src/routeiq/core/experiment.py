"""A/B experiments: who is in which arm, from nothing but the experiment's name and the unit's.

Owns the pure rules: the hash, the share of each arm, what happens to units when shares move, the schedule, and what an
operator says while it runs (`Steering`). Counting is `guard.experiments`'s, the arms' routes are `routing.snapshot`'s,
what the numbers say is `learn.sequential`'s.

A unit's hash is a number; its low part is a slot, and each arm owns spans of slots. When shares move, arms that shrink
give up slots at the edge and arms that grow take them, so that exactly the units that must change arm change it. A rule
without memory cannot do that for three or more arms (Bavarian et al. 2016, arXiv 1612.01041), so the spans themselves
are what is kept and shared.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from routeiq.core.request import RouteRequest

SLOTS = 1_000_000
"""Into how many parts the units of an experiment are divided; a share is exact to one of them."""

CELLS = 4_096
"""Into how many parts, independent of the arms, units are divided to be counted by."""

CONTROL = "control"
"""The name of the arm that others are compared with; every experiment has it."""


class Unit(StrEnum):
    """What keeps its arm."""

    USER = "user"
    KEY = "key"
    SESSION = "session"
    TEAM = "team"


class Phase(StrEnum):
    """What an operator made of an experiment."""

    RUNNING = "running"
    STOPPED = "stopped"
    """All requests take the alias's own route."""
    PROMOTED = "promoted"
    """All requests take the route of one arm."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which arm owns which slots: `spans` are (first slot, arm), in order, the first at 0, each up to the next."""

    spans: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> "Allocation":
        """Return the allocation of an experiment that begins with these weights; their sum is positive."""
        even = [SLOTS * i // len(weights) for i in range(len(weights))]
        return cls(tuple(zip(even, weights, strict=True))).moved(weights)

    def arm(self, slot: int) -> str:
        """Return the owner of a slot."""
        return self.spans[bisect_right(self.spans, slot, key=lambda span: span[0]) - 1][1]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of slots of each arm that has any."""
        found: dict[str, int] = {}
        for first, last, arm in self._ranges():
            found[arm] = found.get(arm, 0) + last - first
        return found

    @property
    def shares(self) -> dict[str, float]:
        """The share of units of each arm that has any."""
        return {arm: size / SLOTS for arm, size in self.sizes.items()}

    def moved(self, weights: Mapping[str, float]) -> "Allocation":
        """Return the allocation for other weights; a slot changes its owner only from an arm that shrinks to one that
        grows, and the fewest slots do. An arm without a weight loses all its slots.
        """
        wanted, owned = _sizes(weights), self.sizes
        surplus = {arm: max(0, size - wanted.get(arm, 0)) for arm, size in owned.items()}
        lacking = {arm: size - owned.get(arm, 0) for arm, size in wanted.items() if size > owned.get(arm, 0)}
        kept: list[tuple[int, int, str]] = []
        for first, last, arm in reversed(self._ranges()):
            given = min(surplus[arm], last - first)
            surplus[arm] -= given
            kept += _handed(last - given, last, lacking)
            if given < last - first:
                kept.append((first, last - given, arm))
        return Allocation(_merged(sorted(kept)))

    def _ranges(self) -> list[tuple[int, int, str]]:
        ends = [first for first, _ in self.spans[1:]] + [SLOTS]
        return [(first, end, arm) for (first, arm), end in zip(self.spans, ends, strict=True)]


def _sizes(weights: Mapping[str, float]) -> dict[str, int]:
    """Return slots in proportion to weights, by largest remainder."""
    total = math.fsum(weights.values())
    exact = {arm: SLOTS * weight / total for arm, weight in weights.items()}
    sizes = {arm: int(size) for arm, size in exact.items()}
    order = sorted(exact, key=lambda arm: sizes[arm] - exact[arm])
    for arm in order[: SLOTS - sum(sizes.values())]:
        sizes[arm] += 1
    return sizes


def _handed(first: int, last: int, lacking: dict[str, int]) -> list[tuple[int, int, str]]:
    """Return the slots given out to the arms that lack some, from the end; `lacking` is brought up to date."""
    given = []
    while first < last:
        arm = next(iter(lacking))
        size = min(lacking[arm], last - first)
        given.append((last - size, last, arm))
        last -= size
        lacking[arm] -= size
        if not lacking[arm]:
            del lacking[arm]
    return given


def _merged(ranges: Sequence[tuple[int, int, str]]) -> tuple[tuple[int, str], ...]:
    spans: list[tuple[int, str]] = []
    for first, _, arm in ranges:
        if not spans or spans[-1][1] != arm:
            spans.append((first, arm))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class Steering:
    """What an operator said of a running experiment. `allocation` is None where the schedule's holds."""

    phase: Phase = Phase.RUNNING
    allocation: Allocation | None = None
    winner: str | None = None
    at: float = 0.0

    def encoded(self) -> bytes:
        """Return the form in which it is shared."""
        form = {
            "phase": self.phase.value,
            "spans": None if self.allocation is None else self.allocation.spans,
            "winner": self.winner,
            "at": self.at,
        }
        return json.dumps(form, separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, text: bytes, arms: Sequence[str]) -> "Steering | None":
        """Return what was said, or None when it cannot be read or speaks of other arms than these."""
        try:
            form = json.loads(text)
            spans = None if form["spans"] is None else tuple((int(first), str(arm)) for first, arm in form["spans"])
            found = cls(Phase(form["phase"]), Allocation(spans) if spans else None, form["winner"], float(form["at"]))
        except (ValueError, KeyError, TypeError):
            return None
        named = {arm for _, arm in spans or ()} | ({found.winner} if found.phase is Phase.PROMOTED else set())
        firsts = [first for first, _ in spans or ()]
        sound = not firsts or (firsts[0] == 0 and firsts == sorted(set(firsts)) and firsts[-1] < SLOTS)
        return found if sound and named <= set(arms) else None


@dataclass(frozen=True, slots=True)
class Placement:
    """The arm of one request. `shares` are those of all arms now; `unit` names run and unit, `cell` is the unit's.

    `counted` is False when everybody has the arm, so that nothing is learned from who has it.
    """

    experiment: str
    arm: str
    unit: str
    cell: int
    shares: Mapping[str, float] = field(repr=False)
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One experiment as the settings have it. `arms` begin with the control.

    `run` changes with everything that makes counts incomparable (arms, unit, salt), not with weights. `stages` are the
    allocations of the schedule and since when each holds, in seconds since the epoch, the first from ever.
    """

    name: str
    alias: str
    unit: Unit
    arms: tuple[str, ...]
    run: str
    stages: tuple[tuple[float, Allocation], ...]
    salt: str = ""
    starts: float = -math.inf
    ends: float = math.inf

    def scheduled(self, now: float) -> Allocation:
        """Return the allocation that the schedule has for a time."""
        return self.stages[bisect_right(self.stages, now, key=lambda stage: stage[0]) - 1][1]

    def allocation(self, now: float, steering: Steering | None) -> Allocation:
        """Return the allocation in force: the operator's, which suspends the schedule, or else the schedule's."""
        said = steering.allocation if steering is not None else None
        return said or self.scheduled(now)

    def place(self, request: RouteRequest, now: float, steering: Steering | None) -> Placement | None:
        """Return the arm of a request, or None when it takes the alias's own route."""
        phase = Phase.RUNNING if steering is None else steering.phase
        if phase is Phase.STOPPED:
            return None
        if phase is Phase.PROMOTED and steering is not None and steering.winner is not None:
            return Placement(self.name, steering.winner, "", 0, {steering.winner: 1.0}, counted=False)
        if not self.starts <= now < self.ends:
            return None
        allocation = self.allocation(now, steering)
        number = hashed(self.salt or self.name, identity(self.unit, request))
        cell, slot = number // SLOTS % CELLS, number % SLOTS
        return Placement(self.name, allocation.arm(slot), f"{self.run}-{number:016x}", cell, allocation.shares)


def hashed(salt: str, unit: str) -> int:
    """Return a uniform 64-bit number for a unit of an experiment."""
    text = f"{salt}\0{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def identity(unit: Unit, request: RouteRequest) -> str:
    """Return the name of a request's unit. A request without one counts as its key, and without a key as itself."""
    caller = request.caller
    named = {
        Unit.USER: request.end_user or caller.user,
        Unit.KEY: caller.key_hash,
        Unit.SESSION: request.session and f"{caller.key_hash}\0{request.session}",
        Unit.TEAM: caller.team,
    }[unit]
    if named:
        return f"{unit.value}:{named}"
    return f"key:{caller.key_hash}" if caller.key_hash else f"request:{request.id}"
