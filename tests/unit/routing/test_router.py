"""Router.decide: one request, one snapshot, one answer."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeiq.core.candidate import Candidate
from routeiq.core.decision import Reason
from routeiq.core.errors import NoCandidate, UnknownCandidate
from routeiq.core.request import Caller, Capability
from routeiq.routing.filters import AllowListFilter
from routeiq.routing.strategies import BUILT_IN, Tuning
from routeiq.routing.vitals import Vitals
from tests.unit.routing.scene import POOL, decide, request, snapshot

STATIC = [name for name, made_of in BUILT_IN.items() if not made_of.needs_artifact]


@pytest.mark.parametrize("strategy", STATIC)
def test_every_candidate_is_explained(strategy: str) -> None:
    """A decision reports every candidate, and its probabilities sum to one."""
    decision = decide(strategy, draw=0.5)
    assert [c.name for c in decision.candidates] == ["small", "medium", "large"]
    assert sum(c.probability for c in decision.candidates) == pytest.approx(1.0)
    assert decision.propensity == pytest.approx(decision.report[decision.choice].probability)
    assert sorted(decision.ranking) == ["large", "medium", "small"]
    assert decision.ranking[0] == decision.choice


@pytest.mark.parametrize("strategy", STATIC)
@given(
    draw=st.floats(0, 1, exclude_max=True),
    turn=st.integers(0, 1000),
    taken=st.sets(st.sampled_from(range(3)), max_size=2),
)
def test_a_barred_candidate_is_never_chosen(strategy: str, draw: float, turn: int, taken: set[int]) -> None:
    """A candidate the host does not offer is neither chosen nor ranked, whatever the draw; the word for it is kept."""
    barred = {POOL[i].name: "unavailable" for i in taken}
    decision = decide(strategy, barred=barred, draw=draw, turn=turn)
    assert not set(decision.ranking) & set(barred)
    assert {c.name for c in decision.candidates if c.filtered_by == "unavailable"} == set(barred)
    assert decision.propensity > 0


@pytest.mark.parametrize(
    ("strategy", "choice"), [("smallest", "small"), ("largest", "large"), ("cheapest-capable", "small")]
)
def test_strategies_that_rank_by_a_property(strategy: str, choice: str) -> None:
    """Smallest, largest and cheapest choose what their name says, with certainty."""
    decision = decide(strategy)
    assert decision.choice == choice
    assert decision.propensity == 1.0
    assert decision.reason is Reason.BEST


def test_cheapest_capable_leaves_out_what_cannot_serve() -> None:
    """Cheapest-capable takes the cheapest of those that can hold the prompt."""
    decision = decide("cheapest-capable", request(prompt_tokens=20_000))
    assert decision.choice == "medium"
    assert decision.report["small"].filtered_by == "context_window"


def test_round_robin_takes_turns_over_what_is_left() -> None:
    """Round-robin rotates over healthy candidates and states an even share."""
    picture = snapshot("round-robin")
    decisions = [decide(picture, turn=turn) for turn in range(6)]
    assert [d.choice for d in decisions] == ["small", "medium", "large"] * 2
    assert decisions[0].propensity == pytest.approx(1 / 3)
    left = [decide(picture, barred={"medium": "unavailable"}, turn=turn).choice for turn in range(4)]
    assert left == ["small", "large"] * 2


def test_random_is_even() -> None:
    """Ten thousand random draws pass a chi-square test at one in ten thousand."""
    draws = random.Random(7)
    picture = snapshot("random")
    counts = Counter(decide(picture, draw=draws.random()).choice for _ in range(10_000))
    chi_square = sum((counts[c.name] - 10_000 / 3) ** 2 / (10_000 / 3) for c in POOL)
    assert chi_square < 18.42


def test_weighted_draws_by_the_operators_weights() -> None:
    """A weight of zero is never drawn, and three to one is three to one."""
    draws = random.Random(7)
    picture = snapshot("weighted")
    counts = Counter(decide(picture, draw=draws.random()).choice for _ in range(8_000))
    assert counts["large"] == 0
    assert 2.7 < counts["small"] / counts["medium"] < 3.3


def test_least_busy_shares_ties_and_avoids_load() -> None:
    """Least-busy takes the candidate with the fewest calls under way, and draws among equals."""
    vitals = Vitals()
    for name in ("small", "small", "medium"):
        vitals.begin(name)
    assert decide("least-busy", vitals=vitals).choice == "large"
    vitals.begin("large")
    assert {decide("least-busy", vitals=vitals, draw=d).choice for d in (0.1, 0.9)} == {"medium", "large"}


def test_lowest_latency_learns_from_what_it_saw() -> None:
    """Unknown candidates are tried first; then the fastest is chosen, and a failing one loses its attraction."""
    vitals = Vitals()
    for name, seconds in (("small", 0.9), ("medium", 0.2)):
        vitals.begin(name)
        vitals.end(name, seconds, ok=True)
    assert decide("lowest-latency", vitals=vitals).choice == "large"
    vitals.begin("large")
    vitals.end("large", 0.5, ok=True)
    decision = decide("lowest-latency", vitals=vitals)
    assert decision.choice == "medium"
    assert decision.report["small"].expected_latency_s == pytest.approx(0.9)
    for _ in range(20):
        vitals.begin("medium")
        vitals.end("medium", 0.01, ok=False)
    assert decide("lowest-latency", vitals=vitals).choice == "large"


def test_a_hint_is_honoured_only_for_a_candidate() -> None:
    """A hint wins when it names a candidate that was not filtered out, and is ignored otherwise."""
    assert decide("smallest", request(hint="large")).reason is Reason.HINT
    assert decide("smallest", request(hint="large")).choice == "large"
    assert decide("smallest", request(hint="elsewhere")).choice == "small"
    assert decide("smallest", request(hint="large"), barred={"large": "access"}).choice == "small"


def test_capabilities_that_are_missing_take_a_candidate_out() -> None:
    """A request with tools goes to candidates that have them or of which nothing is known."""
    pool = (
        Candidate("plain", 0.1e-6, 0.1e-6, capabilities=frozenset()),
        Candidate("unknown", 0.2e-6, 0.2e-6),
        Candidate("tools", 0.3e-6, 0.3e-6, capabilities=frozenset({Capability.TOOLS})),
    )
    decision = decide(snapshot("cheapest-capable", pool), request(needs=frozenset({Capability.TOOLS})))
    assert decision.ranking == ("unknown", "tools")
    assert decision.report["plain"].filtered_by == "capability"


def test_an_allow_list_narrows_a_team() -> None:
    """A team on the operator's list is routed only among its own candidates; others among all."""
    tuning = Tuning(filters=(AllowListFilter({"red": frozenset({"large"})}),))
    picture = snapshot("cheapest-capable", tuning=tuning)
    decision = decide(picture, request(caller=Caller(team="red")))
    assert decision.choice == "large"
    assert decision.reason is Reason.ONLY
    assert decision.report["small"].filtered_by == "allow_list"
    assert decide(picture, request(caller=Caller(team="blue"))).choice == "small"


def test_nobody_left_says_who_took_them_out() -> None:
    """When every candidate is filtered out the error counts them by filter."""
    with pytest.raises(NoCandidate, match=r"1 by context_window, 2 by unavailable"):
        decide("random", request(prompt_tokens=10_000), barred={"medium": "unavailable", "large": "unavailable"})


def test_an_unknown_alias_names_the_nearest() -> None:
    """Asking for a virtual model that does not exist names the nearest one."""
    with pytest.raises(UnknownCandidate, match="did you mean 'auto'"):
        decide("random", request(alias="auot"))


def test_exploration_has_a_known_probability() -> None:
    """Epsilon-greedy explores with the stated budget and says so."""
    picture = snapshot("smallest", tuning=Tuning(epsilon=0.3))
    explored = decide(picture, draw=0.999)
    assert explored.reason is Reason.EXPLORATION
    assert explored.propensity == pytest.approx(0.1)
    assert decide(picture, draw=0.0).propensity == pytest.approx(0.8)


def test_the_same_arguments_give_the_same_decision() -> None:
    """Deciding is pure: everything that varies is an argument."""
    first, second = (decide("random", draw=0.42, turn=3) for _ in range(2))
    assert first.choice == second.choice
    assert list(first.candidates) == list(second.candidates)
