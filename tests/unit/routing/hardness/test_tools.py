"""Numbers of the tools on offer with a prompt."""

import zlib
from typing import Any

import numpy as np
import pytest

from routeiq.routing.hardness.tools import COUNT, READ, tool_numbers

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Weather forecast of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
TRANSLATE: dict[str, Any] = {"name": "translate", "description": "Translate text to another language"}
ASKED = "what is the weather forecast in the city of paris for 3 days"


def embed(text: str) -> np.ndarray:
    """Return the normalised sum of one fixed vector per word."""
    total = np.zeros(16)
    for word in text.split():
        total += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(16)
    return total / max(float(np.linalg.norm(total)), 1e-9)


def test_no_tools_are_all_zeros() -> None:
    """A prompt without tools differs from every prompt with some."""
    assert not tool_numbers(ASKED, (), embed).any()
    assert tool_numbers(ASKED, (WEATHER,), embed)[0] == 1.0


@pytest.mark.parametrize(
    "form",
    [
        {"type": "function", "function": WEATHER},
        {"type": "function", **WEATHER},
        {"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": WEATHER["parameters"]},
    ],
    ids=["chat", "responses", "messages"],
)
def test_every_api_says_the_same_in_its_own_form(form: dict[str, Any]) -> None:
    """A tool has the same numbers whichever API's form its schema has."""
    np.testing.assert_array_equal(tool_numbers(ASKED, (form,), embed), tool_numbers(ASKED, (WEATHER,), embed))


def test_the_order_of_tools_does_not_matter() -> None:
    """The tool that fits best is found wherever it stands."""
    first, second = tool_numbers(ASKED, (WEATHER, TRANSLATE), embed), tool_numbers(ASKED, (TRANSLATE, WEATHER), embed)
    np.testing.assert_allclose(first, second)


def test_a_tool_that_fits_is_nearer_than_one_that_does_not() -> None:
    """Similarity and overlap of words are higher for the tool that is asked for."""
    fits, misses = tool_numbers(ASKED, (WEATHER,), embed), tool_numbers(ASKED, (TRANSLATE,), embed)
    assert fits[6] > misses[6]
    assert fits[8] > misses[8]


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"function": None},
        {"name": 3, "description": ["x"], "parameters": "none"},
        {"name": "x", "parameters": {"properties": [1, 2], "required": "all"}},
        {"name": "x", "parameters": {"properties": {"type": "string", "a": {"type": ["x"]}}, "required": [[], "a"]}},
    ],
)
def test_a_malformed_schema_is_read_as_far_as_it_goes(tool: dict[str, Any]) -> None:
    """Nothing a client sends as a tool raises, or gives a number that is not finite."""
    found = tool_numbers("do it", (tool,), embed)
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()


def test_hostile_tools_are_bounded() -> None:
    """Thousands of tools, or one nested without end, are read in part only."""
    nested: dict[str, Any] = {}
    for _ in range(5_000):
        nested = {"type": "object", "properties": {"a": nested}}
    asked: list[str] = []

    def counted(text: str) -> np.ndarray:
        asked.append(text)
        return embed(text)

    found = tool_numbers(ASKED, ({"name": "deep", "parameters": nested}, *[WEATHER] * 3_000), counted)
    assert np.isfinite(found).all()
    assert len(asked) <= 1 + 4 * READ
