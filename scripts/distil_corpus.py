"""The text that `distil_embedder.py` learns from: documentation of scientific Python packages, and mixtures of it.

Owns: cutting docstrings and functions out of the wheels named in `distil_corpus.txt`, and mixing words into texts so
that every token of the vocabulary is seen in company. Does not own: the teacher, the fit. Nothing of the text ends
up in the package, only vectors fitted to what the teacher makes of it; all these packages have permissive licences.
"""

import ast
import itertools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from routeiq.routing.embedding import WordPiece

PROSE_PER_PACKAGE = 4_000
CODE_PER_PACKAGE = 300
PROSE_TOKENS = 160
CODE_TOKENS = 200
FIRST_WORD = 999
"""Ids below are special and unused tokens."""
FIRST_CONTENT_WORD = 3_000
"""BERT's vocabulary is ordered by frequency; earlier words hold a sentence together and are kept in mixtures."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Token ids of the texts by kind, without special tokens."""

    prose: list[list[int]]
    code: list[list[int]]
    mixtures: list[list[int]]

    def all(self) -> list[list[int]]:
        """All texts in one list, in a fixed order."""
        return [*self.prose, *self.code, *self.mixtures]


def read(wheels: list[Path], wordpiece: WordPiece, tokens: list[str], similar: npt.NDArray[np.float32]) -> Texts:
    """Texts from `wheels`; `similar` holds a vector per token whose cosines say which words keep company."""
    rng = np.random.default_rng(7)
    prose: list[list[int]] = []
    code: list[list[int]] = []
    sentences: list[str] = []
    for wheel in sorted(wheels, key=lambda path: path.name):
        found, functions = read_wheel(wheel)
        sentences += found
        chunks = list(_chunks(found, rng))
        prose += [wordpiece.ids(text)[:PROSE_TOKENS] for text in _sample(chunks, PROSE_PER_PACKAGE, rng)]
        code += [wordpiece.ids(text)[:CODE_TOKENS] for text in _sample(functions, CODE_PER_PACKAGE, rng)]
    mixer = _Mixer(tokens, similar, rng)
    frames = (wordpiece.ids(sentences[i])[:90] for i in rng.integers(0, len(sentences), 2 * len(tokens)))
    return Texts(prose, code, [*mixer.substituted(frames), *mixer.bags()])


def read_wheel(wheel: Path) -> tuple[list[str], list[str]]:
    """Sentences of a wheel's docstrings, and the source of its functions; each once, in the order of the files."""
    sentences: list[str] = []
    functions: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".py") and "/test" not in name:
                source = archive.read(name).decode("utf-8", "ignore")
                lines = source.split("\n")
                for node in _documented(source):
                    sentences += _sentences(ast.get_docstring(node) or "")
                    if isinstance(node, ast.FunctionDef) and 2 < (node.end_lineno or 0) - node.lineno < 25:
                        functions.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return list(dict.fromkeys(sentences)), list(dict.fromkeys(functions))


def _documented(source: str) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield node


def _sentences(docstring: str) -> Iterator[str]:
    """Sentences that are mostly words: no doctests, rulers, formulas or tables."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        words = re.sub(r"^.*(>>>|[-=~^]{4,}).*$", "", paragraph, flags=re.M)
        for sentence in re.split(r"(?<=[.?!;:])\s+(?=[A-Z0-9\"(])", " ".join(words.split())):
            plain = re.sub(r":\w+:", "", sentence.replace("`", ""))
            letters = sum(character.isalpha() or character == " " for character in plain)
            if 20 <= len(plain) <= 400 and letters > 0.75 * len(plain):
                yield plain


def _chunks(sentences: list[str], rng: np.random.Generator) -> Iterator[str]:
    """Paragraphs of one to six neighbouring sentences."""
    rest = iter(sentences)
    while chunk := list(itertools.islice(rest, int(rng.choice([1, 1, 2, 3, 4, 6])))):
        yield " ".join(chunk)


def _sample(texts: list[str], count: int, rng: np.random.Generator) -> list[str]:
    return [texts[index] for index in np.sort(rng.permutation(len(texts))[:count])]


def _nearest(cosines: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    return np.argpartition(-cosines, count, axis=1)[:, :count].copy()  # a view would keep the whole result alive


class _Mixer:
    """Texts that were never written: each token of the vocabulary among words that are like it, and among others."""

    def __init__(self, tokens: list[str], similar: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
        self._rng = rng
        self._usable = np.array([i for i, token in enumerate(tokens) if i >= FIRST_WORD and token])
        self._words = np.array([i for i in self._usable if not tokens[i].startswith("##")])
        frequent = np.cumsum(1 / np.sqrt(np.arange(1, len(self._words) + 1)))
        self._frequent = frequent / frequent[-1]
        self._near = self._neighbours(similar)

    def _neighbours(self, similar: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """The sixty words nearest to every usable token, by cosine, in no order: (usable, 60)."""
        centred = similar - similar[FIRST_WORD:].mean(axis=0)
        units = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        blocks = np.array_split(self._usable, 16)
        near = [_nearest(units[block] @ units[self._words].T, 60) for block in blocks]
        return self._words[np.concatenate(near)]

    def _draw(self, words: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
        return words[self._rng.integers(0, len(words), count)]

    def substituted(self, frames: Iterator[list[int]]) -> Iterator[list[int]]:
        """Sentences whose content words were replaced, mostly by words like the token whose turn it is."""
        rng = self._rng
        for token, near in zip(self._usable.tolist(), self._near, strict=True):
            for frame in itertools.islice(frames, 2):
                text = list(frame) or [token]
                places = [i for i, word in enumerate(text) if word >= FIRST_CONTENT_WORD] or [0]
                kept = rng.random() * 0.3
                for place in places:
                    if rng.random() > kept:
                        text[place] = int(self._draw(near if rng.random() < 0.7 else self._words, 1)[0])
                text[places[int(rng.integers(len(places)))]] = token
                yield text

    def bags(self) -> Iterator[list[int]]:
        """Words in no order: a bag of like words and one of any words for every token."""
        rng = self._rng
        for token, near in zip(self._usable.tolist(), self._near, strict=True):
            alike = self._draw(near, int(rng.integers(2, 14)))
            others = self._words[np.searchsorted(self._frequent, rng.random(int(rng.integers(0, 8))))]
            yield rng.permutation(np.concatenate([[token], alike, others])).tolist()
            others = self._draw(self._words, int(rng.integers(1, 10)))
            yield rng.permutation(np.concatenate([[token], others])).tolist()
