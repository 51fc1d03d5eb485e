"""BERT's uncased WordPiece in pure Python: text -> token ids.

Owns: the cleaning, splitting and greedy longest-match of BERT's uncased tokenizer, with ids equal to those of the
`tokenizers` library (without its special-token parsing: "[CLS]" written in a prompt is three ordinary words here, so
a prompt cannot inject control tokens). Does not own: special tokens around a text, truncation, vectors.

Source: Devlin et al., BERT (arXiv 1810.04805) and its reference tokenizer; the character classes come from
`scripts/probe_wordpiece.py`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

KEPT: Final = 0
DROPPED: Final = 1
ISOLATED: Final = 2

MAX_WORD_CHARACTERS: Final = 100
"""A longer word is one unknown token, as in BERT."""

CACHED_WORDS: Final = 4_096
"""Words outside the vocabulary whose pieces are remembered (in two generations of half this size)."""

MAX_CACHED_CHARACTERS: Final = 32
"""Longer words are split every time, so that hostile input cannot fill the cache with megabytes."""

_CHARACTERS = Path(__file__).with_name("data") / "characters.npz"
_CONTINUATION = "##"
_PREFIX = 3

_ASCII = {code: None for code in (*range(9), 11, 12, *range(14, 32), 127)} | {
    code: code + 32 for code in range(ord("A"), ord("Z") + 1)
}
_ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


class WordPiece:
    """A vocabulary and the way text becomes its ids.

    Safe to share between threads: the cache is only ever replaced or added to, and a lost entry costs time alone.
    """

    def __init__(self, vocabulary: Iterable[str], *, unknown: str = "[UNK]") -> None:
        """`vocabulary` in order of id. Raises ValueError if it lacks `unknown`."""
        tokens = {token: index for index, token in enumerate(vocabulary)}
        if unknown not in tokens:
            raise ValueError(f"the vocabulary of {len(tokens)} tokens has no {unknown!r}; is it a WordPiece vocab.txt?")
        self.size: Final = len(tokens)
        self.unknown: Final = tokens[unknown]
        self._words = {token: index for token, index in tokens.items() if not token.startswith(_CONTINUATION)}
        self._words |= {token: index for token, index in tokens.items() if token == _CONTINUATION}
        self._rest = {
            token[len(_CONTINUATION) :]: index for token, index in tokens.items() if token.startswith(_CONTINUATION)
        }
        self._word_lengths = _lengths_by_prefix(self._words)
        self._rest_lengths = _lengths_by_prefix(self._rest)
        self._young: dict[str, tuple[int, ...]] = {}
        self._old: dict[str, tuple[int, ...]] = {}
        _character_classes()

    @classmethod
    def from_file(cls, path: Path) -> "WordPiece":
        """Read a `vocab.txt`: one token per line, in order of id."""
        return cls(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens; empty for text without words."""
        get = self._words.get
        words = split_words(text)
        found = [get(word) for word in words]
        if None not in found:
            return found  # type: ignore[return-value]
        ids: list[int] = []
        for word, index in zip(words, found, strict=True):
            if index is not None:
                ids.append(index)
            elif len(word) == 1:  # most of Unicode: not worth a place in the cache
                ids.append(self.unknown)
            else:
                ids.extend(self._young.get(word) or self._pieces(word))
        return ids

    def _pieces(self, word: str) -> tuple[int, ...]:
        """Pieces of a word that the younger generation of the cache does not know."""
        pieces = self._old.get(word) or self._split(word)
        if len(word) <= MAX_CACHED_CHARACTERS:
            if len(self._young) >= CACHED_WORDS // 2:
                self._old, self._young = self._young, {}
            self._young[word] = pieces
        return pieces

    def _split(self, word: str) -> tuple[int, ...]:
        """Greedy longest match from the left; the whole word is unknown if any part of it is."""
        end = len(word)
        if end > MAX_WORD_CHARACTERS:
            return (self.unknown,)
        pieces: list[int] = []
        start, table, lengths = 0, self._words, self._word_lengths
        while start < end:
            for length in lengths.get(word[start : start + _PREFIX], _SHORT):
                # A slice beyond the end is the whole rest of the word, so a match there ends the loop.
                index = table.get(word[start : start + length])
                if index is not None:
                    break
            else:
                return (self.unknown,)
            pieces.append(index)
            start += length
            table, lengths = self._rest, self._rest_lengths
        return tuple(pieces)


_SHORT = tuple(range(_PREFIX - 1, 0, -1))


def _lengths_by_prefix(table: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """First three characters -> lengths worth trying, longest first.

    Without it every position of an unknown word costs as many lookups as the longest token has characters.
    """
    lengths: dict[str, set[int]] = {}
    for token in table:
        if len(token) >= _PREFIX:
            lengths.setdefault(token[:_PREFIX], set()).add(len(token))
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    result = {}
    for prefix, found in lengths.items():
        ordered = (*sorted(found, reverse=True), *_SHORT)
        result[prefix] = shared.setdefault(ordered, ordered)
    return result


def split_words(text: str) -> list[str]:
    """Words of `text` as BERT sees them: cleaned, lower-cased, without accents; punctuation and CJK stand alone."""
    if text.isascii():
        return _ASCII_WORDS.findall(text.translate(_ASCII))
    # str.lower alone knows the final sigma; BERT lowers character by character.
    lowered = (
        unicodedata.normalize("NFD", text)
        .replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")
        .lower()
    )
    codes = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    classes = _character_classes()[codes]
    if classes.any():
        codes = _spread(codes, classes)
        lowered = codes.tobytes().decode("utf-32-le")
    return lowered.split()


def _spread(codes: npt.NDArray[np.uint32], classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Drop what is dropped and put a space on both sides of what stands alone."""
    kept = classes != DROPPED
    codes, isolated = codes[kept], classes[kept] == ISOLATED
    ends = np.cumsum(np.where(isolated, 3, 1))
    spread = np.full(ends[-1] if len(ends) else 0, 0x20, dtype=np.uint32)
    spread[ends - 1 - isolated] = codes
    return spread


@cache
def _character_classes() -> npt.NDArray[np.uint8]:
    """Class of every code point (1.1 million bytes), expanded once per process from the shipped runs."""
    with np.load(_CHARACTERS) as table:
        starts, classes = table["starts"], table["classes"]
    expanded = np.repeat(classes, np.diff(starts, append=0x110000).astype(np.int64))
    expanded.flags.writeable = False
    return expanded
