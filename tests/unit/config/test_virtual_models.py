"""What LiteLLM must know of a virtual model, and which models can be its candidates."""

from pathlib import Path

import pytest
import yaml

from routeiq.config.load import Settings, load
from routeiq.config.virtual_models import chat_models, check_alias, group_entry
from routeiq.core.errors import ConfigError, UnknownCandidate
from tests.unit.config.scene import LITELLM, config

MODELS = LITELLM.split("router_settings")[0]


def settings(folder: Path, router: str) -> Settings:
    """Load a configuration with an alias `auto` and the given router settings."""
    return load(config(folder, "aliases: {auto: }", MODELS + router))


def test_the_members_are_those_of_the_group(tmp_path: Path) -> None:
    """An alias with a routing group of its name has that group's models."""
    assert check_alias(load(config(tmp_path, "aliases: {auto: }")), "auto") == ("small", "big")


def test_any_strategy_of_litellm_will_do(tmp_path: Path) -> None:
    """A group that LiteLLM balances in another way is as good, since RouteIQ's order comes before it."""
    router = (
        "router_settings: {routing_groups: [{group_name: auto, models: [big], routing_strategy: simple-shuffle}]}\n"
    )
    assert check_alias(settings(tmp_path, router), "auto") == ("big",)


@pytest.mark.parametrize("router", ["", "router_settings:\n", "router_settings: {num_retries: 1}\n"])
def test_a_missing_group_shows_what_to_write(tmp_path: Path, router: str) -> None:
    """When LiteLLM does not know the alias, the message has the command and the lines that make it known."""
    with pytest.raises(ConfigError, match="Run `routeiq init --alias auto --write`, or add:") as caught:
        check_alias(settings(tmp_path, router), "auto")
    shown = yaml.safe_load("router_settings:" + caught.value.message.split("router_settings:", 1)[1])
    assert shown == {"router_settings": {"routing_groups": [group_entry("auto", ["small", "big"])]}}


@pytest.mark.parametrize(
    ("router", "kind", "message"),
    [
        ("{model_group_alias: {auto: small}}", ConfigError, "'auto' is also a router_settings.model_group_alias"),
        ("[auto]", ConfigError, "router_settings: expected a mapping, found a list"),
        ("{routing_groups: {auto: [small]}}", ConfigError, "routing_groups: expected a list of mappings"),
        (
            "{routing_groups: [{group_name: auto, models: [smal], routing_strategy: priority}]}",
            UnknownCandidate,
            r"routing_groups\[0\].models: 'smal' is not in the model_list; did you mean 'small'",
        ),
        (
            "{routing_groups: [{group_name: auto, models: [], routing_strategy: priority}]}",
            ConfigError,
            "models: expected a list of different model names",
        ),
        (
            "{routing_groups: [{group_name: auto, models: [small, big], routing_strategy: priority}]}",
            ConfigError,
            "model_priorities: LiteLLM wants a priority for exactly the models of the group",
        ),
    ],
)
def test_what_litellm_would_refuse_is_refused_first(
    tmp_path: Path, router: str, kind: type[ConfigError], message: str
) -> None:
    """A group that LiteLLM could not serve is reported before LiteLLM is started."""
    with pytest.raises(kind, match=message):
        check_alias(settings(tmp_path, f"router_settings: {router}\n"), "auto")


def test_an_alias_must_not_be_a_model(tmp_path: Path) -> None:
    """An alias with the name of a model could never be routed, so it is refused."""
    with pytest.raises(ConfigError, match="'small' is also a model_name of the model_list"):
        check_alias(load(config(tmp_path, "aliases: {small: }")), "small")


def test_only_models_that_answer_prompts_are_candidates() -> None:
    """Embedding, image and speech models, wildcards and LiteLLM's own routers are no default candidates."""
    model_list = [
        {"model_name": "a", "litellm_params": {"model": "openai/gpt-4o"}},
        {"model_name": "a", "litellm_params": {"model": "azure/gpt-4o"}},
        {"model_name": "b", "litellm_params": {"model": "x/y"}, "model_info": {"mode": "chat"}},
        {"model_name": "c", "litellm_params": {"model": "x/z"}, "model_info": {"mode": "image_generation"}},
        {"model_name": "d", "litellm_params": {"model": "openai/text-embedding-3-small"}},
        {"model_name": "openai/*", "litellm_params": {"model": "openai/*"}},
        {"model_name": "e", "litellm_params": {"model": "auto_router/complexity_router"}},
    ]
    assert chat_models(model_list) == ("a", "b")
