"""What is known of models does not depend on what LiteLLM has served."""

from pathlib import Path

import litellm
import pytest
import yaml

from routeiq.adapters.litellm import translate
from routeiq.config.load import load
from routeiq.wiring.host import candidates_of


def test_a_configuration_comes_to_the_same_whatever_was_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM enters what a deployment says into its map, some of it with a call; what is known of it is as before."""
    params = {"model": "openai/never-heard-of", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"model_list": [{"model_name": "own", "litellm_params": params}]}))
    before = candidates_of(load(path))
    entered = {"input_cost_per_token": 1e-6, "mode": "chat", "supports_vision": True, "max_input_tokens": 4_000}
    monkeypatch.setitem(litellm.model_cost, "openai/never-heard-of", entered)
    assert translate.candidates([{"model_name": "own", "litellm_params": params}]) != before
    assert candidates_of(load(path)) == before
