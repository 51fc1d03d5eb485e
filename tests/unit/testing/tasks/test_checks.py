"""The judges: strict about the answer, fair about its dress."""

from __future__ import annotations

import pytest

from routeiq.testing.tasks import Check, ToolCall
from routeiq.testing.tasks.checks import json_check, number_check, passes, text_check, tool_call_check


@pytest.mark.parametrize(
    "reply",
    ["1250", "1,250", "The answer is 1250.", "**1250**", "25 * 50 = 1250", "$1,250.00", "1250 litres", "1.25e3"],
)
def test_a_number_counts_however_it_is_written(reply: str) -> None:
    """Separators, units and a sentence around it do not matter."""
    assert passes(number_check(1250), reply, None)


@pytest.mark.parametrize("reply", ["1251", "-1250", "1250 or 1300", "12 50", "", "twelve", "1250 in 3 days", "125"])
def test_another_number_does_not_count(reply: str) -> None:
    """The last number of the reply is the answer, so hedging loses."""
    assert not passes(number_check(1250), reply, None)


@pytest.mark.parametrize("reply", ["-3.5", "\u22123.5", "It is -3.50"])
def test_a_negative_number_keeps_its_sign(reply: str) -> None:
    """A minus sign in either form counts, and leaving it out does not."""
    assert passes(number_check(-3.5), reply, None)
    assert not passes(number_check(-3.5), "3.5", None)


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1, "b": ["x", true]}',
        '{"b": ["X ", true], "a": 1.0}',
        'Here it is:\n```json\n{"a": 1, "b": ["x", true]}\n```',
        'Sure! {"a": 1, "b": ["x", true]} Anything else?',
    ],
)
def test_json_counts_in_any_order_of_keys_and_any_dress(reply: str) -> None:
    """Fences and words around it do not matter."""
    assert passes(json_check({"a": 1, "b": ["x", True]}), reply, None)


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": 1}',
        '{"a": 1, "b": ["x", true], "c": null}',
        '{"a": "1", "b": ["x", true]}',
        '{"a": 1, "b": [true, "x"]}',
        '{"a": true, "b": ["x", true]}',
        '{"a": 1, "b": ["x", 1]}',
        "no json",
        "{'a': 1}",
        "",
    ],
)
def test_other_json_does_not_count(reply: str) -> None:
    """Missing and surplus keys, other types and another order of a list are wrong."""
    assert not passes(json_check({"a": 1, "b": ["x", True]}), reply, None)


@pytest.mark.parametrize(
    "reply",
    ["Guten Morgen", "guten  morgen!", "'Guten Morgen'", "The translation is: Guten Morgen.", "Sure:\nGuten Morgen"],
)
def test_a_text_counts_without_regard_to_case_and_dress(reply: str) -> None:
    """Quotes, stops, a preamble or a line before it do not matter."""
    assert passes(text_check("Guten Morgen", "Moin"), reply, None)


@pytest.mark.parametrize("reply", ["Guten Abend", "Guten Morgen oder Moin", "Gutenmorgen", "", "Buenos dias"])
def test_another_text_does_not_count(reply: str) -> None:
    """Two answers at once are none."""
    assert not passes(text_check("Guten Morgen", "Moin", "Buenos días"), reply, None)


def test_case_counts_where_it_was_asked_for() -> None:
    """What a program prints is right to the letter, in a code fence too."""
    check = text_check("['A', 'b']", exact_case=True)
    assert passes(check, "```\n['A', 'b']\n```", None)
    assert not passes(check, "['a', 'b']", None)


def test_a_tool_call_counts_by_name_and_arguments() -> None:
    """Another name, another value, a missing or a surplus argument, or a text are wrong."""
    check = tool_call_check(ToolCall("f", {"n": 2, "city": "Oslo", "rows": [{"q": 1}]}))
    right = {"n": 2.0, "city": "oslo", "rows": [{"q": 1}]}
    assert passes(check, "", ToolCall("f", right))
    assert not passes(check, "", ToolCall("g", right))
    for change in ({"n": 3}, {"n": "2"}, {"city": "Riga"}, {"rows": []}, {"more": 1}):
        assert not passes(check, "", ToolCall("f", right | change))
    assert not passes(check, "", ToolCall("f", {"n": 2}))
    assert not passes(check, '{"name": "f"}', None)


def test_a_call_is_wrong_where_a_text_was_asked_for() -> None:
    """The right text does not save a call that nobody wanted."""
    assert not passes(text_check("yes"), "yes", ToolCall("f", {}))


def test_a_check_can_be_written_to_a_file_and_read_again() -> None:
    """Its fields are plain texts."""
    check = number_check(2.5)
    assert Check(check.kind, check.expected, check.exact_case) == check
    assert passes(Check("number", "2.5"), "2.5", None)
