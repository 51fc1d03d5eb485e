"""The stream of the call that answers, when one of its ends goes away."""

from routeiq.core.outcome import Status
from routeiq.routing.compound.steps import Plan
from tests.contract.compound_scene import HARD, Scene, compound

DEAR = Plan(threshold=0.85, confidence="expected_score")
"""Asks the dearest candidate at once."""


async def test_a_client_that_leaves_midway_ends_the_call_behind_its_answer() -> None:
    """The provider is told, what was used so far is recorded, and the outcome is cancelled."""
    scene = Scene.around(compound("cascade", plan=DEAR))
    scene.fail("sim-large", "trickle", delay_s=5.0)
    heard = await scene.ask("cascade", HARD.prompt, midway=True, stream=True)
    assert heard.status == 200
    assert heard.headers["content-type"].startswith("text/event-stream")
    assert scene.asked() == ["sim-large"]
    assert [row["outcome"] for row in scene.provider.journal.rows()] == ["gone"]
    (outcome,) = scene.log.outcomes
    assert (outcome.status, outcome.streamed, outcome.model) == (Status.CANCELLED, True, "sim-large")
    assert scene.decision.calls[0].served


async def test_a_whole_stream_is_a_success_with_its_first_token() -> None:
    """The outcome has usage and cost of the streamed call, and when it began."""
    scene = Scene.around(compound("cascade", plan=DEAR))
    heard = await scene.ask("cascade", HARD.prompt, stream=True)
    assert heard.text
    (outcome,) = scene.log.outcomes
    assert outcome.status is Status.SUCCESS
    assert outcome.ttft_s is not None
    assert outcome.cost_usd
    assert outcome.usage.output_tokens > 0
    assert scene.decision.score == 0.9
