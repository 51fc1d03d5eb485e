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


@dataclass(frozen=True, slots=True, eq=False)
class Blocked:
    """A matrix of shape (rows, columns), float32, cut for products with one vector at a time."""

    matrix: NDArray[Any] = field(repr=False)
    rows: int = field(init=False)
    pieces: Singles = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        height = min(max(1, _ELEMENTS // max(1, columns)), max(1, rows))
        count = -(-rows // height)
        padded = np.zeros((count * height, columns), dtype=np.float32)
        padded[:rows] = self.matrix
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "pieces", padded.reshape(count, height, columns))
        object.__setattr__(self, "matrix", padded[:rows])

    def times(self, vector: Singles) -> Singles:
        """Return matrix @ vector, shape (rows,); `vector` has shape (columns,)."""
        product: Singles = np.matmul(self.pieces, vector).reshape(-1)[: self.rows]
        return product
