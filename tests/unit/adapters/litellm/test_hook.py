"""The hook's own promises, without a proxy: order, fail open, fail closed, one end for each request."""

import random
from typing import Any

import pytest

from routeiq.adapters.litellm import hook as module
from routeiq.adapters.litellm.hook import RouteIQHook
from routeiq.core.candidate import Candidate
from routeiq.core.outcome import Status
from routeiq.flow import RequestFlow
from routeiq.routing.filters import AllowListFilter
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import FakeClock, RecordingLog, RecordingTelemetry

SIZES = {"tiny": 1.0, "small": 3.0, "large": 70.0}


class AllAccess:
    """Access that refuses some names, or breaks."""

    def __init__(self, refuse: set[str] | Exception = frozenset()) -> None:  # type: ignore[assignment]
        self.refuse = refuse

    async def refused(self, auth: Any, names: Any) -> frozenset[str]:
        if isinstance(self.refuse, Exception):
            raise self.refuse
        return frozenset(names) & self.refuse


class Seam:
    """A hook over a flow with fakes, and one request to take through it."""

    def __init__(self, refuse: Any = frozenset(), model: str = "auto", team: str | None = None) -> None:
        table = CandidateTable(tuple(Candidate(name, size=size) for name, size in SIZES.items()))
        route = Route("auto", table, build(recipe("largest"), table, None, Tuning()))
        other = Route("other", table, build(recipe("smallest"), table, None, Tuning()))
        self.log, self.telemetry, self.clock = RecordingLog(), RecordingTelemetry(), FakeClock()
        policy = Tuning(filters=(AllowListFilter({"kids": frozenset({"tiny", "small"})}),))
        listed = Route("listed", table, build(recipe("largest"), table, None, policy))
        holder = SnapshotHolder(Snapshot("1", {"auto": route, "other": other, "listed": listed}))
        self.flow = RequestFlow(holder, None, self.log, self.telemetry, self.clock, random.Random(1))
        self.hook = RouteIQHook(self.flow, AllAccess(refuse))  # type: ignore[arg-type]
        self.bucket: dict[str, Any] = {"user_api_key_hash": "h", "user_api_key_auth": object(), "headers": {}}
        self.bucket["user_api_key_team_id"] = team
        self.request: dict[str, Any] = {"metadata": self.bucket, "litellm_call_id": "call-1", "model": model}
        self.request["messages"] = [{"role": "user", "content": "hi"}]

    async def admit(self) -> None:
        await self.hook.async_pre_call_hook(None, None, self.request, "acompletion")

    async def offer(self, *names: str, model: str = "auto") -> list[tuple[str, int | None]]:
        """Let LiteLLM offer deployments of these names; returns names and orders as handed back."""
        deployments = [{"model_name": n, "litellm_params": {"model": n}, "model_info": {"id": n}} for n in names]
        left = await self.hook.async_filter_deployments(model, deployments, None, self.request)
        assert all("order" not in d["litellm_params"] for d in deployments), "LiteLLM's own rows were changed"
        return [(d["model_name"], d["litellm_params"].get("order")) for d in left]

    async def call(self, name: str) -> None:
        self.bucket["deployment_model_name"] = name
        await self.hook.async_pre_call_deployment_hook(self.request, None)

    async def fail_attempt(self) -> None:
        await self.hook.async_post_call_failure_deployment_hook(self.request, RuntimeError(), None)


async def test_order_is_the_ranking_and_then_what_was_not_tried() -> None:
    """Copies carry the decision's order, and whatever was tried moves behind what was not."""
    seam = Seam()
    await seam.admit()
    assert await seam.offer("tiny", "small", "large") == [("large", 1), ("small", 2), ("tiny", 3)]
    await seam.call("large")
    await seam.call("large")
    await seam.fail_attempt()
    assert await seam.offer("tiny", "small", "large") == [("small", 1), ("tiny", 2), ("large", 3)]
    await seam.call("small")
    await seam.fail_attempt()
    assert await seam.offer("small", "large") == [("large", 1), ("small", 2)]
    assert len(seam.log.decisions) == 1


async def test_deployments_of_one_name_share_an_order() -> None:
    """Several deployments of a candidate have one order, so that LiteLLM balances between them."""
    seam = Seam()
    await seam.admit()
    assert await seam.offer("small", "large", "small", "large") == [
        ("large", 1),
        ("large", 1),
        ("small", 2),
        ("small", 2),
    ]


