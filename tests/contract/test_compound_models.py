"""What every method of compound models keeps to, shown through the application that serves them."""

from dataclasses import replace

import pytest

from routeiq.core.decision import Reason
from routeiq.core.outcome import Status
from routeiq.guard.breaker import Trip
from routeiq.guard.breakers import Breakers
from routeiq.routing.compound.ledger import Budget
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.compound.steps import Plan
from routeiq.routing.filters import AllowListFilter
from tests.contract.compound_scene import HARD, PAIR, POOL, Heard, Scene, compound, wrong_for

pytestmark = pytest.mark.parametrize("method", METHODS)


async def test_it_answers_under_its_own_name(method: str) -> None:
    """The answer has the compound model's name, and the usage of all calls together."""
    scene = Scene.around(compound(method))
    heard = await scene.ask(method, PAIR)
    assert heard.status == 200
    assert heard.json["model"] == method
    assert heard.text
    calls = scene.decision.calls
    assert [call.model for call in calls] == scene.asked()
    used = heard.json["usage"]
    assert used["prompt_tokens"] == sum(call.input_tokens for call in calls) > 0
    assert used["completion_tokens"] == sum(call.output_tokens for call in calls) > 0
    assert float(heard.headers["x-litellm-response-cost"]) == pytest.approx(sum(call.cost_usd or 0 for call in calls))


async def test_one_decision_explains_it(method: str) -> None:
    """One decision and one outcome are kept: every call, what it was for, what it cost, and which one was served."""
    scene = Scene.around(compound(method))
    await scene.ask(method, PAIR)
    decision, (outcome,) = scene.decision, scene.log.outcomes
    assert (decision.strategy, decision.reason, decision.alias) == (method, Reason.COMPOUND, method)
    (served,) = [call for call in decision.calls if call.served]
    assert decision.choice == outcome.model == served.model
    assert all(call.role and call.latency_s is not None and call.cost_usd for call in decision.calls)
    assert outcome.decision_id == decision.id
    assert outcome.status is Status.SUCCESS
    assert outcome.cost_usd == pytest.approx(sum(call.cost_usd or 0 for call in decision.calls))
    assert {report.name for report in decision.candidates} == set(POOL)


