"""RouteIQ for `litellm.Router` without a proxy, on the oldest and the newest supported LiteLLM."""

import json
import os
import subprocess
from typing import Any

import pytest

from routeiq.testing.replay import ReplayProcess
from tests.integration.proxy import ROOT, interpreter

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["oldest", "newest"])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `tests.integration.library_calls` came to, one start for all checks."""
    python = interpreter(request.param, lambda: request.getfixturevalue("newest_python"))
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
    }
    with ReplayProcess.start(time_scale=1_000.0) as provider:
        command = [str(python), "-m", "tests.integration.library_calls", provider.base_url]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_best_candidate_serves_and_is_remembered(found: dict[str, Any]) -> None:
    """The strategy's choice serves, with features of the prompt, and its outcome joins its decision."""
    assert found["best"] == "sim-large"
    record = found["record"]
    assert (record["choice"], record["served"], record["retries"]) == ("large", "large", 0)
    assert record["text"] == "What is a library?"
    assert record["embedded"]
    assert record["joined"]
    assert record["tokens"] > 0


def test_a_retry_serves_from_the_next_candidate(found: dict[str, Any]) -> None:
    """A failing candidate is not tried twice, on one decision, with or without metadata of the caller."""
    assert found["retry"] == found["retry_without_metadata"] == "sim-small"
    assert (found["retry_record"]["choice"], found["retry_record"]["served"]) == ("large", "small")
    assert found["retry_record"]["retries"] == 1
    assert found["decisions_of_a_retry"] == 1


def test_tags_windows_and_cooldowns_are_kept(found: dict[str, Any]) -> None:
    """What LiteLLM leaves out stays out: the strategy chooses among what its filters left."""
    assert found["tags"] == "sim-small"
    assert found["window"] == "sim-code"
    assert found["cooldown"] == "sim-small"
    assert found["cooldown_words"] == {"large": "unavailable"}


def test_the_router_stays_usable(found: dict[str, Any]) -> None:
    """Named models and synchronous calls work as before, and nothing of ours failed."""
    assert found["named"] == "sim-tiny"
    assert found["sync"] == "This is sim-tiny"
    assert found["failures"] == []


def test_routing_survives_that_litellm_drops_custom_strategies(found: dict[str, Any]) -> None:
    """LiteLLM forgets a custom strategy when its settings change; requests are routed all the same."""
    assert found["kept_after_update"] is False
    assert found["after_update"] == "sim-small"
    assert found["best_after_update"] == "sim-small"


def test_virtual_models_are_supported(found: dict[str, Any]) -> None:
    """This LiteLLM has routing groups with priorities, of which virtual models are made."""
    assert found["groups"] is True
