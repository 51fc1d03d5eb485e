"""Fitting `mf`: the factors, and the filling of missing cells."""

import numpy as np
import pytest

from routeiq.learn.mf import Factors, _factorise
from routeiq.learn.ridge import Spectrum


def low_rank(rank: int = 2, prompts: int = 600, models: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and residuals that are a product of few dimensions with a little noise."""
    chance = np.random.default_rng(0)
    inputs = chance.standard_normal((prompts, 12))
    inputs -= inputs.mean(axis=0)
    vectors = chance.standard_normal((rank, models))
    vectors -= vectors.mean(axis=1, keepdims=True)
    true = inputs @ chance.standard_normal((12, rank)) @ vectors
    return inputs, true + 0.1 * chance.standard_normal((prompts, models))


def test_a_product_of_two_dimensions_is_found_by_two() -> None:
    """Rank two explains nearly everything, rank one does not."""
    inputs, residual = low_rank()
    everything = np.ones(residual.shape, dtype=bool)

    def left(rank: int) -> float:
        projection, models = _factorise(Spectrum.of(inputs), residual, everything, Factors(rank, 1.0))
        assert projection.shape == (rank, 12)
        return float(((residual - inputs @ projection.T @ models) ** 2).sum() / (residual**2).sum())

    assert left(2) < 0.01
    assert left(1) > 0.05


def test_missing_cells_are_filled_by_the_product() -> None:
    """With a third of the cells missing, the missing ones are predicted nearly as well as the known ones."""
    inputs, residual = low_rank()
    known = np.random.default_rng(1).random(residual.shape) < 0.67
    projection, models = _factorise(Spectrum.of(inputs), np.where(known, residual, 0.0), known, Factors(2, 1.0))
    wrong = residual - inputs @ projection.T @ models
    assert (wrong[~known] ** 2).mean() < 0.05 * (residual**2).mean()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_vectors_of_the_models_are_orthonormal_and_have_a_fixed_sign(rank: int) -> None:
    """So that the same data always gives the same artifact."""
    inputs, residual = low_rank(3)
    _, models = _factorise(Spectrum.of(inputs), residual, np.ones(residual.shape, dtype=bool), Factors(rank, 1.0))
    np.testing.assert_allclose(models @ models.T, np.eye(rank), atol=1e-9)
    assert (models[np.arange(rank), np.abs(models).argmax(axis=1)] > 0).all()
