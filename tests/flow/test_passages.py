"""What the flow remembers of requests, and for how long."""

from typing import Any

import pytest

from routeiq import flow as module
from routeiq.core.outcome import Status
from routeiq.flow import ABANDONED, ABANDONED_AFTER_S, RequestFlow
from routeiq.routing.filters import AllowListFilter
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.testing.fakes import FakeClock, RecordingLog
from tests.flow.test_request_path import end, make
from tests.unit.routing.scene import request, snapshot


def parts(flow: RequestFlow) -> tuple[RecordingLog, FakeClock]:
    """Return a flow's fakes."""
    assert isinstance(flow.log, RecordingLog)
    assert isinstance(flow.clock, FakeClock)
    return flow.log, flow.clock


def test_a_request_whose_end_is_never_reported_is_cancelled() -> None:
    """Long after it was decided, a request without an end gets one, and its call is no longer under way."""
    flow = make()
    log, clock = parts(flow)
    passage = flow.admit(request(id="left"))
    decision = flow.decide(passage)
    flow.attempt(passage, decision.choice)
    clock.advance(ABANDONED_AFTER_S)
    flow.admit(request(id="second"))
    assert log.outcomes == []
    clock.advance(1)
    flow.admit(request(id="third"))
    [outcome] = log.outcomes
    assert (outcome.decision_id, outcome.status, outcome.error) == (decision.id, Status.CANCELLED, ABANDONED)
    assert outcome.model == decision.choice
    assert flow.vitals.total() == 0
    flow.observe(passage, end(passage))
    assert len(log.outcomes) == 1


def test_the_oldest_is_given_up_on_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: one request more than may be remembered ends the oldest."""
    monkeypatch.setattr(module, "PASSAGES_KEPT", 3)
    flow = make()
    log, _ = parts(flow)
    for i in range(4):
        flow.decide(flow.admit(request(id=str(i))))
    assert [outcome.request_id for outcome in log.outcomes] == ["0"]


def test_the_end_of_a_request_is_the_end_of_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few ended requests are remembered for late questions, without their prompts; then they are forgotten."""
    monkeypatch.setattr(module, "ENDED_KEPT", 2)
    flow = make()
    for i in range(3):
        passage = flow.admit(request(id=str(i), text="a prompt"))
        flow.decide(passage)
        flow.observe(passage, end(passage))
    assert flow.passage("0") is None
    kept = flow.passage("2")
    assert kept is not None
    assert kept.decision is not None
    assert kept.request.text == ""


def test_a_request_that_was_refused_leaves_nothing() -> None:
    """A request that ended before anything was decided is neither recorded nor counted."""
    flow = make()
    log, clock = parts(flow)
    flow.dismiss(flow.admit(request(id="refused", text="a prompt")))
    clock.advance(2 * ABANDONED_AFTER_S)
    flow.admit(request(id="next"))
    assert (log.decisions, log.outcomes) == ([], [])


def test_another_alias_is_ranked_without_a_second_decision() -> None:
    """The order of an alias that the host falls back to comes from its own strategy, and is no decision of its own."""
    flow = make("smallest")
    log, _ = parts(flow)
    both = {**snapshot("smallest").routes}
    [alias] = both
    table = both[alias].table
    both["other"] = Route("other", table, build(recipe("largest"), table, None, Tuning()))
    flow.holder = SnapshotHolder(Snapshot("2", both))
    passage = flow.admit(request(alias=alias))
    decision = flow.decide(passage)
    elsewhere = flow.divert(passage, "other", {})
    assert elsewhere == tuple(reversed(decision.ranking))
    assert elsewhere[1:] == flow.divert(passage, "other", {elsewhere[0]: "unavailable"})
    assert len(log.decisions) == 1
    assert passage.decision is decision


@pytest.mark.parametrize(("team", "forbidden"), [("kids", {"large", "medium"}), ("staff", set()), (None, set())])
def test_what_the_operator_forbids(team: str | None, forbidden: set[str]) -> None:
    """The candidates that an allow-list takes out are known apart from the decision; other filters are not asked."""
    flow = make()
    [route] = snapshot("smallest").routes.values()
    policy = Tuning(filters=(AllowListFilter({"kids": frozenset({"small"})}),))
    listed = Route(route.alias, route.table, build(recipe("largest"), route.table, None, policy))
    flow.holder = SnapshotHolder(Snapshot("2", {route.alias: listed}))
    asked: dict[str, Any] = {"alias": route.alias, "prompt_tokens": 10**9}
    plain = request(**asked)
    passage = flow.admit(plain if team is None else request(**asked, caller=type(plain.caller)(team=team)))
    assert flow.forbidden(passage, route.alias) == dict.fromkeys(forbidden, "allow_list")
    assert flow.forbidden(passage, "unknown") == {}
