"""Adding to a YAML text: whatever its style, what was there stays, and the addition reads back."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.config.edit import add, render
from routeiq.core.errors import ConfigError

GROUP = {"group_name": "auto", "models": ["a", "b"], "model_priorities": {"a": 1, "b": 1}}
PATH = ("router_settings", "routing_groups")

SHAPES = {
    "empty": "",
    "only a comment": "# mine\n",
    "no newline at the end": "model_list: []",
    "absent": "model_list:\n  - model_name: a # the small one\n",
    "empty value": "router_settings:   # tuned by hand\nlitellm_settings: {}\n",
    "null": "router_settings: null # nothing\nmodel_list: []\n",
    "tilde": "router_settings: ~\n",
    "block": "router_settings:\n    num_retries: 2 # two\n\n    # t\n    timeout: 3\n\n\n# models\nmodel_list: []\n",
    "block, last in file": "router_settings:\n  num_retries: 2",
    "block, ends in text": "router_settings:\n  note: |\n    one\n    two\n\nmodel_list: []\n",
    "block, ends in a list": "router_settings:\n  fallbacks:\n  - a: [b]\n  - c:\n    - d\nmodel_list: []\n",
    "block, ends in nothing": "router_settings:\n  redis_url:\nmodel_list: []\n",
    "flow": "router_settings: {num_retries: 2, timeout: 3}\n",
    "flow over lines": "router_settings: {\n  num_retries: 2, # two }\n  timeout: 3,\n}\n",
    "flow, empty": "router_settings: {}\n",
    "groups in block": "router_settings:\n  routing_groups:\n    - group_name: x\n      models: [a]\n  timeout: 1\n",
    "groups not indented": "router_settings:\n  routing_groups:\n  - {group_name: x, models: [a]}\n  num_retries: 1\n",
    "groups in flow": "router_settings:\n  routing_groups: [{group_name: x, models: [a]}]\n",
    "groups empty": "router_settings:\n  routing_groups: []\n",
    "groups without value": "router_settings:\n  routing_groups:\n  num_retries: 1\n",
    "JSON": '{"model_list": [], "router_settings": {"num_retries": 2}}\n',
    "JSON without": '{\n  "model_list": []\n}\n',
    "windows line ends": "router_settings:\r\n  num_retries: 2\r\nmodel_list: []\r\n",
    "anchors": "base: &base {timeout: 3}\nrouter_settings:\n  <<: *base\n  num_retries: 2\n",
    "document marker": "---\nrouter_settings:\n  num_retries: 2\n",
    "quoted key": '"router_settings":\n  "num_retries": 2\n',
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_what_was_there_stays(text: str) -> None:
    """In every style the old characters are still there in order, and the group is the last of its list."""
    added = add(text, PATH, [GROUP])
    groups = yaml.safe_load(added)["router_settings"]["routing_groups"]
    assert groups[-1] == GROUP
    remaining = iter(added)
    kept = text.replace(" null", "").replace(" ~", "")
    assert all(character in remaining for character in kept)
    assert "\r\n" not in text or "\n" not in added.replace("\r\n", "")


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES.keys())
def test_adding_a_section_twice_changes_nothing(text: str) -> None:
    """A key that is there is left alone."""
    once = add(text, ("ours", "aliases", "auto"), {"strategy": "random"}, "why")
    assert add(once, ("ours", "aliases", "auto"), {"strategy": "other"}, "why") == once


def test_the_text_is_as_a_person_would_write_it() -> None:
    """New lines are indented as those around them, comments stay with their keys, and a new section has its own."""
    text = "# head\nrouter_settings:\n    # how often\n    num_retries: 2 # two\n\nmodel_list:\n- model_name: a\n"
    added = add(add(text, PATH, [GROUP]), ("ours", "aliases", "auto"), {"strategy": "random"}, "why it is here")
    assert added == (
        "# head\n"
        "router_settings:\n"
        "    # how often\n"
        "    num_retries: 2 # two\n"
        "    routing_groups:\n"
        "      - group_name: auto\n"
        "        models: [a, b]\n"
        "        model_priorities: {a: 1, b: 1}\n"
        "\n"
        "model_list:\n"
        "- model_name: a\n"
        "\n"
        "# why it is here\n"
        "ours:\n"
        "  aliases:\n"
        "    auto: {strategy: random}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "shared: &shared\n  num_retries: 1\nother: *shared\nrouter_settings: *shared\n",
        "router_settings:\n  note: |+\n    one\n\n\nmodel_list: []\n",
        "router_settings: 3\n",
        "model_list: []\n...\n",
    ],
)
def test_what_cannot_be_added_to_safely_is_left_to_the_operator(text: str) -> None:
    """Where an addition would change something else, the error has the lines to write by hand."""
    with pytest.raises(ConfigError) as caught:
        add(text, PATH, [GROUP])
    assert yaml.safe_load(caught.value.message.split("by hand:\n")[1]) == {
        "router_settings": {"routing_groups": [GROUP]}
    }


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(deadline=None)
@given(
    value=st.recursive(
        NAMES | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_rendered_reads_back(value: Any) -> None:
    """Rendered YAML means what it was made of, whatever models are called."""
    assert yaml.safe_load(render({"key": value})) == {"key": value}


def test_words_are_not_quoted_and_traps_are() -> None:
    """Model names stand as they are; what YAML would read as something else is quoted."""
    assert render({"models": ["gpt-4o", "meta/llama-3.1", "on", "1.5"]}) == (
        'models: [gpt-4o, meta/llama-3.1, "on", "1.5"]\n'
    )


def test_long_lists_are_broken_up() -> None:
    """A list that would not fit on a line has an item per line."""
    assert render({"models": ["m" * 30] * 4}) == "models:\n" + f"  - {'m' * 30}\n" * 4
