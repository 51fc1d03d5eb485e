"""Fitting `knn`: what it learns, and that nothing but the data decides it."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.errors import DataError
from routeiq.learn import knn
from routeiq.learn.knn import Kernel, Shape, fit
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.training import predict, table_of
from routeiq.routing.codec import encode
from routeiq.routing.scorers.neighbours import NeighbourScorer
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

MATHS, VERSE = " ".join(WORDS["maths"][:5]), " ".join(WORDS["verse"][:5])


def fitted(matrix: OutcomeMatrix, **options: object) -> Artifact:
    """Fit on a matrix with its embeddings."""
    return fit(matrix, vectors(matrix), WordEmbedder().id, **options)


def scores(artifact: Artifact, *texts: str) -> np.ndarray:
    """Return what the served scorer predicts for texts, by model in the order of MODELS."""
    table = table_of(world(4))
    return predict(NeighbourScorer.from_artifact(artifact, table), table, WordEmbedder().embed_many(texts), "words@1")


def test_it_learns_which_model_is_good_at_what() -> None:
    """Predicted scores are near the abilities the outcomes were drawn from, topic by topic."""
    maths, verse = scores(fitted(world(800), kernels=(Kernel(mass=5.0),)), MATHS, VERSE)
    np.testing.assert_allclose(maths, [0.85, 0.9, 0.1], atol=0.15)
    np.testing.assert_allclose(verse, [0.2, 0.6, 0.9], atol=0.15)


@pytest.mark.parametrize("points", [512, 40])
def test_the_order_of_prompts_and_models_changes_nothing(points: int) -> None:
    """Permuted rows and columns give the same bytes: no label is decided by row order."""
    matrix, shape = world(200), Shape(points=points)
    chance = np.random.default_rng(5)
    shuffled = matrix.rows(chance.permutation(len(matrix))).columns(chance.permutation(3))
    assert encode(fitted(shuffled, shape=shape)) == encode(fitted(matrix, shape=shape))


def test_the_same_seed_gives_the_same_bytes_and_another_may_not() -> None:
    """Chance enters by the seed only."""
    matrix, shape = world(200), Shape(points=30)
    assert encode(fitted(matrix, shape=shape)) == encode(fitted(matrix, shape=shape))
    assert encode(fitted(matrix, shape=shape, seed=1)).arrays != encode(fitted(matrix, shape=shape)).arrays


def test_ties_are_predicted_as_ties() -> None:
    """Models with equal outcomes get equal scores, whatever their place."""
    matrix = world(200)
    matrix.score[:, 2] = matrix.score[:, 0]
    found = scores(fitted(matrix), MATHS, VERSE)
    np.testing.assert_allclose(found[:, 2], found[:, 0], rtol=1e-6)


def test_prompts_that_all_models_failed_do_not_change_the_ranking() -> None:
    """All-wrong rows lower every model alike; an argmax label would have named one of them."""
    matrix = world(400)
    failed = np.arange(len(matrix)) % 4 == 0
    spoiled = replace(matrix, score=np.where(failed[:, None], 0.0, matrix.score))
    kernel = (Kernel(threshold=0.0, mass=5.0),)
    before, after = (scores(fitted(m, kernels=kernel), MATHS, VERSE) for m in (matrix, spoiled))
    assert (after < before).all()
    assert before.argmax(axis=1).tolist() == after.argmax(axis=1).tolist()
    nothing = scores(fitted(replace(matrix, score=np.zeros_like(matrix.score))), MATHS)
    np.testing.assert_allclose(nothing, 0.0, atol=1e-9)


def test_a_strange_prompt_gets_the_global_means() -> None:
    """Words never seen in training carry little evidence, so the prediction stays near the means."""
    matrix = world(800)
    found = scores(fitted(matrix, kernels=(Kernel(threshold=0.3, mass=20.0),)), "zebra quux flange", MATHS)
    mean = matrix.mean_score()
    assert np.abs(found[0] - mean).max() < 0.3 * np.abs(found[1] - mean).max()


def test_missing_outcomes_are_not_counted_as_failures() -> None:
    """A model that was asked half of the prompts is scored by those it was asked."""
    matrix = world(800)
    asked = np.random.default_rng(2).random(len(matrix)) < 0.5
    matrix.score[~asked, 1] = np.nan
    found = scores(fitted(matrix, kernels=(Kernel(mass=5.0),)), MATHS, VERSE)
    np.testing.assert_allclose(found[:, 1], [0.9, 0.6], atol=0.15)


def test_few_prompts_use_the_default_kernel() -> None:
    """Below a hundred complete prompts nothing is tuned, and the manifest says so."""
    small, large = fitted(world(60)).manifest, fitted(world(300)).manifest
    assert small.training["chosen_by"] == "default"
    assert "cross-validation" in large.training["chosen_by"]
    assert large.metrics["cv_aiq"] > 0


def test_the_chosen_kernel_is_cautious_where_there_is_nothing_to_learn() -> None:
    """With scores shuffled over prompts the kernel with the largest prior mass is chosen."""
    matrix = world(400)
    shuffled = replace(matrix, score=matrix.score[np.random.default_rng(7).permutation(len(matrix))])
    assert fitted(shuffled).manifest.training["mass"] == max(kernel.mass for kernel in knn.GRID)


def test_the_manifest_says_what_was_learned_from_what() -> None:
    """Candidates, embedder, data fingerprint, seed and hyper-parameters are there."""
    matrix = world(200)
    manifest = fitted(matrix, seed=3).manifest
    assert manifest.candidates == MODELS
    assert (manifest.strategy, manifest.embedder, manifest.dimensions) == ("knn", "words@1", 24)
    assert manifest.version == f"knn-{manifest.sha256[:12]}"
    assert manifest.training["fingerprint"] == matrix.fingerprint()
    assert {"seed", "neighbours", "threshold", "mass", "prompts"} <= set(manifest.training)


def test_too_little_data_is_an_error() -> None:
    """One prompt, one model, or vectors that are not numbers cannot be learned from."""
    matrix = world(20)
    with pytest.raises(DataError, match="1 prompt"):
        fitted(matrix.rows([0]))
    with pytest.raises(DataError, match="1 model"):
        fitted(matrix.columns([0]))
    with pytest.raises(DataError, match="not finite"):
        fit(matrix, np.full((20, 24), np.nan), "words@1")
