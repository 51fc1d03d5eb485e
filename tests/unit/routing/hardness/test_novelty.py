"""Signs that a prompt's kind of task was not trained on, what is learned of them, and what is still believed."""

import numpy as np
import pytest

from routeiq.learn.novelty import NOTHING, learn, log_odds, weigh
from routeiq.routing.hardness.novelty import SIGNS, Novelty, believed, signs


def logits_of(sure: float, prompts: int, seed: int) -> np.ndarray:
    """Return logits of four categories, one of which stands out by so much."""
    chance = np.random.default_rng(seed)
    found = chance.standard_normal((prompts, 4)) * 0.3
    found[np.arange(prompts), chance.integers(4, size=prompts)] += sure
    return found


def told(sure: float, near: float, seed: int, prompts: int = 300) -> np.ndarray:
    """Return the signs of prompts of which the category is so sure and known prompts are so near."""
    chance = np.random.default_rng(seed + 100)
    similar = near + 0.05 * chance.standard_normal((2, prompts))
    return signs(logits_of(sure, prompts, seed), similar[0], similar[1])


KNOWN, NEW = told(4.0, 0.6, 0), told(1.0, 0.3, 1)


def test_prompts_of_new_tasks_are_believed_less() -> None:
    """Where categories are unsure and nothing near is known, little is believed; else nearly all."""
    weights = weigh(KNOWN, NEW)
    assert believed(log_odds(told(4.0, 0.6, 2), weights)).mean() > 0.9
    assert believed(log_odds(told(1.0, 0.3, 3), weights)).mean() < 0.2


def test_signs_that_tell_nothing_leave_nearly_all_believed() -> None:
    """When prompts look the same with their task left out, belief stays near one."""
    weights = weigh(told(2.0, 0.5, 4), told(2.0, 0.5, 5))
    assert believed(log_odds(told(2.0, 0.5, 6), weights)).mean() > 0.85


def test_what_is_believed_of_a_prompt_was_learned_from_other_tasks() -> None:
    """Signs of one fold's prompts do not enter the weights that judge them."""
    known, new, folds = told(2.2, 0.5, 7), told(1.8, 0.45, 8), np.arange(len(KNOWN)) % 3
    before = learn([known], new, folds)
    changed = new.copy()
    changed[folds == 1] += 5.0
    after = learn([known], changed, folds)
    np.testing.assert_allclose(before.runs[0][folds == 1], after.runs[0][folds == 1])
    assert not np.allclose(before.runs[0][folds == 0], after.runs[0][folds == 0])


@pytest.mark.parametrize("words", [0, 6])
def test_service_believes_as_training_did(words: int) -> None:
    """One prompt alone gives the signs and the belief of the same prompt among many, with and without word pieces."""
    chance = np.random.default_rng(9)
    anchors = chance.standard_normal((20, words))
    anchors /= np.maximum(np.linalg.norm(anchors, axis=1, keepdims=True), 1e-9)
    weights, logits, near = weigh(KNOWN, NEW), logits_of(2.0, 10, 7), chance.random(10)
    rows = chance.standard_normal((10, words))
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    near_words = np.sort(unit @ anchors.T, axis=1)[:, -5:].mean(axis=1) if words else np.zeros(10)
    expected = believed(log_odds(signs(logits, near, near_words), weights))
    novelty = Novelty.of({"piece_anchor": anchors, "novelty": weights})
    for i in range(10):
        found = novelty.believed(logits[i], float(near[i]), rows[i].astype(np.float32))
        assert found == pytest.approx(expected[i], abs=1e-5)


def test_no_weights_believe_everything() -> None:
    """An artifact that learned no signs believes every prompt."""
    novelty = Novelty.of({"piece_anchor": np.zeros((3, 2)), "novelty": NOTHING})
    assert novelty.believed(np.zeros(4), -1.0, np.zeros(2, np.float32)) == 1.0
    assert NOTHING.shape == (SIGNS + 1,)
