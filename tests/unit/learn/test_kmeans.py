"""Fitting `kmeans`: the table of clusters."""

import numpy as np

from routeiq.learn.kmeans import fit
from tests.unit.learn.scene import vectors, world


def test_each_cluster_holds_the_shrunk_mean_of_its_prompts() -> None:
    """Evidence adds up to the recorded scores, and every table entry is between the means of a topic and of all."""
    matrix = world(400)
    found = fit(matrix, vectors(matrix), "words@1").arrays
    np.testing.assert_allclose(found["evidence"].sum(axis=0), 400)
    poet = found["scores"][:, 2]
    assert poet.min() < 0.35
    assert poet.max() > 0.65
    assert ((found["scores"] >= 0) & (found["scores"] <= 1)).all()
    assert found["tokens"].max() > 2 * found["tokens"].min()


def test_few_prompts_make_one_cluster_of_training_means() -> None:
    """With too little to cross-validate, the table is the means."""
    matrix = world(20)
    found = fit(matrix, vectors(matrix), "words@1")
    assert found.manifest.training["clusters"] == 1
    np.testing.assert_allclose(found.arrays["scores"][0], matrix.mean_score())
