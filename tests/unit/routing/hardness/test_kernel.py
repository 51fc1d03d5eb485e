"""The likeness of a prompt to landmarks: alike in training and in service, and highest for the landmark itself."""

import numpy as np

from routeiq.routing.hardness.kernel import Kernel, likeness

CHANCE = np.random.default_rng(0)
RAW = CHANCE.standard_normal((40, 30)) * 3.0 + 1.0
MEAN, SCALE = RAW.mean(axis=0), RAW.std(axis=0) * 30**0.5
PLAIN = (RAW - MEAN) / SCALE


def test_service_computes_what_training_did() -> None:
    """The likeness of a row as it is read equals that of the scaled row to the same landmarks."""
    kernel = Kernel.of({"input_mean": MEAN, "input_scale": SCALE, "landmark": PLAIN[:12].astype(np.float32)})
    for raw, expected in zip(RAW, likeness(PLAIN, PLAIN[:12]), strict=True):
        np.testing.assert_allclose(kernel(kernel.scaled(raw.astype(np.float32))), expected, atol=1e-5)


def test_a_landmark_is_like_itself_and_nothing_is_liker() -> None:
    """Likeness is 1 between a row and itself, less than that elsewhere, and never negative."""
    found = likeness(PLAIN, PLAIN)
    np.testing.assert_allclose(found.diagonal(), 1.0)
    assert (found[~np.eye(len(found), dtype=bool)] < 1.0).all()
    assert (found > 0.0).all()
