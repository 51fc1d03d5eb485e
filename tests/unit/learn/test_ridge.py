"""Ridge regression of many targets, with strengths by generalised cross-validation."""

from dataclasses import replace

import numpy as np

from routeiq.learn.fitting import Lesson
from routeiq.learn.ridge import STRENGTHS, Spectrum, token_arrays
from tests.unit.learn.scene import vectors, world


def centred(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Random inputs with mean 0."""
    values = np.random.default_rng(seed).standard_normal((rows, columns))
    return values - values.mean(axis=0)


def test_weights_solve_the_normal_equations() -> None:
    """(X'X + strength) w = X'y, for each target with its own strength."""
    inputs, targets = centred(60, 7), centred(60, 3, seed=1)
    weights = Spectrum.of(inputs).weights(targets, np.array([0.5, 20.0, np.inf]))
    for at, strength in enumerate((0.5, 20.0)):
        expected = np.linalg.solve(inputs.T @ inputs + strength * np.eye(7), inputs.T @ targets[:, at])
        np.testing.assert_allclose(weights[at], expected, rtol=1e-8)
    assert (weights[2] == 0).all()


def test_noise_gets_an_infinite_strength_and_signal_a_finite_one() -> None:
    """A target without signal is predicted by its mean."""
    inputs = centred(400, 20)
    signal = inputs @ np.ones(20) + centred(400, 1, seed=2)[:, 0]
    noise = centred(400, 30, seed=3)
    chosen = Spectrum.of(inputs).strengths(np.column_stack([signal, noise]))
    assert chosen[0] < 100
    assert np.isinf(chosen[1:]).mean() > 0.5
    assert np.median(chosen[1:]) == np.inf


def test_a_constant_target_is_not_fitted() -> None:
    """Where every strength is as good, the strongest is chosen."""
    assert Spectrum.of(centred(50, 5)).strengths(np.zeros((50, 2))).tolist() == [np.inf, np.inf]
    assert STRENGTHS[-1] == np.inf


def test_more_inputs_than_prompts_are_no_error() -> None:
    """Two prompts in many dimensions give finite weights."""
    spectrum = Spectrum.of(centred(2, 24))
    targets = np.array([[1.0], [-1.0]])
    assert np.isfinite(spectrum.weights(targets, spectrum.strengths(targets))).all()


def test_expected_tokens_follow_the_prompt_and_keep_their_mean() -> None:
    """Answers in mathematics are four times as long, and the expectations average to about the recorded mean."""
    matrix = world(400)
    lesson = Lesson.of(matrix, vectors(matrix), "words@1", 0)
    arrays = token_arrays(lesson, Spectrum.of(lesson.inputs))
    ratio = np.exp(lesson.vectors @ arrays["token_weights"].T + arrays["token_offset"])
    maths = np.array([category == "maths" for category in lesson.matrix.categories])
    np.testing.assert_allclose(ratio.mean(axis=0), 1.0, rtol=1e-4)
    assert (ratio[maths].mean(axis=0) > 3 * ratio[~maths].mean(axis=0)).all()


def test_tokens_that_were_never_recorded_are_not_fitted() -> None:
    """A model without token counts has weights of zero."""
    matrix = world(100)
    tokens = matrix.output_tokens.copy()
    tokens[:, 1] = np.nan
    lesson = Lesson.of(replace(matrix, output_tokens=tokens), vectors(matrix), "words@1", 0)
    arrays = token_arrays(lesson, Spectrum.of(lesson.inputs))
    assert (arrays["token_weights"][1] == 0).all()
    assert np.isfinite(arrays["token_weights"]).all()
