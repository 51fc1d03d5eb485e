"""The simulated models as a source of answers."""

from __future__ import annotations

import pytest

from routeiq.testing.replay.answers import UnknownModel
from routeiq.testing.replay.simulated import SimulatedSource
from routeiq.testing.tasks import Task, all_tasks
from routeiq.testing.tasks.models import MODELS, simulate


def test_the_source_answers_as_the_simulation_says() -> None:
    """Whoever computes baselines with `simulate` gets what the provider answers, tokens and seconds too."""
    source = SimulatedSource(seed=3)
    for task in all_tasks()[::7]:
        names = [tool["function"]["name"] for tool in task.tools or ()]
        for model in MODELS:
            answer, reply = source.answer(model.name, task.prompt, names), simulate(task, model.name, 3)
            assert (answer.text, answer.tool_call) == (reply.text, reply.tool_call)
            assert (answer.input_tokens, answer.output_tokens) == (reply.input_tokens, reply.output_tokens)
            assert (answer.latency_s, answer.ttft_s) == (reply.latency_s, reply.ttft_s)


def test_anything_but_a_task_gets_a_generic_answer_that_says_so() -> None:
    """The reply names the model and says that it is simulated."""
    answer = SimulatedSource(0).answer("sim-tiny", "What is love?", [])
    assert "sim-tiny, a simulated model" in answer.text


def test_a_call_is_written_out_when_no_tools_were_offered(call_task: Task) -> None:
    """Without tools there is no tool call, and the text does not pass for one."""
    answer = SimulatedSource(0).answer("sim-large", call_task.prompt, [])
    assert answer.tool_call is None
    assert not call_task.passes(answer.text)


def test_only_the_models_named_are_served() -> None:
    """Others do not exist, and a name that is no simulated model is refused at once."""
    source = SimulatedSource(0, ["sim-tiny"])
    assert source.models == ["sim-tiny"]
    with pytest.raises(UnknownModel):
        source.answer("sim-large", "x", [])
    with pytest.raises(KeyError, match="no simulated model 'gpt'"):
        SimulatedSource(0, ["gpt"])
