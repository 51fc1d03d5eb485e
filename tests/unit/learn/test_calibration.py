"""Reliability of expected scores."""

import numpy as np
import pytest

from routeiq.learn.calibration import calibration_error, isotonic, platt, reliability
from routeiq.routing.trained import sigmoid

CHANCE = np.random.default_rng(0)
TRUE = sigmoid(CHANCE.standard_normal((4000, 3)) * 1.5)
CAME = (CHANCE.random(TRUE.shape) < TRUE).astype(np.float64)


def test_true_expectations_are_reliable() -> None:
    """The error of the true chances is no more than noise."""
    assert calibration_error(TRUE.ravel(), CAME.ravel()) < 0.015


def test_the_error_is_the_distance_by_hand() -> None:
    """Four forecasts of .9 of which two come true are .4 off."""
    assert calibration_error(np.full(4, 0.9), np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.4)


def test_maps_repair_expectations_that_lean_to_the_mean() -> None:
    """Shrunk forecasts have an error that Platt and isotonic maps, fitted on other prompts, mostly take away."""
    shrunk = 0.5 + 0.4 * (TRUE - 0.5)
    found = reliability(shrunk, CAME)
    assert found.error > 0.05
    assert found.error_platt < 0.5 * found.error
    assert found.error_isotonic < 0.5 * found.error
    assert found.platt[0] > 1.5


def test_platt_finds_the_curve_it_came_from() -> None:
    """Forecasts that are true have slope 1 and offset 0."""
    slope, offset = platt(TRUE.ravel(), CAME.ravel())
    assert slope == pytest.approx(1.0, abs=0.06)
    assert offset == pytest.approx(0.0, abs=0.06)


def test_isotonic_pools_what_falls() -> None:
    """Falling neighbours are replaced by their mean, and the knots rise."""
    at, level = isotonic(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(level, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(at, [0.1, 0.25, 0.4])


def test_constant_outcomes_are_no_obstacle() -> None:
    """Forecasts of what always, or never, happens give finite numbers."""
    for value in (0.0, 1.0):
        found = reliability(np.full((20, 2), 0.5), np.full((20, 2), value))
        assert np.isfinite([found.error, found.error_platt, found.error_isotonic, *found.platt]).all()
