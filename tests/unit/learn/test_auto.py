"""Strategy `auto`: what it chooses, and that it steps aside where nothing can be learned."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.learn import auto
from routeiq.learn.dataset import read
from routeiq.learn.embeddings import embed
from routeiq.learn.matrix import TRAIN, OutcomeMatrix
from routeiq.learn.objective import Goal
from routeiq.learn.training import one_thread
from routeiq.routing.codec import encode
from routeiq.routing.embedding import load_default
from tests.unit.learn.scene import WordEmbedder, vectors, world

EMBEDDER = WordEmbedder().id


@pytest.fixture(autouse=True)
def _on_one_thread() -> Iterator[None]:
    """Fit as a training run does: threads that wait for each other make small products several times slower."""
    with one_thread():
        yield


def shuffled(matrix: OutcomeMatrix, seed: int) -> OutcomeMatrix:
    """Return a matrix in which each prompt has the scores of some other."""
    return replace(matrix, score=matrix.score[np.random.default_rng(seed).permutation(len(matrix))])


def test_it_serves_a_router_where_there_is_something_to_learn() -> None:
    """On a world with two topics the gain is shown, and the manifest says what was compared and how sure it is."""
    matrix = world(300)
    artifact = auto.fit(matrix, vectors(matrix), EMBEDDER)
    said = artifact.manifest.training["auto"]
    assert artifact.manifest.strategy == said["chosen"] != "fixed"
    assert auto.refusal(artifact) is None
    assert said["signal"] > 3.0
    assert 0.0 < said["gain"][1] <= said["gain"][0] <= said["gain"][2]
    assert {"knn"} <= set(said["compared"])


@pytest.mark.parametrize("seed", range(10))
def test_it_refuses_shuffled_outcomes(seed: int) -> None:
    """Scores that belong to other prompts give the best fixed model, with the reason, every time."""
    matrix = shuffled(world(240), seed)
    artifact = auto.fit(matrix, vectors(matrix), EMBEDDER)
    assert artifact.manifest.strategy == "fixed"
    assert artifact.manifest.training["auto"]["serves"] in matrix.models
    assert auto.refusal(artifact)


@pytest.mark.parametrize("text", ["tradeoff=0.1", "quality_floor=0.6", "budget=0.001"])
def test_it_refuses_shuffled_outcomes_under_any_objective(text: str) -> None:
    """No objective lets noise through."""
    matrix = shuffled(world(240), 3)
    assert auto.fit(matrix, vectors(matrix), EMBEDDER, goal=Goal.parse(text)).manifest.strategy == "fixed"


def test_the_objective_chooses_the_cost_weight() -> None:
    """A trade-off is taken as it is; a lower floor under the quality allows a higher cost weight."""
    matrix = world(300)
    weight = {
        text: auto.fit(matrix, vectors(matrix), EMBEDDER, goal=Goal.parse(text)).manifest.training["cost_weight"]
        for text in ("tradeoff=0.07", "quality_floor=0.85", "quality_floor=0.7")
    }
    assert weight["tradeoff=0.07"] == 0.07
    assert weight["quality_floor=0.7"] >= weight["quality_floor=0.85"]


def test_the_order_of_prompts_and_models_changes_nothing() -> None:
    """The same outcomes in another order give the same bytes."""
    matrix = world(160)
    order = np.random.default_rng(1).permutation(len(matrix))
    turned = matrix.rows(order).columns([2, 0, 1])
    first, second = (auto.fit(m, vectors(m), EMBEDDER) for m in (matrix, turned))
    assert encode(first).arrays == encode(second).arrays


@pytest.mark.parametrize("prompts", [2, 10])
def test_too_few_prompts_serve_the_best_fixed_model(prompts: int) -> None:
    """Where nothing can be compared the best fixed model is served, and the reason says so."""
    matrix = world(prompts)
    artifact = auto.fit(matrix, vectors(matrix), EMBEDDER)
    assert artifact.manifest.strategy == "fixed"
    assert "too few" in (auto.refusal(artifact) or "")


@pytest.mark.parametrize("different", [1, 3])
def test_one_prompt_many_times_serves_the_best_fixed_model(different: int) -> None:
    """However often a few prompts were answered, nothing can be held back to compare on."""
    matrix = world(300)
    matrix = replace(matrix, texts=tuple(matrix.texts[i % different] for i in range(300)))
    artifact = auto.fit(matrix, vectors(matrix), EMBEDDER)
    assert artifact.manifest.strategy == "fixed"
    assert f"{different} different" in (auto.refusal(artifact) or "")


def test_missing_outcomes_and_a_single_category_are_no_obstacle() -> None:
    """Empty cells and data without categories are learned from all the same."""
    matrix = world(300)
    score = matrix.score.copy()
    score[np.random.default_rng(0).random(score.shape) < 0.1] = np.nan
    matrix = replace(matrix, score=score, categories=("",) * len(matrix))
    assert auto.fit(matrix, vectors(matrix), EMBEDDER).manifest.strategy != "fixed"


@pytest.mark.recorded
def test_it_refuses_shuffled_outcomes_of_real_prompts(recorded_data: Path) -> None:
    """On zeroeval it serves a router; with its scores shuffled over the prompts it does not."""
    embedder = load_default()
    matrix = read(recorded_data, ["zeroeval"]).split(TRAIN)
    found = embed(embedder, matrix.texts)
    assert auto.fit(matrix, found, embedder.id).manifest.strategy != "fixed"
    assert auto.fit(shuffled(matrix, 0), found, embedder.id).manifest.strategy == "fixed"