async def test_it_streams_the_same_answer(method: str) -> None:
    """A stream says what a plain answer says, and states the usage of all calls only when asked to."""
    plain = await Scene.around(compound(method)).ask(method, PAIR)
    scene = Scene.around(compound(method))
    streamed = await scene.ask(method, PAIR, stream=True)
    told = await Scene.around(compound(method)).ask(method, PAIR, stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text == told.text == plain.text
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert {event["model"] for event in streamed.events} == {method}
    assert not any(event.get("usage") for event in streamed.events)
    assert told.events[-1]["usage"]["total_tokens"] == plain.json["usage"]["total_tokens"]
    assert scene.log.outcomes[0].streamed
    assert scene.log.outcomes[0].usage.output_tokens == plain.json["usage"]["completion_tokens"]


async def test_it_calls_nothing_the_caller_may_not_use(method: str) -> None:
    """A key that may not use a candidate gets an answer from the others."""
    plan = replace(compound(method).plan, threshold=1.0)
    scene = Scene.around(compound(method, plan=plan))
    assert (await scene.ask(method, PAIR, key="some")).status == 200
    assert "sim-large" not in scene.asked()
    assert scene.decision.report["sim-large"].filtered_by == "access"


async def test_the_operators_allow_list_holds(method: str) -> None:
    """What a team may not be routed to is not called for it; where nothing is left the request is refused."""
    two = AllowListFilter({"red": frozenset({"sim-tiny", "sim-mini"})})
    scene = Scene.around(compound(method, plan=replace(compound(method).plan, threshold=1.0), filters=(two,)))
    assert (await scene.ask(method, PAIR, key="red")).status == 200
    assert "sim-large" not in scene.asked()
    none = AllowListFilter({"red": frozenset({"sim-other"})})
    shut = Scene.around(compound(method, filters=(none,)))
    assert (await shut.ask(method, PAIR, key="red")).status == 503
    assert shut.asked() == []


async def test_a_leading_model_that_the_caller_may_not_use_is_done_without(method: str) -> None:
    """A verifier, decomposer or policy is called in the caller's name too; without it the candidates answer."""
    scene = Scene.around(compound(method, plan=Plan(model="sim-large", threshold=1.0)))
    assert (await scene.ask(method, PAIR, key="some")).status == 200
    assert "sim-large" not in scene.asked()


async def test_a_stranger_gets_the_inner_applications_words(method: str) -> None:
    """A request without a valid key goes on as it came, for the application behind to refuse."""
    scene = Scene.around(compound(method))
    heard = await scene.ask(method, PAIR, key="nobody's")
    assert heard.status == 404
    assert scene.asked() == [method]
    assert scene.log.decisions == []


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
async def test_it_keeps_to_its_number_of_calls(method: str, calls: int) -> None:
    """Whatever the method would like to ask, it answers within its calls."""
    plan = replace(compound(method).plan, threshold=1.0, samples=5)
    scene = Scene.around(compound(method, Budget(max_calls=calls), plan))
    assert (await scene.ask(method, PAIR)).status == 200
    assert 1 <= len(scene.asked()) <= calls


async def test_it_keeps_to_its_money(method: str) -> None:
    """When money is short only the first call is made, and what was wanted is told."""
    scene = Scene.around(compound(method, Budget(max_cost_usd=1e-9)))
    assert (await scene.ask(method, PAIR)).status == 200
    assert len(scene.asked()) == 1
    rich = Scene.around(compound(method, Budget(max_calls=64, max_cost_usd=0.02)))
    assert (await rich.ask(method, PAIR)).status == 200
    assert sum(call.cost_usd or 0 for call in rich.decision.calls) <= 0.02


@pytest.mark.parametrize("failing", POOL)
async def test_a_call_that_fails_costs_no_answer(method: str, failing: str) -> None:
    """With one model down the others answer, and the failed call is told."""
    scene = Scene.around(compound(method))
    scene.fail(failing)
    heard = await scene.ask(method, PAIR)
    assert heard.status == 200
    assert heard.text
    errors = {call.error for call in scene.decision.calls if call.model == failing}
    assert errors <= {"http_500"}
    assert scene.log.outcomes[0].status is Status.SUCCESS


async def test_open_breakers_are_respected_and_fed(method: str) -> None:
    """A candidate whose breaker is open is left out, and calls that fail open the breakers of their models."""
    scene = Scene.around(compound(method, plan=replace(compound(method).plan, threshold=1.0)))
    scene.flow.breakers = breakers = Breakers(Trip(failures=1, share=0.01), scene.flow.clock, {})
    breakers.end(breakers.begin("sim-large"), False)
    assert (await scene.ask(method, PAIR)).status == 200
    assert "sim-large" not in scene.asked()
    assert scene.decision.report["sim-large"].filtered_by == "breaker"
    scene.fail("*")
    assert (await scene.ask(method, PAIR)).status == 500
    assert breakers.shut(POOL) >= set(scene.asked())


async def test_when_everything_fails_the_client_gets_the_error(method: str) -> None:
    """The last error is passed on as it was worded, plain or as the answer to a wish for a stream."""
    for stream in (False, True):
        scene = Scene.around(compound(method))
        scene.fail("*", "error_429")
        heard = await scene.ask(method, PAIR, stream=stream)
        assert heard.status == 429
        assert heard.json["error"]["code"] == "rate_limit_exceeded"
        (outcome,) = scene.log.outcomes
        assert (outcome.status, outcome.error) == (Status.FAILURE, "http_429")


async def test_a_client_that_leaves_ends_the_calls(method: str) -> None:
    """Calls under way are cancelled, no further one is made, and the request ends as cancelled."""
    scene = Scene.around(compound(method))
    scene.fail("*", "hang", delay_s=15.0)
    assert await scene.ask(method, PAIR, leave=True) == Heard()
    assert {row["status"] for row in scene.provider.journal.rows()} == {None}
    assert scene.provider.journal.counts()["open"] == 0
    (outcome,) = scene.log.outcomes
    assert outcome.status is Status.CANCELLED
    assert scene.flow.vitals.total() == 0


async def test_it_answers_by_its_deadline(method: str) -> None:
    """A model that hangs is given up on at the deadline; what is there by then is the answer, or that there is none."""
    scene = Scene.around(compound(method, Budget(deadline_s=0.3)))
    scene.fail("*", "hang", delay_s=15.0)
    heard = await scene.ask(method, PAIR)
    assert heard.status == 503
    assert heard.json["error"]["code"] == "no_candidate"
    assert {call.error for call in scene.decision.calls} == {"deadline"}


async def test_tools_are_left_to_the_candidates(method: str) -> None:
    """A request with tools reaches candidates with its tools, and is not taken apart."""
    scene = Scene.around(compound(method))
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    heard = await scene.ask(method, HARD.prompt, tools=[tool])
    assert heard.status == 200
    assert {call.role for call in scene.decision.calls} <= {"answer", "sample", "verify"}


async def test_a_conversation_reaches_the_answering_call_whole(method: str) -> None:
    """What the client sent beside its prompt goes with the call that answers."""
    scene = Scene.around(compound(method, plan=replace(compound(method).plan, threshold=0.0)))
    task = wrong_for("sim-tiny")
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]
    asked = [*history, {"role": "user", "content": task.prompt}]
    heard = await scene.ask(method, "", messages=asked)
    assert heard.status == 200
    assert all(call.role in ("answer", "sample", "verify") for call in scene.decision.calls)


def test_it_is_in_the_table(method: str) -> None:
    """The table names the method as the settings do, says what it is, and what it needs it also takes."""
    entry = METHODS[method]
    assert entry.name == method
    assert entry.summary
    assert set(entry.needs) <= set(entry.takes)
    assert isinstance(compound(method).plan, Plan)
