"""When a conversation changes its model: the gain against what the change costs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.core.candidate import Candidate
from routeiq.core.conversation import Conversation, conversation_key
from routeiq.core.decision import Decision, Hold, Reason
from routeiq.core.request import Caller
from routeiq.core.reward import Objective
from routeiq.routing.affinity import FEWEST_CACHED_TOKENS, Stay
from routeiq.routing.pickers import Best, EpsilonGreedy
from routeiq.routing.profile import Profile
from routeiq.routing.router import Router
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features, Picker, Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.routing.scene import request

POOL = (
    Candidate("small", 1e-6, 2e-6, usd_per_cached_token=0.1e-6),
    Candidate("medium", 1e-6, 2e-6),
    Candidate("large", 1e-6, 2e-6),
)
NAMES = tuple(candidate.name for candidate in POOL)


class Expecting:
    """A scorer that expects what it is told."""

    name = "expecting"

    def __init__(self, scores: Sequence[float], quality: bool = True) -> None:
        self.scores, self.quality = scores, quality

    def predict(self, view: View) -> Prediction:
        """Return the scores."""
        return Prediction(np.array(self.scores), quality=self.quality)


def turn(
    scores: Sequence[float],
    conversation: Conversation | None,
    *,
    cost_weight: float = 0.0,
    picker: Picker | None = None,
    rule: Stay | None = Stay(),  # noqa: B008 - frozen
    quality: bool = True,
    barred: dict[str, str] | None = None,
    now: float = 100.0,
    draw: float = 0.0,
    **asked: Any,
) -> Decision:
    """Decide a turn of a conversation where the candidates are expected to score so."""
    table = CandidateTable(POOL)
    scorers = ((Expecting(scores, quality), 1.0),)
    profile = Profile("expecting", (), scorers, picker or Best(), Objective(cost_weight))
    snapshot = Snapshot("v", {"auto": Route("auto", table, profile, rule)})
    return Router(snapshot).decide(
        request(session="s", **asked),
        Features(),
        Vitals(),
        decision_id="d",
        barred=barred,
        now=now,
        draw=draw,
        conversation=conversation,
    )


ON_SMALL = Conversation("small", at=90.0, prompt_tokens=10_000)


def test_a_small_gain_keeps_the_model() -> None:
    """A gain below the margin leaves the conversation where it is, and the decision has both numbers."""
    found = turn([0.70, 0.74, 0.1], ON_SMALL)
    assert (found.choice, found.reason, found.ranking[0]) == ("small", Reason.AFFINITY, "small")
    said = found.affinity
    assert said is not None
    assert (said.model, said.hold, said.preferred) == ("small", Hold.KEPT, "medium")
    assert said.gain == pytest.approx(0.04)
    assert said.switching_cost == pytest.approx(0.05)


def test_a_large_gain_breaks_the_conversation() -> None:
    """A gain above the cost moves the conversation, with the strategy's own reason."""
    found = turn([0.70, 0.80, 0.1], ON_SMALL)
    assert (found.choice, found.reason) == ("medium", Reason.BEST)
    assert found.affinity is not None
    assert found.affinity.hold is Hold.BROKEN


def test_the_prompt_cache_is_part_of_the_cost() -> None:
    """What a cached prompt saves at the listed price keeps a conversation that the same gain would move without."""
    asked = {"prompt_tokens": 8_000, "cost_weight": 0.2}
    found = turn([0.70, 0.80, 0.1], ON_SMALL, **asked)
    said = found.affinity
    assert said is not None
    assert (said.hold, said.cached_tokens) == (Hold.KEPT, 8_000)
    assert said.cache_saving_usd == pytest.approx(8_000 * 0.9e-6)
    mean = 8_000 * 1e-6 + 256 * 2e-6
    assert said.switching_cost == pytest.approx(0.05 + 0.2 * 8_000 * 0.9e-6 / mean)
    cold = turn([0.70, 0.80, 0.1], replace(ON_SMALL, at=100.0 - 301), **asked)
    assert cold.choice == "medium"


def test_an_unlisted_price_is_discounted_by_half() -> None:
    """Where nobody says what cached input costs, half of the price of input is saved."""
    found = turn([0.1, 0.7, 0.1], replace(ON_SMALL, model="medium"), prompt_tokens=8_000)
    assert found.affinity is not None
    assert found.affinity.cache_saving_usd == pytest.approx(8_000 * 0.5e-6)


@pytest.mark.parametrize(("before", "now", "cached"), [(10_000, 4_000, 4_000), (2_000, 4_000, 2_000), (900, 4_000, 0)])
def test_only_what_was_read_before_is_cached(before: int, now: int, cached: int) -> None:
    """The cached part is the shorter of the two prompts, and nothing below what providers cache."""
    found = turn([0.7, 0.7, 0.1], replace(ON_SMALL, prompt_tokens=before), prompt_tokens=now)
    assert found.affinity is not None
    assert found.affinity.cached_tokens == cached
    assert cached == 0 or cached >= FEWEST_CACHED_TOKENS


