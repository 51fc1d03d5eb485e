"""The geometry learned strategies search in: a small space of directions, and points that stand for many prompts.

Owns the linear algebra that is fitted to embeddings alone, without any outcome. What is stored at a point is the
business of the family that uses it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Subspace:
    """The d directions along which embeddings of D dimensions vary most, partly whitened.

    `mean` has shape (D,); `basis` has shape (d, D), each row a principal direction divided by `scale`, its standard
    deviation to the power of the whitening. `familiarity` is the share of a typical prompt's length that lies in the
    subspace: a prompt with less of it is unlike the ones the subspace was fitted to.
    """

    mean: Singles
    basis: Singles
    scale: Singles
    familiarity: float

    def directions(self, vectors: Singles) -> Singles:
        """Return the projections of vectors (n, D) at unit length, shape (n, d)."""
        return _unit((vectors - self.mean) @ self.basis.T)

    def trust(self, vectors: Singles) -> Singles:
        """Return how familiar vectors (n, D) are, 1 for a typical training prompt and less for stranger ones, (n,)."""
        centred = vectors - self.mean
        inside = np.linalg.norm((centred @ self.basis.T) * self.scale, axis=1)
        share = inside / np.maximum(np.linalg.norm(centred, axis=1), 1e-9)
        return np.asarray(np.minimum(1.0, share / self.familiarity), dtype=np.float32)


def fit_subspace(vectors: Singles, dimensions: int, whitening: float) -> Subspace:
    """Return the principal subspace of vectors (n, D).

    `whitening` of 0 keeps the lengths of the directions, 1 makes all alike; in between, directions that vary little
    but tell prompts apart get more of a say. Fewer directions than asked for come back when the data has fewer.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors.astype(np.float64) - mean
    variance, directions = np.linalg.eigh(centred.T @ centred / len(vectors))
    kept = np.flatnonzero(variance > max(1e-12, 1e-9 * float(variance[-1])))[::-1][: min(dimensions, len(vectors) - 1)]
    if not kept.size:  # all vectors alike
        kept = np.array([variance.size - 1])
    basis = directions[:, kept].T
    basis *= np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)])[:, None]
    scale = np.maximum(variance[kept], 1e-12) ** (whitening / 2.0)
    inside = np.linalg.norm(centred @ basis.T, axis=1) / np.maximum(np.linalg.norm(centred, axis=1), 1e-9)
    return Subspace(
        mean=mean.astype(np.float32),
        basis=(basis / scale[:, None]).astype(np.float32),
        scale=scale.astype(np.float32),
        familiarity=max(float(np.median(inside)), 1e-6),
    )


def prototypes(directions: Singles, count: int, chance: np.random.Generator, rounds: int = 12) -> NDArray[np.intp]:
    """Return which of `count` prototypes each unit vector (n, d) belongs to, by spherical k-means, shape (n,).

    With no more vectors than prototypes each vector is its own. A prototype may end up with nobody.
    """
    n = len(directions)
    if n <= count:
        return np.arange(n)
    centres = directions[np.sort(chance.choice(n, count, replace=False))]
    belongs = _nearest(directions, centres)
    for _ in range(rounds):
        centres = _unit(sums(directions, belongs, count).astype(np.float32))
        moved = _nearest(directions, centres)
        if np.array_equal(moved, belongs):
            break
        belongs = moved
    return belongs


def sums(values: NDArray[np.floating[Any]], belongs: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return the sum of the rows of `values` (n, c) that belong to each of `count` groups, shape (count, c)."""
    order = np.argsort(belongs, kind="stable")
    present, starts = np.unique(belongs[order], return_index=True)
    total = np.zeros((count, values.shape[1]))
    total[present] = np.add.reduceat(values[order].astype(np.float64), starts, axis=0)
    return total


def _nearest(directions: Singles, centres: Singles) -> NDArray[np.intp]:
    parts = [
        (directions[at : at + _ROWS_AT_ONCE] @ centres.T).argmax(axis=1)
        for at in range(0, len(directions), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _unit(vectors: NDArray[np.floating[Any]]) -> Singles:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)
