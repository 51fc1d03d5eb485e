"""Messages between prompts, tasks and models: what the nodes come to hold."""

from dataclasses import replace

import numpy as np

from routeiq.core.artifact import Artifact
from routeiq.learn.graph import fit
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.training import predict, table_of
from routeiq.routing.scorers.graph import MessageScorer
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

MATHS, VERSE = " ".join(WORDS["maths"][:5]), " ".join(WORDS["verse"][:5])
POET = MODELS.index("poet")


def fitted(matrix: OutcomeMatrix) -> Artifact:
    """Fit on a matrix with its embeddings."""
    return fit(matrix, vectors(matrix), WordEmbedder().id)


def scores(artifact: Artifact, *texts: str) -> np.ndarray:
    """Return what the served scorer predicts for texts, by model in the order of MODELS."""
    table = table_of(world(4))
    return predict(MessageScorer.from_artifact(artifact, table), table, WordEmbedder().embed_many(texts), "words@1")


def test_a_task_holds_what_models_scored_on_its_prompts() -> None:
    """Each category is a node; the one of verse speaks for the poet, the one of mathematics against it."""
    artifact = fitted(world(800))
    assert artifact.manifest.training["tasks"] == 2
    said = artifact.arrays["task_scores"][:, POET]
    assert said.min() < -0.1
    assert said.max() > 0.1


def test_without_labels_similar_prompts_are_a_task() -> None:
    """What is learned does not hang on somebody having named the categories."""
    matrix = world(800)
    artifact = fitted(replace(matrix, categories=("",) * len(matrix)))
    assert artifact.manifest.training["tasks"] > 2
    maths, verse = scores(artifact, MATHS, VERSE)
    assert verse[POET] > maths[POET] + 0.3


def test_a_prompt_between_two_tasks_hears_both() -> None:
    """Half verse and half mathematics, it is expected to go as one and the other, in part."""
    artifact = fitted(world(800))
    maths, verse, both = scores(artifact, MATHS, VERSE, " ".join([*WORDS["maths"][:5], *WORDS["verse"][:5]]))
    assert maths[POET] < both[POET] < verse[POET]


def test_predictions_are_near_the_true_abilities() -> None:
    """Messages are averages of recorded scores, so expected scores are scores."""
    maths, verse = scores(fitted(world(1200)), MATHS, VERSE)
    np.testing.assert_allclose(maths, [0.85, 0.9, 0.1], atol=0.2)
    np.testing.assert_allclose(verse, [0.2, 0.6, 0.9], atol=0.2)
