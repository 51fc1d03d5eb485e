"""Kinds of prompts that outcomes show: found where they are, one where there are none, and of no use to noise."""

import numpy as np

from routeiq.learn.heads import Heads
from routeiq.learn.kinds import KINDS, kinds_of


def outcomes(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs that tell whether prompts are hard, and outcomes of six models of which three are strong."""
    chance = np.random.default_rng(0)
    hard = chance.random(n) < 0.5
    right = np.where(hard[:, None], [0.2] * 3 + [0.85] * 3, [0.95] * 6)
    rows = np.column_stack(
        [np.where(hard, 1.0, -1.0) + 0.5 * chance.standard_normal(n), chance.standard_normal((n, 9))]
    )
    return rows / 3.0, (chance.random((n, 6)) < right).astype(float)


def test_kinds_are_found_and_told_from_the_prompt() -> None:
    """On prompts that only strong models master a strong model is expected to do better, on others hardly."""
    rows, score = outcomes()
    heads = Heads.fit(rows[:500], score[:500], np.zeros(500, dtype=np.intp), np.zeros((500, 6)))
    expected = heads.predict(rows[500:]).kinds
    lead = expected[:, 3:].mean(axis=1) - expected[:, :3].mean(axis=1)
    assert lead[rows[500:, 0] > 0.2].mean() > 0.4
    assert lead[rows[500:, 0] < -0.2].mean() < 0.2


def test_parts_add_up() -> None:
    """Every prompt is of some kind, and kinds by their shares give the models' mean scores."""
    _, score = outcomes()
    likely, table = kinds_of(score)
    assert likely.shape == (600, KINDS)
    np.testing.assert_allclose(likely.sum(axis=1), 1.0)
    np.testing.assert_allclose(likely.mean(axis=0) @ table, score.mean(axis=0), atol=0.01)


def test_few_prompts_are_of_one_kind() -> None:
    """With a dozen prompts the kind's scores are the mean scores."""
    _, score = outcomes(12)
    likely, table = kinds_of(score)
    assert likely.shape == (12, 1)
    np.testing.assert_allclose(table[0], score.mean(axis=0))


def test_the_order_of_models_does_not_matter() -> None:
    """Models in another order give the same kinds, their columns in that order."""
    _, score = outcomes()
    np.testing.assert_allclose(kinds_of(score[:, ::-1])[1], kinds_of(score)[1][:, ::-1], atol=1e-9)
