"""What fitting a family has in common: folds, cautious choices, and how much of a prediction to believe."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.learn.fitting import KEPT, Lesson, input_line, most_cautious, row_centred, row_error, slope
from tests.unit.learn.scene import vectors, world


def lesson(prompts: int = 200, missing: float = 0.0) -> Lesson:
    """The toy world as a lesson."""
    matrix = world(prompts)
    score = np.where(np.random.default_rng(1).random(matrix.score.shape) < missing, np.nan, matrix.score)
    return Lesson.of(replace(matrix, score=score), vectors(matrix), "words@1", seed=0)


def test_inputs_are_centred_and_of_mean_squared_length_one() -> None:
    """So that strengths of regularisation mean the same for every embedder."""
    inputs = lesson().inputs
    np.testing.assert_allclose(inputs.mean(axis=0), 0.0, atol=1e-9)
    assert (inputs**2).sum(axis=1).mean() == pytest.approx(1.0)


def test_a_missing_score_is_no_residual() -> None:
    """Unknown cells have residual 0, and the known ones of a model sum to 0."""
    found = lesson(missing=0.4)
    assert 0.3 < (~found.known).mean() < 0.5
    assert (found.residual[~found.known] == 0).all()
    np.testing.assert_allclose(found.residual.sum(axis=0), 0.0, atol=1e-9)


def test_a_text_that_stands_there_twice_is_in_one_fold() -> None:
    """A prompt is never predicted from itself."""
    matrix = world(200)
    doubled = replace(matrix, texts=matrix.texts[:100] * 2)
    found = Lesson.of(doubled, vectors(doubled), "words@1", seed=0)
    fold_of = dict(zip(found.matrix.texts, found.folds(), strict=True))
    assert all(fold_of[text] == fold for text, fold in zip(found.matrix.texts, found.folds(), strict=True))
    assert set(fold_of.values()) == set(range(5))


def test_weights_for_inputs_become_weights_for_embeddings() -> None:
    """What serves computes from the embedding as it comes what was fitted to centred and scaled inputs."""
    found, chance = lesson(), np.random.default_rng(0)
    weights, offset = chance.standard_normal((3, 24)), chance.standard_normal(3)
    raw, raw_offset = found.raw(weights, offset)
    expected = found.inputs @ weights.T + offset
    np.testing.assert_allclose(found.vectors @ raw.T + raw_offset, expected, rtol=1e-4, atol=1e-4)


def test_what_all_models_share_on_a_prompt_does_not_count_as_error() -> None:
    """A prediction that is off by the same amount for each model chooses as well as a perfect one."""
    found = lesson(missing=0.2)
    shifted = found.residual + np.random.default_rng(0).standard_normal((len(found), 1))
    np.testing.assert_allclose(row_error(shifted, found.residual, found.known), 0.0, atol=1e-9)
    assert (row_centred(shifted, found.known)[~found.known] == 0).all()


def test_the_most_cautious_option_that_keeps_most_of_the_fall_is_chosen() -> None:
    """Neither the best by a hair nor one that gives up what can be had."""
    found = lesson()
    centred = row_centred(found.residual, found.known)
    total = (centred**2).sum()

    def falling(share: float) -> np.ndarray:
        return centred * (1.0 - np.sqrt(1.0 - share))

    predicted = np.stack([falling(0.5), falling(0.8 * KEPT + 0.001), falling(0.8)])
    falls = [(total - row_error(p, found.residual, found.known).sum()) / total for p in predicted]
    np.testing.assert_allclose(falls, [0.5, 0.8 * KEPT + 0.001, 0.8], atol=1e-6)
    assert most_cautious(predicted, found) == 1


def test_where_nothing_helps_the_most_cautious_option_is_chosen() -> None:
    """Options that only raise the error lose to the first."""
    found = lesson()
    noise = np.random.default_rng(3).standard_normal((3, *found.residual.shape))
    assert most_cautious(noise * np.array([1.0, 2.0, 0.5])[:, None, None], found) == 0


def test_noise_is_not_believed_and_signal_is() -> None:
    """The slope is 0 for predictions without relation to the scores, the right share for overconfident ones."""
    found = lesson(400)
    noise = np.random.default_rng(3).standard_normal(found.residual.shape)
    assert slope(noise, found.residual, found.known) == 0.0
    assert slope(np.zeros_like(noise), found.residual, found.known) == 0.0
    assert slope(found.residual, found.residual, found.known) == pytest.approx(1.0)
    assert slope(2.5 * found.residual, found.residual, found.known) == pytest.approx(0.4)
    assert slope(-found.residual, found.residual, found.known) == 0.0


def test_shuffled_scores_are_rarely_believed() -> None:
    """Of forty predictions that know nothing, at most a few pass for signal."""
    found, chance = lesson(200), np.random.default_rng(11)
    passed = [slope(chance.permutation(found.residual), found.residual, found.known) > 0 for _ in range(40)]
    assert sum(passed) <= 4


def test_the_input_tokens_that_a_model_counts_are_learned() -> None:
    """Slope and offset are those of the recorded counts; a model of which too little is known counts as the prompt."""
    matrix = world(80)
    length = np.linspace(10.0, 300.0, 80)
    counted = np.stack([1.5 * length + 180.0, length, np.full(80, np.nan)], axis=1)
    line = input_line(replace(matrix, prompt_tokens=length, input_tokens=counted))
    np.testing.assert_allclose(line, [[1.5, 1.0, 1.0], [180.0, 0.0, 0.0]], atol=1e-9)
    same = input_line(replace(matrix, prompt_tokens=np.full(80, 20.0), input_tokens=counted))
    np.testing.assert_allclose(same[:, 0], [0.0, counted[:, 0].mean()])