async def test_a_candidate_that_comes_back_is_tried_last() -> None:
    """What LiteLLM did not offer when the decision was made, but does now, is put behind the ranking."""
    seam = Seam()
    await seam.admit()
    assert await seam.offer("tiny", "small") == [("small", 1), ("tiny", 2)]
    assert await seam.offer("large", "tiny") == [("tiny", 1), ("large", 2)]


async def test_what_is_no_candidate_is_left_out() -> None:
    """A deployment that the operator did not name as a candidate serves only when nothing else is there."""
    seam = Seam()
    await seam.admit()
    assert await seam.offer("stranger", "small") == [("small", 1)]
    assert await seam.offer("stranger") == [("stranger", 1)]


async def test_refused_candidates_are_gone() -> None:
    """What the caller may not name is not handed back, whatever the ranking, the hint, or a failure."""
    seam = Seam(refuse={"large"})
    seam.bucket["headers"] = {"x-routeiq-hint": "large"}
    await seam.admit()
    assert await seam.offer("tiny", "small", "large") == [("small", 1), ("tiny", 2)]
    assert seam.log.decisions[0][1].report["large"].filtered_by == "access"


async def test_nothing_permitted_is_nothing_decided() -> None:
    """When all candidates are refused LiteLLM gets an empty list, and no decision is made of it."""
    seam = Seam(refuse=set(SIZES))
    await seam.admit()
    assert await seam.offer("tiny", "small", "large") == []
    await seam.hook.async_post_call_failure_hook(seam.request, RuntimeError(), None)
    assert seam.log.decisions == []
    assert seam.log.outcomes == []
    passage = seam.flow.passage("call-1")
    assert passage is not None
    assert passage.ended
    assert passage.request.text == ""


async def test_a_broken_access_check_permits_nothing() -> None:
    """Permission fails closed: an error while asking is counted, and hands nothing back."""
    seam = Seam(refuse=RuntimeError("broken"))
    await seam.admit()
    assert await seam.offer("tiny", "small", "large") == []
    assert [where for where, _ in seam.telemetry.failures] == ["access"]


async def test_an_error_of_ours_is_the_operators_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routing fails open: permitted candidates in the operator's order, an error counted, a header that says so."""
    seam = Seam(refuse={"tiny"})
    await seam.admit()
    monkeypatch.setattr(module, "_stamp", lambda *_: 1 / 0)
    assert await seam.offer("large", "small", "tiny") == [("small", 1), ("large", 2)]
    assert [where for where, _ in seam.telemetry.failures] == ["filter"]


async def test_an_answer_without_a_decision_says_so() -> None:
    """When nothing could be decided, the header of an answer says so, and a failure has no header of ours."""
    seam = Seam()
    await seam.admit()
    headers = await seam.hook.async_post_call_response_headers_hook(seam.request, None, object())
    assert headers == {"x-routeiq-degraded": "internal"}
    assert await seam.hook.async_post_call_response_headers_hook(seam.request, None, None) is None


async def test_the_operators_policy_holds_whatever_fails() -> None:
    """What the allow-list forbids a team is not served when all else is gone, comes back, or routing breaks."""
    seam = Seam(team="kids", model="listed")
    await seam.admit()
    assert await seam.offer("tiny", "large", model="listed") == [("tiny", 1)]
    assert seam.log.decisions[0][1].report["large"].filtered_by == "allow_list"
    assert await seam.offer("large", model="listed") == []
    assert await seam.offer("large", model="large") == []
    assert await seam.offer("large", "small", model="other") == [("small", 1), ("large", 2)]


async def test_a_policy_that_breaks_permits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a filter of permission refuses the request, and is counted."""
    seam = Seam(team="kids", model="listed")
    await seam.admit()
    monkeypatch.setattr(AllowListFilter, "exclude", lambda *_: 1 / 0)
    assert await seam.offer("tiny", "large", model="listed") == []
    assert [where for where, _ in seam.telemetry.failures] == ["access"]


async def test_an_error_while_admitting_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first hook fails the second one opens the passage, and the request is routed."""
    seam = Seam()
    monkeypatch.setattr(module.host, "resolve", lambda name: 1 / 0)
    await seam.admit()
    assert [where for where, _ in seam.telemetry.failures] == ["pre_call"]
    assert (await seam.offer("tiny", "large"))[0] == ("large", 1)
    assert seam.log.decisions[0][0].text == "hi"


async def test_a_tag_filter_that_breaks_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When LiteLLM's tag filter cannot be asked, the decision is made without it."""

    async def broken(*_: Any) -> frozenset[str]:
        raise TypeError("another signature")

    seam = Seam()
    monkeypatch.setattr(module.host, "refused_by_tags", broken)
    await seam.admit()
    assert (await seam.offer("tiny", "large"))[0] == ("large", 1)
    assert [where for where, _ in seam.telemetry.failures] == ["tags"]


