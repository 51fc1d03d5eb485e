"""Who is in which arm: sticky, in proportion, and moved only where weights make it necessary."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.core.experiment import CELLS, SLOTS, Allocation, Phase, Plan, Steering, Unit, hashed, identity
from routeiq.core.request import Caller, RouteRequest

ARMS = ("control", "b", "c", "d")
WEIGHTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(sum)


def plan(shares: dict[str, float] | None = None, **changes: object) -> Plan:
    """Return a plan of two arms, or of those given, divided by user."""
    shares = shares or {"control": 1.0, "b": 1.0}
    stages = ((-math.inf, Allocation.of(shares)),)
    return Plan(**{**_FIELDS, "arms": tuple(shares), "stages": stages, **changes})  # type: ignore[arg-type]


_FIELDS: dict[str, object] = {"name": "exp", "alias": "auto", "unit": Unit.USER, "run": "0f3a"}


def asked(user: str, **changes: object) -> RouteRequest:
    """Return a request of a user."""
    return RouteRequest(**{"id": "r", "alias": "auto", "caller": Caller("key", "team", user), **changes})  # type: ignore[arg-type]


def arm(of: Plan, request: RouteRequest, now: float = 0.0, said: Steering | None = None) -> str:
    """Return the arm of a request."""
    placement = of.place(request, now, said)
    assert placement is not None
    return placement.arm


@pytest.mark.parametrize("share", [0.5, 0.9, 0.1])
def test_ten_thousand_users_are_split_as_the_weights_say(share: float) -> None:
    """The shares of 10,000 users are within one percent of all users of the weights."""
    of = plan({"control": share, "b": 1 - share})
    counts = Counter(arm(of, asked(f"user-{i}")) for i in range(10_000))
    assert counts["control"] / 10_000 == pytest.approx(share, abs=0.01)


def test_a_user_keeps_its_arm_whatever_it_asks() -> None:
    """The arm depends on the user and the experiment, not on request, key, team, time or the order of requests."""
    of = plan()
    for i in range(50):
        first = arm(of, asked(f"u{i}"))
        other = asked(f"u{i}", id="another", caller=Caller("key2", "team2", f"u{i}"), session="s", prompt_tokens=9)
        assert arm(of, other, now=1e9) == first


def test_experiments_are_independent() -> None:
    """Who is in an arm of one experiment is evenly divided by another."""
    one, two = plan(), plan(name="other")
    both = Counter((arm(one, asked(f"u{i}")), arm(two, asked(f"u{i}"))) for i in range(4_000))
    assert all(count == pytest.approx(1_000, abs=120) for count in both.values())
    assert len(both) == 4


def owner(allocation: Allocation) -> list[str]:
    """Return the owner of a thousand slots, evenly spread."""
    return [allocation.arm(slot) for slot in range(0, SLOTS, SLOTS // 1000)]


@settings(deadline=None)
@given(WEIGHTS, st.lists(WEIGHTS, min_size=1, max_size=4))
def test_only_units_that_must_change_their_arm_do(first: list[int], changes: list[list[int]]) -> None:
    """From any weights to any others the fewest slots move, each from an arm that shrinks to one that grows."""
    allocation = Allocation.of(dict(zip(ARMS, map(float, first), strict=True)))
    for weights in changes:
        after = allocation.moved(dict(zip(ARMS, map(float, weights), strict=True)))
        before_sizes, sizes = allocation.sizes, after.sizes
        grown = sum(max(0, sizes.get(a, 0) - before_sizes.get(a, 0)) for a in ARMS)
        assert moved_slots(allocation, after) == grown
        for old, new in zip(owner(allocation), owner(after), strict=True):
            if old != new:
                assert sizes.get(old, 0) < before_sizes.get(old, 0)
                assert sizes.get(new, 0) > before_sizes.get(new, 0)
        allocation = after


def moved_slots(one: Allocation, other: Allocation) -> int:
    """Return how many slots have another owner."""
    edges = sorted({first for first, _ in (*one.spans, *other.spans)} | {SLOTS})
    return sum(last - first for first, last in pairwise(edges) if one.arm(first) != other.arm(first))


@settings(deadline=None)
@given(WEIGHTS)
def test_shares_are_the_weights(weights: list[int]) -> None:
    """Every slot has one owner, and each arm has its share of them to a slot."""
    allocation = Allocation.of(dict(zip(ARMS, map(float, weights), strict=True)))
    assert sum(allocation.sizes.values()) == SLOTS
    for name, weight in zip(ARMS, weights, strict=True):
        assert allocation.sizes.get(name, 0) == pytest.approx(SLOTS * weight / sum(weights), abs=1)


def test_the_schedule_moves_units_in_one_direction() -> None:
    """In a ramp from 5 to 50 to 100 percent nobody who had the new arm loses it, before, at and after each step."""
    base = Allocation.of({"control": 95.0, "b": 5.0})
    half = base.moved({"control": 1.0, "b": 1.0})
    of = plan(stages=((-math.inf, base), (100.0, half), (200.0, half.moved({"control": 0.0, "b": 1.0}))))
    users = [asked(f"u{i}") for i in range(500)]
    at = {now: {u.caller.user for u in users if arm(of, u, now) == "b"} for now in (99.9, 100.0, 199.9, 200.0)}
    assert at[99.9] < at[100.0] == at[199.9] < at[200.0]
    assert len(at[200.0]) == 500


def test_outside_its_time_nobody_takes_part() -> None:
    """Before it starts, and from its end on, requests take the alias's own route."""
    of = plan(starts=10.0, ends=20.0)
    assert [of.place(asked("u"), now, None) is not None for now in (9.9, 10.0, 19.9, 20.0)] == [
        False,
        True,
        True,
        False,
    ]


