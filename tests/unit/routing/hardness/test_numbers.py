"""Numbers of a prompt's text."""

import numpy as np
import pytest

from routeiq.routing.hardness.numbers import COUNT, EDGE_CHARACTERS, plain, stem, text_numbers

QUESTION = "A train runs 120 km in 1.5 hours. How fast is it?\n(a) 60 km/h (b) 80 km/h (c) 90 km/h"
ODD = ["", " ", "\x00\x01\x02", "\ud800 broken", "中文問題 是什麼", "a" * 400_000, "\U0001f600" * 50, "(a) (b) (c)"]


@pytest.mark.parametrize("text", ODD)
def test_any_text_has_finite_numbers(text: str) -> None:
    """Empty, binary, foreign and very long texts give as many finite numbers as any other."""
    found = text_numbers(plain(text))
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()


def test_case_and_white_space_make_no_difference() -> None:
    """A prompt shouted, or spread over the page, is the same prompt."""
    changed = "  " + QUESTION.upper().replace(" ", "  ").replace("\n", "\n\n\t") + "\n"
    assert plain(changed) == plain(QUESTION)


def test_a_long_text_is_read_at_both_ends() -> None:
    """What stands in the middle of a long text is not looked at."""
    start, end = "start " * 400, " end" * 600
    short, long = (plain(start + middle + end) for middle in ("x " * 100, "y " * 9_000))
    assert short == long
    assert len(short) == 2 * EDGE_CHARACTERS + 1


def test_what_is_asked_ends_where_the_answers_start() -> None:
    """Two prompts with other answers on offer have the same stem; a lone (a) is no list of answers."""
    assert stem(plain(QUESTION)) == stem(plain(QUESTION.replace("60", "61").replace("90", "95")))
    assert stem(plain("see (a) the first case")) == "see (a) the first case"


def test_numbers_tell_a_sum_from_a_story() -> None:
    """Digits, operators and options change the numbers that count them."""
    asked, told = text_numbers(plain(QUESTION)), text_numbers(plain("a train ran for some time and was rather fast"))
    assert asked[4] > told[4]  # digits
    assert asked[25] == 1.0  # has options
    assert told[25] == 0.0