async def test_another_alias_has_its_own_order() -> None:
    """A fallback to another virtual model is ranked by that one; the decision stays the request's."""
    seam = Seam()
    await seam.admit()
    await seam.offer("large")
    await seam.call("large")
    await seam.fail_attempt()
    assert await seam.offer("large", "small", "tiny", model="other") == [("tiny", 1), ("small", 2), ("large", 3)]
    assert [decision.alias for _, decision, _ in seam.log.decisions] == ["auto"]


async def test_a_fallback_to_a_candidate_needs_permission() -> None:
    """A configured fallback to a candidate's own name does not lead a caller to what it may not use."""
    seam = Seam(refuse={"large"})
    await seam.admit()
    await seam.offer("small")
    assert await seam.offer("large", model="large") == []
    assert await seam.offer("elsewhere", model="elsewhere") == [("elsewhere", None)]


async def test_a_named_candidate_is_honoured() -> None:
    """A candidate by its own name keeps LiteLLM's deployments as they are, and is decided as named."""
    seam = Seam(model="small")
    await seam.admit()
    assert await seam.offer("small", model="small") == [("small", None)]
    [(_, decision, _)] = seam.log.decisions
    assert (decision.strategy, decision.choice, decision.reason.value) == ("named", "small", "named")
    assert "routing_decision" not in seam.bucket


async def test_other_models_are_not_ours() -> None:
    """A name that is neither alias nor candidate passes every hook untouched."""
    seam = Seam(model="whisper")
    await seam.admit()
    assert await seam.offer("whisper", model="whisper") == [("whisper", None)]
    await seam.call("whisper")
    await seam.hook.async_log_success_event(seam.request, None, None, None)
    assert await seam.hook.async_post_call_response_headers_hook(seam.request, None, object()) is None
    assert (seam.log.decisions, seam.log.outcomes, seam.telemetry.failures) == ([], [], [])


async def test_a_request_has_one_end() -> None:
    """The first end that LiteLLM reports is the request's outcome; later events change nothing."""
    seam = Seam()
    await seam.admit()
    await seam.offer("large", "small")
    await seam.call("large")
    seam.clock.advance(2)
    await seam.hook.async_post_call_failure_hook(seam.request, RuntimeError("the prompt"), None)
    await seam.hook.async_log_success_event(seam.request, None, None, None)
    [outcome] = seam.log.outcomes
    assert (outcome.status, outcome.model, outcome.error) == (Status.FAILURE, "large", "RuntimeError")
    assert outcome.latency_s == 2
    headers = await seam.hook.async_post_call_response_headers_hook(seam.request, None, None)
    assert headers is not None
    assert headers["x-routeiq-model"] == "large"


async def test_calls_under_way_are_counted_once() -> None:
    """Attempts, failures and the end leave no call counted as under way."""
    seam = Seam()
    await seam.admit()
    await seam.offer("large", "small")
    await seam.call("large")
    assert seam.flow.vitals.total() == 1
    await seam.offer("large", "small")
    assert seam.flow.vitals.total() == 0
    await seam.call("small")
    await seam.hook.async_log_success_event(seam.request, None, None, None)
    await seam.fail_attempt()
    assert seam.flow.vitals.total() == 0
    assert seam.log.outcomes[0].retries == 1


async def test_prompts_are_not_kept_after_the_end() -> None:
    """What is remembered of a request that ended has no text, and there is little of it."""
    seam = Seam()
    for i in range(400):
        seam.request["litellm_call_id"] = f"call-{i}"
        await seam.admit()
        await seam.offer("large")
        await seam.hook.async_log_success_event(seam.request, None, None, None)
    kept = [passage for i in range(400) if (passage := seam.flow.passage(f"call-{i}"))]
    assert 0 < len(kept) < 400
    assert not any(passage.request.text for passage in kept)


def test_every_hook_stands_on_the_class_itself() -> None:
    """LiteLLM skips hooks that are inherited, so the class must define all that it uses."""
    used = [name for name in dir(RouteIQHook) if name.startswith("async_") and callable(getattr(RouteIQHook, name))]
    base = RouteIQHook.__mro__[1]
    overridden = {name for name in used if getattr(RouteIQHook, name) is not getattr(base, name)}
    assert overridden == {name for name in vars(RouteIQHook) if name.startswith("async_")}
    assert len(overridden) == 7