def test_an_operator_suspends_the_schedule() -> None:
    """Weights given by hand hold over the schedule's, a stop places nobody, a promotion places all and counts none."""
    of = plan(stages=((-math.inf, Allocation.of({"control": 1.0, "b": 1.0})),))
    everybody = of.scheduled(0.0).moved({"control": 0.0, "b": 1.0})
    users = [asked(f"u{i}") for i in range(20)]
    assert {arm(of, u, said=Steering(allocation=everybody)) for u in users} == {"b"}
    assert of.place(users[0], 0.0, Steering(Phase.STOPPED)) is None
    promoted = of.place(users[0], 0.0, Steering(Phase.PROMOTED, winner="b"))
    assert promoted is not None
    assert (promoted.arm, promoted.counted) == ("b", False)


@pytest.mark.parametrize(
    ("unit", "request_", "name"),
    [
        (Unit.USER, asked("ann"), "user:ann"),
        (Unit.USER, asked("ann", end_user="bob"), "user:bob"),
        (Unit.KEY, asked("ann"), "key:key"),
        (Unit.TEAM, asked("ann"), "team:team"),
        (Unit.SESSION, asked("ann", session="s1"), "session:key\0s1"),
        (Unit.SESSION, asked("ann"), "key:key"),
        (Unit.TEAM, asked("ann", caller=Caller()), "request:r"),
    ],
)
def test_what_keeps_its_arm(unit: Unit, request_: RouteRequest, name: str) -> None:
    """A request counts as its unit, without one as its key, and without a key as itself."""
    assert identity(unit, request_) == name


def test_cells_are_independent_of_arms() -> None:
    """Each arm's units are spread evenly over the cells by which they are counted."""
    of = plan()
    low: Counter[str] = Counter()
    for i in range(4_000):
        placement = of.place(asked(f"u{i}"), 0.0, None)
        assert placement is not None
        low[placement.arm] += placement.cell < CELLS // 4
        assert placement.unit == f"0f3a-{hashed('exp', f'user:u{i}'):016x}"
    assert all(count == pytest.approx(500, abs=80) for count in low.values())


def test_what_an_operator_says_survives_sharing() -> None:
    """Steering comes back as it was; what cannot be read or names other arms is as if nothing had been said."""
    said = Steering(Phase.RUNNING, Allocation.of({"control": 1.0, "b": 3.0}), at=5.0)
    assert Steering.decoded(said.encoded(), ("control", "b")) == said
    assert Steering.decoded(said.encoded(), ("control", "z")) is None
    assert Steering.decoded(Steering(Phase.PROMOTED, winner="z").encoded(), ("control", "b")) is None
    for text in (b"", b"{}", b"[]", b'{"phase": "odd", "spans": null, "winner": null, "at": 0}'):
        assert Steering.decoded(text, ("control", "b")) is None
    broken = b'{"phase": "running", "spans": [[5, "control"]], "winner": null, "at": 0}'
    assert Steering.decoded(broken, ("control", "b")) is None
