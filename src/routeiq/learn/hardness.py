"""Everything that is known of training prompts as the inputs of a linear model, and how service reads a prompt alike.

Owns the three blocks of inputs and what is fitted to them without any outcome: the embedding, the numbers of text and
tools as z-scores, and latent semantic analysis over word pieces (Deerwester et al. 1990; binary counts times inverse
document frequency, randomised as in Halko, Martinsson and Tropp 2011). Each block is centred and scaled to a mean
squared length of 1, so that none drowns the others. On request the joined row is replaced by its likeness to landmarks,
in which a linear model bends (`routing.hardness.kernel`; landmarks are training prompts drawn at random). The arrays
are those of `routing.hardness`.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeiq.learn.fitting import Lesson
from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.hardness import numbers
from routeiq.routing.hardness.kernel import likeness
from routeiq.routing.hardness.reading import (
    NEIGHBOURS,
    NUMBERS,
    Reading,
    prompt_numbers,
    recorded_tools,
    word_pieces,
    z_scores,
)
from routeiq.routing.table import Floats

DIRECTIONS = 96
"""Directions of latent semantic analysis."""

ENOUGH_TEXTS = 400
"""Prompts needed for latent semantic analysis; with fewer there is none."""

SEEN = 3
"""Prompts a word piece must stand in to count."""

LANDMARKS = 512
FLAT = 1e-5
"""Variance of landmarks' likeness, as part of the greatest, below which a direction is left out."""

ANCHORS = 512
STRANGE = 0.1
"""Part of the training prompts, the farthest from the others, of which less than all is believed."""