def test_affinity_brings_nobody_back() -> None:
    """A model that is filtered out, cooling down or not permitted is given up, and so is one that is gone."""
    for conversation, barred in ((ON_SMALL, {"small": "unavailable"}), (replace(ON_SMALL, model="old"), {})):
        found = turn([0.9, 0.8, 0.1], conversation, barred=barred)
        assert found.choice != "small" or not barred
        assert found.affinity is not None
        assert found.affinity.hold is Hold.GONE
        assert found.reason is not Reason.AFFINITY


def test_a_hint_comes_first() -> None:
    """The caller's own wish moves the conversation whatever it costs, and the decision does not say it was kept."""
    found = turn([0.9, 0.1, 0.1], ON_SMALL, hint="large")
    assert (found.choice, found.reason, found.propensity) == ("large", Reason.HINT, 1.0)
    assert found.affinity is not None
    assert found.affinity.hold is Hold.GONE


def test_a_tools_result_stays() -> None:
    """A turn that answers what the model asked for goes back to that model, however large the gain."""
    found = turn([0.1, 0.9, 0.1], ON_SMALL, follows_up=True)
    assert (found.choice, found.reason) == ("small", Reason.AFFINITY)


def test_without_qualities_a_conversation_stays() -> None:
    """Preferences such as price or load state no gain, so they do not move a conversation."""
    found = turn([0.0, 5.0, 1.0], ON_SMALL, quality=False)
    assert found.choice == "small"
    assert found.affinity is not None
    assert found.affinity.gain is None


def test_where_it_is_off_each_turn_is_chosen_for_itself() -> None:
    """Without a rule, or without a conversation, nothing is kept and nothing is said."""
    for found in (turn([0.7, 0.72, 0.1], ON_SMALL, rule=None), turn([0.7, 0.72, 0.1], None)):
        assert (found.choice, found.affinity) == ("medium", None)


def test_an_experiment_of_the_picker_does_not_move_a_conversation() -> None:
    """Exploration draws worse candidates, whose gain is no gain; the stated probability accounts for that."""
    found = turn([0.7, 0.6, 0.5], ON_SMALL, picker=EpsilonGreedy(0.3), draw=0.99)
    assert (found.choice, found.propensity) == ("small", 1.0)
    assert found.affinity is not None
    assert found.affinity.preferred == "large"


@settings(deadline=None)
@given(
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    st.sampled_from(NAMES),
    st.floats(0.0, 0.999),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([None, *NAMES]),
)
def test_the_rule(
    scores: list[float], model: str, draw: float, cost_weight: float, epsilon: float, gone: str | None
) -> None:
    """Whatever is expected and drawn: nothing barred is chosen, probabilities sum to one, and the model changes exactly
    when the gain of what was drawn exceeds the stated cost.
    """
    barred = {} if gone is None else {gone: "unavailable"}
    conversation = Conversation(model, at=90.0, prompt_tokens=5_000)
    asked: Any = {"prompt_tokens": 6_000, "cost_weight": cost_weight, "barred": barred, "draw": draw}
    found = turn(scores, conversation, picker=EpsilonGreedy(epsilon), **asked)
    said, report = found.affinity, found.report
    assert said is not None
    assert found.choice != gone
    assert sum(r.probability for r in found.candidates) == pytest.approx(1.0)
    assert found.propensity == pytest.approx(report[found.choice].probability)
    if model == gone:
        assert said.hold is Hold.GONE
        return
    assert said.gain is not None
    worth = said.gain > said.switching_cost
    assert found.choice == (said.preferred if worth else model)
    assert said.hold is (Hold.AGREED if said.preferred == model else Hold.BROKEN if worth else Hold.KEPT)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), st.floats(0.0, 1.0), st.integers(0, 2))
def test_the_stated_probability_is_how_often_it_is_chosen(scores: list[float], epsilon: float, at: int) -> None:
    """Over evenly spread draws each candidate is chosen as often as its probability says, conversation and all."""
    conversation = Conversation(NAMES[at], at=90.0)
    found = [turn(scores, conversation, picker=EpsilonGreedy(epsilon), draw=(i + 0.5) / 300) for i in range(300)]
    for name in NAMES:
        share = sum(decision.choice == name for decision in found) / 300
        assert share == pytest.approx(found[0].report[name].probability, abs=0.02)


def test_a_conversation_belongs_to_its_key() -> None:
    """The same session id of two keys, or of two aliases, names two conversations; without an id there is none."""
    named = [
        conversation_key(request(session="s", caller=Caller("one"))),
        conversation_key(request(session="s", caller=Caller("two"))),
        conversation_key(request(session="s", caller=Caller("one"), alias="other")),
    ]
    assert len(set(named)) == 3
    assert conversation_key(request()) is None


def test_a_conversation_survives_sharing() -> None:
    """What is remembered comes back as it was, and what cannot be read is nothing."""
    told = Conversation("small", 12.5, 300, "knn-3")
    assert Conversation.decoded(told.encoded()) == told
    for text in (b"", b"{}", b"[1]", b'["m", "x", 1, null]'):
        assert Conversation.decoded(text) is None
