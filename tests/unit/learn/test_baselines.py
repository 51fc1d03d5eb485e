"""The argmax-label recipe, which is there to be compared with."""

import numpy as np
import pytest

from routeiq.learn import baselines
from tests.unit.learn.scene import vectors, world


def test_the_first_of_equals_is_the_label() -> None:
    """Ties, prompts that nobody solved and missing scores are labelled by row order."""
    score = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [np.nan, 0.2, 0.9]])
    assert baselines.argmax_labels(score).tolist() == [0, 0, 2]
    assert baselines.tied(score) == pytest.approx(2 / 3)


def test_permuting_the_models_changes_what_the_recipe_learns() -> None:
    """The order of the models decides labels, which is the fault of the recipe that the baseline has to show."""
    score = world(200).score
    order = np.array([2, 1, 0])
    assert (order[baselines.argmax_labels(score[:, order])] != baselines.argmax_labels(score)).any()


@pytest.mark.parametrize("kind", ["knn", "svm", "logistic"])
def test_the_order_of_the_models_decides_who_gets_the_verse(kind: baselines.Classifier) -> None:
    """Each classifier sends most verse to the dear model or to the better and cheaper poet, whichever stands first."""
    matrix = world(300)
    space = vectors(matrix)
    verse = np.array([topic == "verse" for topic in matrix.categories[200:]])
    for order in ([0, 1, 2], [2, 1, 0]):
        chosen = baselines.argmax_label_choices(kind, matrix.score[:200, order], space[:200], space[200:])
        first = min((1, 2), key=order.index)
        assert (np.array(order)[chosen[verse]] == first).mean() > 0.5


def test_a_single_label_needs_no_classifier() -> None:
    """Where one model is best everywhere, it is what the recipe always chooses."""
    score = np.tile([0.0, 1.0], (10, 1))
    space = np.eye(10, dtype=np.float32)
    assert baselines.argmax_label_choices("svm", score, space, space[:3]).tolist() == [1, 1, 1]
