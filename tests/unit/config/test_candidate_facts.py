"""Facts of models from LLMRouter's file of candidates."""

import json
from pathlib import Path
from typing import Any

import pytest

from routeiq.adapters.litellm.translate import candidates
from routeiq.config.load import load
from routeiq.core.errors import ConfigError
from tests.unit.config.scene import config

PRICES = {"big-1": {"input_cost_per_token": 9e-6, "output_cost_per_token": 9e-6, "max_input_tokens": 1_000}}


def facts(folder: Path, content: Any) -> Path:
    (folder / "llm_candidates.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return config(folder, "llm_candidates: llm_candidates.json\naliases:\n  auto:")


def test_facts_come_between_the_configuration_and_the_price_list(tmp_path: Path) -> None:
    """What the file of candidates says holds where the configuration is silent, whatever the price list says."""
    said = {"size": "8x22B", "input_price": 0.2, "output_price": 0.6, "model": "big-1", "feature": "large and slow"}
    settings = load(facts(tmp_path, {"vendor's big": said, "small": {"size": "500M", "context_length": 4_096}}))
    small, big = candidates(settings.described_models, PRICES)
    assert (big.size, big.usd_per_input_token, big.usd_per_output_token) == pytest.approx((176.0, 0.2e-6, 0.6e-6))
    assert big.context_window == 1_000
    assert (small.size, small.context_window, small.usd_per_input_token) == (0.5, 4_096, None)
    assert settings.warnings == ()
    stated = [{**entry, "model_info": {"size": 3, "input_cost_per_token": 1e-3}} for entry in settings.model_list]
    settings.litellm["model_list"][:] = stated
    assert {found.size for found in candidates(settings.described_models, PRICES)} == {3}
    assert {found.usd_per_input_token for found in candidates(settings.described_models, PRICES)} == {1e-3}


def test_a_model_that_nobody_has_is_said(tmp_path: Path) -> None:
    """A file for several gateways may name more models; the operator hears of them."""
    settings = load(facts(tmp_path, {"small": {"size": 7}, "other": {"size": 8}, "third": {}}))
    assert settings.warnings == ("llm_candidates.json: no model of the model_list is other, third",)
    assert tmp_path / "llm_candidates.json" in settings.files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ([], "expected an object of models by name, found a list"),
        ({"small": 7}, "small: expected an object of facts"),
        ({"small": {"size": "big"}}, r"small\.size: expected a size such as '7B'"),
        ({"small": {"input_price": "free"}}, r"small\.input_price: expected a number that is not negative"),
        ({"small": {"output_price": -1}}, r"small\.output_price: expected a number that is not negative, found -1"),
        ({"small": {"imput_price": 1}}, "did you mean 'input_price'"),
        ({"small": {"supports_vision": 1}}, "expected true or false"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, content: Any, words: str) -> None:
    """File, model, key, what was found and what was expected."""
    with pytest.raises(ConfigError, match=words) as refused:
        load(facts(tmp_path, content))
    assert "llm_candidates.json" in refused.value.message
    assert refused.value.file == tmp_path / "llm_candidates.json"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A name without a file is a mistake, and its file is watched for."""
    path = facts(tmp_path, {})
    (tmp_path / "llm_candidates.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(path)