_EXTRA, _ROUNDS = 24, 2


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Training prompts as rows (n, F), centred and scaled, and the arrays by which service reads a prompt alike.

    `plain` (n, X) are the rows as a prompt is read, centred and scaled: the same, unless `turn` (l, F) made likenesses
    to l landmarks into F features. `words` counts the directions of word pieces, the last columns of `plain`.
    """

    rows: Floats
    mean: Floats
    scale: Floats
    arrays: dict[str, Any] = field(repr=False)
    plain: Floats = field(repr=False)
    words: int
    turn: Floats | None = field(default=None, repr=False)

    def raw(self, weights: Floats, offset: Floats) -> tuple[Singles, Floats]:
        """Return weights (r, X) or (r, l) and offset (r,) for what service computes, given those for `rows`."""
        scaled = weights / self.scale
        offset = offset - scaled @ self.mean
        if self.turn is not None:
            scaled = scaled @ self.turn.T
        return scaled.astype(np.float32), offset

    def bent(self, seed: int) -> "Inputs":
        """Return inputs whose rows are features of the likeness to landmarks, drawn from the rows."""
        count = max(1, min(LANDMARKS, len(self.plain) // 2))
        chosen = self.plain[np.random.default_rng(seed).permutation(len(self.plain))[:count]]
        arrays = {
            **self.arrays,
            "input_mean": self.mean.astype(np.float32),
            "input_scale": self.scale.astype(np.float32),
            "landmark": chosen.astype(np.float32),
        }
        values, directions = np.linalg.eigh(likeness(chosen, chosen))
        kept = values > FLAT * values[-1]
        turn = directions[:, kept] / np.sqrt(values[kept])
        rows, mean, scale = _joined([likeness(self.plain, chosen) @ turn])
        return replace(self, rows=rows, mean=mean, scale=scale, arrays=arrays, turn=turn)


def inputs_of(lesson: Lesson) -> Inputs:
    """Return the inputs of a lesson's prompts."""
    matrix = lesson.matrix
    texts = [numbers.plain(text) for text in matrix.texts]
    told = _numbers(matrix, texts)
    mean, spread = told.mean(axis=0), told.std(axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    pieces = _pieces(texts, lesson.seed)
    anchor, familiar = anchors(lesson.vectors.astype(np.float64), lesson.seed)
    centre = lesson.vectors.mean(axis=0, dtype=np.float64)
    arrays = {
        "number_mean": mean,
        "number_scale": spread,
        **pieces,
        "silent": np.zeros(0),
        "centre": centre.astype(np.float32),
        "anchor": anchor.astype(np.float32),
        "familiar": familiar,
    }
    z = z_scores(told, mean, spread)
    reading = Reading.of(arrays)
    directions = np.stack([reading.directions(word_pieces(text)) for text in texts]).astype(np.float64)
    blocks = [lesson.vectors.astype(np.float64), z, *([directions] if directions.shape[1] else [])]
    row, centres, scales = _joined(blocks)
    arrays["silent"] = centres[lesson.vectors.shape[1] :]
    return Inputs(row, centres, scales, arrays, row, directions.shape[1])


def stems(matrix: OutcomeMatrix) -> NDArray[np.intp]:
    """Return a number per prompt, the same for prompts that ask the same, whatever the answers on offer, shape (n,)."""
    asked = [numbers.stem(numbers.plain(text)) for text in matrix.texts]
    known = {text: i for i, text in enumerate(dict.fromkeys(asked))}
    return np.array([known[text] for text in asked], dtype=np.intp)


def anchors(vectors: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return unit vectors (p, D) of some prompts, and quantiles (11,) of how similar the strangest others are to them.

    `vectors` (n, D) are embeddings. The quantiles are those from 0 to `STRANGE`.
    """
    centred = unit(vectors - vectors.mean(axis=0))
    order = np.random.default_rng(seed).permutation(len(vectors))
    count = max(1, min(ANCHORS, len(vectors) // 2))
    chosen, others = centred[order[:count]], centred[order[count:]]
    familiar = np.quantile(nearness(others, chosen), np.linspace(0.0, STRANGE, 11)) if len(others) else np.zeros(11)
    return chosen, familiar + np.arange(11) * 1e-9  # strictly rising, as interpolation wants


def nearness(directions: Floats, chosen: Floats) -> Floats:
    """Return the mean similarity of unit vectors (n, D) to the nearest of the chosen ones (p, D), shape (n,)."""
    similarity, count = directions @ chosen.T, min(NEIGHBOURS, len(chosen))
    return np.asarray(np.partition(similarity, -count, axis=1)[:, -count:].mean(axis=1))


def trust(vectors: Floats, learned: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return how much prompts with these embeddings (n, D) are like those learned from (k, D).

    That is a part 0..1 (n,), and the similarity to the nearest anchors that it comes from (n,).
    """
    chosen, familiar = anchors(learned, seed)
    similarity = nearness(unit(vectors - learned.mean(axis=0)), chosen)
    return np.interp(similarity, familiar, np.linspace(0.0, 1.0, familiar.size)), similarity


def word_anchors(plain: Floats, words: int, seed: int) -> Floats:
    """Return the word pieces' part of the anchors' rows, as unit vectors (p, k), for rows (n, X) with k = `words`."""
    order = np.random.default_rng(seed).permutation(len(plain))
    count = max(1, min(ANCHORS, len(plain) // 2))
    return unit(plain[order[:count], plain.shape[1] - words :])


def _numbers(matrix: OutcomeMatrix, texts: list[str]) -> Floats:
    told = np.empty((len(texts), NUMBERS))
    for i, text in enumerate(texts):
        told[i] = prompt_numbers(text, recorded_tools(matrix.tools[i]) if matrix.tools[i] else ())
    return told


def _pieces(texts: list[str], seed: int) -> dict[str, Any]:
    """Return the arrays of latent semantic analysis; empty ones when there are too few texts or words."""
    n, found = len(texts), [word_pieces(text) for text in texts]
    document = np.concatenate([np.full(ids.size, i) for i, ids in enumerate(found)]) if n else np.empty(0, np.intp)
    seen = np.concatenate(found) if n else np.empty(0, np.intp)
    frequency = np.bincount(seen, minlength=1)
    kept = np.flatnonzero((frequency >= SEEN) & (frequency < n))
    if n < ENOUGH_TEXTS or kept.size < 2 * DIRECTIONS:
        return {"piece": np.zeros(0), "piece_weight": np.zeros(0, np.float32), "piece_table": np.zeros((0, 0))}
    from scipy.sparse import csr_matrix, diags  # type: ignore[import-untyped]

    weight = np.log((1.0 + n) / (1.0 + frequency[kept]))
    column = np.full(frequency.size, -1)
    column[kept] = np.arange(kept.size)
    held = column[seen] >= 0
    cells = (weight[column[seen[held]]], (document[held], column[seen[held]]))
    counts = csr_matrix(cells, shape=(n, kept.size))
    length = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    table = _directions(diags(1.0 / np.maximum(length, 1e-9)) @ counts, seed)
    return {
        "piece": kept.astype(np.float64),
        "piece_weight": weight.astype(np.float32),
        "piece_table": table.astype(np.float16),
    }


def _directions(counts: Any, seed: int) -> Floats:
    """Return the leading right singular vectors of a sparse matrix (n, r), as columns (r, DIRECTIONS)."""
    chance = np.random.default_rng(seed)
    sample = counts @ chance.standard_normal((counts.shape[1], DIRECTIONS + _EXTRA))
    for _ in range(_ROUNDS):
        sample = counts @ (counts.T @ np.linalg.qr(sample)[0])
    small = np.asarray((counts.T @ np.linalg.qr(sample)[0]).T)
    _, turned = np.linalg.eigh(small @ small.T)
    table = (turned[:, ::-1].T @ small)[:DIRECTIONS]
    table *= np.sign(table[np.arange(len(table)), np.abs(table).argmax(axis=1)])[:, None]
    return np.asarray(unit(table).T)


def _joined(blocks: list[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return blocks side by side, centred and scaled, with mean and scale of every column."""
    means = [block.mean(axis=0) for block in blocks]
    lengths = [
        float(np.sqrt(((b - mean) ** 2).sum(axis=1).mean())) or 1.0 for b, mean in zip(blocks, means, strict=True)
    ]
    scales = [np.full(b.shape[1], length * len(blocks) ** 0.5) for b, length in zip(blocks, lengths, strict=True)]
    mean, scale = np.concatenate(means), np.concatenate(scales)
    return (np.concatenate(blocks, axis=1) - mean) / scale, mean, scale


def unit(vectors: Floats) -> Floats:
    """Return vectors (n, D) at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
