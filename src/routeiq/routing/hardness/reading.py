"""A prompt as one row of numbers: its embedding, what its words and tools say, and the word pieces it is made of.

Owns how a request becomes the input of a linear model, alike in training and in service, and how much a prompt is like
the training ones. What is predicted from the input is the business of a scorer. Arrays of an artifact, for an embedding
of D dimensions, q numbers, r word pieces in k directions, and p training prompts:

    number_mean, number_scale (q,)   mean and standard deviation of each number; z-scores are cut at 4
    piece, piece_weight (r,)         ids of word pieces in the default vocabulary, and their inverse document frequency
    piece_table (r, k)               each word piece in the directions of latent semantic analysis
    silent (t,)                      numbers and directions (t = q + k) of a prompt whose text is unknown
    centre (D,), anchor (p, D)       mean embedding, and centred unit vectors of some training prompts
    familiar (g,)                    quantiles 0 to .1 of the similarity of training prompts to those
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.routing.blocks import Blocked, Singles
from routeiq.routing.embedding import StaticEmbedder, load_default
from routeiq.routing.hardness import numbers, tools
from routeiq.routing.stages import View
from routeiq.routing.table import Floats

SHAPES: Mapping[str, str] = {
    "number_mean": "q", "number_scale": "q", "piece": "r", "piece_weight": "r", "piece_table": "rk", "silent": "t",
    "centre": "D", "anchor": "pD", "familiar": "g",
}  # fmt: skip
"""The arrays, see `routing.trained.checked`."""

NUMBERS = numbers.COUNT + tools.COUNT
NEIGHBOURS = 5
"""Nearest anchors whose similarity is averaged."""

_CUT = 4.0
_TOOL_TEXTS = 4096


@cache
def _words() -> StaticEmbedder:
    return load_default()


@lru_cache(maxsize=_TOOL_TEXTS)
def _tool_vector(text: str) -> Any:
    return _words().embed(text)


def word_pieces(text: str) -> NDArray[np.intp]:
    """Return the ids of the word pieces of a plain text in the default vocabulary, each once, ascending."""
    return np.unique(np.array(_words().pieces(text), dtype=np.intp))


def prompt_numbers(text: str, offered: Sequence[Mapping[str, Any]]) -> Floats:
    """Return the numbers of a plain text and the tools on offer with it, shape (NUMBERS,)."""
    told = tools.tool_numbers(text, offered, _tool_vector) if offered else np.zeros(tools.COUNT, dtype=np.float32)
    return np.concatenate([numbers.text_numbers(text), told]).astype(np.float64)


def recorded_tools(text: str) -> tuple[Mapping[str, Any], ...]:
    """Return tools recorded as JSON text: a list, or one schema; nothing where that cannot be read."""
    if not text:
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(tool for tool in (found if isinstance(found, list) else [found]) if isinstance(tool, Mapping))


def nearest(similarity: Singles) -> float:
    """Return the mean of the highest of some similarities (p,)."""
    count = min(NEIGHBOURS, similarity.size)
    return float(np.partition(similarity, -count)[-count:].mean())


def z_scores(values: Floats, mean: Floats, scale: Floats) -> Floats:
    """Return numbers (..., q) less their mean, in standard deviations, cut at 4."""
    return np.asarray(np.minimum(np.maximum((values - mean) / scale, -_CUT), _CUT))


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How prompts are read, as an artifact's arrays say."""

    number_mean: Floats
    number_scale: Floats
    row_of: NDArray[np.int32] = field(repr=False)
    piece_weight: Singles = field(repr=False)
    piece_table: Singles = field(repr=False)
    silent: Singles = field(repr=False)
    anchors: Blocked = field(repr=False)
    centre: Singles = field(repr=False)
    familiar: Floats = field(repr=False)

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> "Reading":
        """Return the reading of arrays that were checked."""
        piece = np.asarray(arrays["piece"]).astype(np.intp)
        row_of = np.full(int(piece.max()) + 1 if piece.size else 0, -1, dtype=np.int32)
        row_of[piece] = np.arange(piece.size)
        anchor, centre = np.asarray(arrays["anchor"], np.float32), np.asarray(arrays["centre"], np.float32)
        _words()  # read now, not at the first request
        return cls(
            number_mean=np.asarray(arrays["number_mean"], np.float64),
            number_scale=np.asarray(arrays["number_scale"], np.float64),
            row_of=row_of,
            piece_weight=np.asarray(arrays["piece_weight"], np.float32),
            piece_table=np.ascontiguousarray(arrays["piece_table"], np.float32),
            silent=np.asarray(arrays["silent"], np.float32),
            anchors=Blocked(anchor),
            centre=centre,
            familiar=np.asarray(arrays["familiar"], np.float64),
        )

    def input(self, view: View, vector: Singles) -> Singles:
        """Return the row of a prompt with this embedding (D,), shape (D + q + k,)."""
        request = view.request
        if not request.text:
            return np.concatenate([vector, self.silent])
        text = numbers.plain(request.text)
        z = z_scores(prompt_numbers(text, request.tools), self.number_mean, self.number_scale)
        return np.concatenate([vector, z, self.directions(word_pieces(text))]).astype(np.float32, copy=False)

    def directions(self, pieces: NDArray[np.intp]) -> Singles:
        """Return the position of a text in the directions of its word pieces, shape (k,); zeros when none is known."""
        rows = self.row_of[pieces[pieces < self.row_of.size]]
        rows = rows[rows >= 0]
        if not rows.size:
            return np.zeros(self.piece_table.shape[1], dtype=np.float32)
        weight = self.piece_weight.take(rows)
        total = np.einsum("ij,i->j", self.piece_table.take(rows, axis=0), weight)
        return np.asarray(total / np.sqrt(np.einsum("i,i->", weight, weight)), dtype=np.float32)

    def nearness(self, vector: Singles) -> float | None:
        """Return the mean similarity of an embedding (D,) to the nearest anchors; None for one in their very middle."""
        away = vector - self.centre
        length = float(np.sqrt(np.einsum("i,i->", away, away)))
        if length < 1e-9:
            return None
        return nearest(self.anchors.times(away) / length)

    def trust(self, vector: Singles) -> float:
        """Return how much a prompt is like the training ones: 1 for nine in ten of those, 0 for the strangest."""
        similarity = self.nearness(vector)
        return 1.0 if similarity is None else self.familiarity(similarity)

    def familiarity(self, similarity: float) -> float:
        """Return how familiar a prompt of this nearness is, 0..1."""
        return float(np.interp(similarity, self.familiar, np.linspace(0.0, 1.0, self.familiar.size)))
