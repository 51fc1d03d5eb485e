"""Products of a large matrix with one vector, in pieces that BLAS never spreads over threads.

A BLAS that starts threads for one decision gains microseconds when the machine is idle and loses milliseconds when it
is not: every core of a gateway already serves requests. OpenBLAS keeps a product on the calling thread below 9,216
elements, so a matrix is cut into pieces smaller than that, and one call of numpy goes through all of them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

_ELEMENTS = 9215
_LARGE = 1 << 18


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Blocked:
    """A matrix of shape (rows, columns), float32, cut for products with one vector at a time.

    A large one is not copied where it is float32 and lies in memory row by row: mapped from a file, its pages stay
    those that all processes share. A small one is padded to whole pieces, which saves a second product.
    """

    matrix: NDArray[Any] = field(repr=False)
    rows: int = field(init=False)
    pieces: Singles = field(init=False, repr=False)
    rest: Singles | None = field(init=False, repr=False)
    """The rows at the end of a large matrix that make no whole piece."""

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        height = min(max(1, _ELEMENTS // max(1, columns)), max(1, rows))
        if self.matrix.size >= _LARGE:
            whole: Singles = np.require(self.matrix, np.float32, ("C", "A"))
            cut = rows // height * height
            pieces, rest = whole[:cut], whole[cut:] if cut < rows else None
        else:
            pieces, rest = np.zeros((-(-rows // height) * height, columns), dtype=np.float32), None
            pieces[:rows] = self.matrix
            whole = pieces[:rows]
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "pieces", pieces.reshape(len(pieces) // height, height, columns))
        object.__setattr__(self, "rest", rest)
        object.__setattr__(self, "matrix", whole)

    def times(self, vector: Singles) -> Singles:
        """Return matrix @ vector, shape (rows,); `vector` has shape (columns,)."""
        product: Singles = np.matmul(self.pieces, vector).reshape(-1)
        if self.rest is None:
            return product[: self.rows]
        return np.concatenate((product, np.matmul(self.rest, vector)))
