"""Thirty cheap numbers of a prompt's text that say how hard it is: lengths, digits, operators, answer options.

Owns the plain form of a text and these numbers. Case and white space make no difference to either, and only the first
and last thousand characters of a long text are read, as by the default embedder. Amounts are logarithms of 1 + amount.
"""

import re
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

COUNT: Final = 30
"""How many numbers a text has."""

EDGE_CHARACTERS: Final = 1_000

_SPACE = re.compile(r"\s+")
_OPTION = re.compile(r"(?:^|\s)\(?([a-j])[).] ")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OPERATORS = np.frombuffer(b"+-*/=^<>%", dtype=np.uint8)
_MARKS = (b"([{", b"'\"", b",", b".", b"?", b":;", b"\\", b"$", b"%", b"_")


def plain(text: str) -> str:
    """Return a text in lower case, each run of white space as one space, and cut to its two ends when it is long."""
    if len(text) > 16 * EDGE_CHARACTERS:  # more than enough for the ends of what is left of it
        text = f"{text[: 8 * EDGE_CHARACTERS]} {text[-8 * EDGE_CHARACTERS :]}"
    text = _SPACE.sub(" ", text.lower()).strip()
    if len(text) > 2 * EDGE_CHARACTERS:
        text = f"{text[:EDGE_CHARACTERS]} {text[-EDGE_CHARACTERS:]}"
    return text


def numbers_in(text: str) -> list[str]:
    """Return the numbers that stand in a text."""
    return _NUMBER.findall(text)


def stem(text: str) -> str:
    """Return a plain text up to its first answer option: what is asked, without what may be answered."""
    return text[: at[0]] if (at := _options(text))[1] >= 2 else text


def text_numbers(text: str) -> Numbers:
    """Return the numbers of a plain text, shape (COUNT,)."""
    size, words = max(len(text), 1), text.split(" ")
    count = np.bincount(np.frombuffer(text.encode("utf-8", "replace"), np.uint8), minlength=256)
    digits, operators = int(count[48:58].sum()), int(count[_OPERATORS].sum())
    start, options = _options(text)
    asked, answers = (text[:start], text[start:]) if options >= 2 else (text, "")
    found = _NUMBER.findall(asked)
    lengths = [len(word) for word in words]
    many = len(words)
    told = [
        log1p(size), log1p(many), log1p(len(asked)), size / many,
        log1p(digits), 10.0 * digits / size, log1p(operators), 10.0 * operators / size,
        log1p(len(found)), log1p(len(set(found))), log1p(max(map(len, found), default=0)),
        log1p(int(count[128:].sum())),
        *(log1p(sum(int(count[mark]) for mark in marks)) for marks in _MARKS),
        len(set(words)) / many, max(lengths) / 10.0, options / 4.0, float(options >= 2),
        log1p(len(answers) / max(options, 1)), len(_NUMBER.findall(answers)) / max(options, 1),
        log1p(sum(length > 8 for length in lengths)), sum(length <= 3 for length in lengths) / many,
    ]  # fmt: skip
    return np.array(told, dtype=np.float32)


def _options(text: str) -> tuple[int, int]:
    """Return where the first answer option starts and how many follow each other from (a) on."""
    start, expected = len(text), 0
    for match in _OPTION.finditer(text):
        start = min(start, match.start())
        if match[1] == "abcdefghij"[expected : expected + 1]:
            expected += 1
    return start, expected
