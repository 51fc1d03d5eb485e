"""Products in pieces are the products."""

import numpy as np
import pytest

from routeiq.routing.blocks import Blocked


@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 5), (512, 64), (65, 256), (300, 512), (7, 10_000), (1_100, 256), (1_152, 256)]
)
def test_a_product_in_pieces_is_the_product(shape: tuple[int, int]) -> None:
    """Every shape gives the same numbers as one product, without the padding."""
    chance = np.random.default_rng(0)
    matrix = chance.standard_normal(shape).astype(np.float32)
    vector = chance.standard_normal(shape[1]).astype(np.float32)
    found = Blocked(matrix).times(vector)
    assert found.shape == (shape[0],)
    np.testing.assert_allclose(found, matrix @ vector, rtol=1e-4, atol=1e-4)


def test_no_piece_is_large_enough_to_wake_threads() -> None:
    """Pieces stay below the 9,216 elements from which OpenBLAS uses several cores."""
    assert np.prod(Blocked(np.ones((5_500, 256))).pieces.shape[1:]) < 9_216


def test_a_large_matrix_stays_where_it_is() -> None:
    """It is looked at in place, also when nobody may write there; what is of another kind is copied."""
    matrix = np.ones((2_000, 256), dtype=np.float32)
    matrix.flags.writeable = False
    assert np.shares_memory(Blocked(matrix).pieces, matrix)
    assert not np.shares_memory(Blocked(matrix[:, ::2].astype(np.float64)).pieces, matrix)
    assert not np.shares_memory(Blocked(matrix[:10]).pieces, matrix)
