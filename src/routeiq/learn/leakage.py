"""Prompts of a split that also stand in training: word for word, or nearly.

Owns the comparison. A figure on prompts that were trained on says nothing of new ones.
"""

import hashlib
import unicodedata
from dataclasses import dataclass

import numpy as np

from routeiq.learn.geometry import Singles
from routeiq.learn.matrix import OutcomeMatrix

NEAR = 0.98
"""Cosine of embeddings above which two prompts count as nearly the same."""

SHOWN = 20

_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Leakage:
    """How many prompts of the split stand in training.

    `same` share a normalised text with a training prompt, `inside` with another prompt of the split; `near` have an
    embedding within a cosine of `NEAR` of a training prompt's without the same text, None when there are no embeddings.
    `examples` are pairs (id in the split, id in training) of the first of both kinds.
    """

    prompts: int
    same: int
    inside: int
    near: int | None
    examples: tuple[tuple[str, str], ...]


def digest(text: str) -> str:
    """Return the digest of a prompt's text in Unicode normal form C, without outer white space, in one case."""
    return hashlib.sha256(
        unicodedata.normalize("NFC", text).strip().casefold().encode("utf-8", "surrogatepass")
    ).hexdigest()


def leakage(
    train: OutcomeMatrix, asked: OutcomeMatrix, train_vectors: Singles | None = None, vectors: Singles | None = None
) -> Leakage:
    """Return what a split shares with training; `train_vectors` (t, D) and `vectors` (n, D) are embeddings."""
    known = {digest(text): name for text, name in zip(train.texts, train.ids, strict=True)}
    digests = [digest(text) for text in asked.texts]
    twins = [known.get(one) for one in digests]
    pairs = [(name, twin) for name, twin in zip(asked.ids, twins, strict=True) if twin is not None]
    same, near = len(pairs), None
    if train_vectors is not None and vectors is not None and len(train):
        other = np.array([twin is None for twin in twins])
        found = _near(train_vectors, vectors)
        pairs += [(asked.ids[i], train.ids[j]) for i, j in found if other[i]]
        near = len(pairs) - same
    return Leakage(len(asked), same, len(digests) - len(set(digests)), near, tuple(pairs[:SHOWN]))


def _near(train: Singles, asked: Singles) -> list[tuple[int, int]]:
    """Return for each prompt with a near one in training its position and the nearest one's."""
    directions = _directions(train)
    found = []
    for start in range(0, len(asked), _AT_ONCE):
        cosine = _directions(asked[start : start + _AT_ONCE]) @ directions.T
        nearest = cosine.argmax(axis=1)
        close = cosine[np.arange(len(cosine)), nearest] > NEAR
        found += [(start + int(i), int(nearest[i])) for i in np.flatnonzero(close)]
    return found


def _directions(vectors: Singles) -> Singles:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)
