"""Prediction from a `knn` artifact: mapping to candidates, absent features, unfit artifacts."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, CandidateMismatch
from routeiq.core.request import RouteRequest
from routeiq.learn.knn import Kernel, Shape, fit
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.scorers.neighbours import NeighbourScorer
from routeiq.routing.stages import Features, Prediction, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import WORDS, WordEmbedder, vectors, world

EMBEDDER = WordEmbedder()
MATHS = " ".join(WORDS["maths"][:5])
CHEAP, DEAR, POET = (Candidate(name) for name in ("cheap", "dear", "poet"))
STRANGER = Candidate("stranger", 1e-6, 2e-6)


def trained(matrix: OutcomeMatrix | None = None, kernel: Kernel | None = None, points: int = 512) -> Artifact:
    """Fit an artifact of the toy world with a fixed kernel."""
    matrix = matrix or world(200)
    return fit(matrix, vectors(matrix), EMBEDDER.id, kernels=(kernel or Kernel(),), shape=Shape(points=points))


def predict(artifact: Artifact, *pool: Candidate, features: Features | None = None, **request: object) -> Prediction:
    """Predict for a prompt about mathematics over some candidates."""
    table = CandidateTable(pool)
    asked = RouteRequest(**{"id": "r", "alias": "auto", "prompt_tokens": 10, **request})
    given = features or Features(EMBEDDER.embed(MATHS), EMBEDDER.id)
    return NeighbourScorer.from_artifact(artifact, table).predict(View(asked, given, table, Vitals()))


def test_predictions_follow_the_table_not_the_artifact() -> None:
    """Candidates in another order, or fewer of them, get the same numbers each."""
    artifact = trained()
    whole, part = predict(artifact, CHEAP, DEAR, POET), predict(artifact, POET, CHEAP)
    for name in ("score", "cost_usd", "latency_s", "evidence"):
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[[2, 0]], rtol=1e-5)


def test_a_candidate_without_training_data_gets_no_opinion() -> None:
    """Unknown candidates are NaN in everything, the known ones are as without them."""
    artifact = trained()
    found = predict(artifact, STRANGER, CHEAP)
    assert np.isnan([found.score[0], found.cost_usd[0], found.latency_s[0]]).all()
    assert found.score[1] == pytest.approx(predict(artifact, CHEAP, DEAR).score[0])


def test_an_artifact_that_knows_no_candidate_is_refused_naming_both_lists() -> None:
    """The message says what it was trained on and what it is asked to rank."""
    with pytest.raises(CandidateMismatch) as caught:
        predict(trained(), STRANGER, Candidate("other"))
    for name in ("cheap", "dear", "poet", "stranger", "other"):
        assert name in caught.value.message


@pytest.mark.parametrize(
    "features",
    [
        Features(absent="embedder_timeout"),
        Features(np.zeros(24, dtype=np.float32), "words@1"),
        Features(np.full(24, np.nan, dtype=np.float32), "words@1"),
        Features(np.ones(7, dtype=np.float32), "words@1"),
        Features(np.ones(24, dtype=np.float32), "another@1"),
    ],
    ids=["absent", "zero", "nan", "wrong length", "another embedder"],
)
def test_without_a_usable_embedding_the_global_means_are_predicted(features: Features) -> None:
    """What says nothing of the prompt is never an error, and carries no evidence."""
    matrix = world(200)
    found = predict(trained(matrix), CHEAP, DEAR, POET, features=features)
    np.testing.assert_allclose(found.score, matrix.mean_score())
    assert found.evidence.tolist() == [0.0, 0.0, 0.0]


def test_cost_is_predicted_tokens_times_price() -> None:
    """The table's price counts, the price at training where the table has none, and the caller's limit caps length."""
    artifact = trained(world(800), Kernel(threshold=0.2, mass=1.0))
    found = predict(artifact, CHEAP, replace(DEAR, usd_per_input_token=0.0, usd_per_output_token=1.0))
    assert found.cost_usd[1] == pytest.approx(400, rel=0.1)
    assert found.cost_usd[0] == pytest.approx(10 * 0.1e-6 + 400 * 0.2e-6, rel=0.1)
    assert found.latency_s[0] == pytest.approx(4.0, rel=0.1)
    capped = predict(artifact, CHEAP, output_tokens=50)
    assert capped.cost_usd[0] == pytest.approx(10 * 0.1e-6 + 50 * 0.2e-6)


def test_evidence_counts_similar_outcomes_only() -> None:
    """A known topic has evidence, strange words have little, a model asked half as often has half of it."""
    matrix = world(400)
    matrix.score[::2, 1], matrix.score[1::4, 1] = np.nan, np.nan
    artifact = trained(matrix, Kernel(threshold=0.2))
    known = predict(artifact, CHEAP, DEAR)
    strange = predict(artifact, CHEAP, DEAR, features=Features(EMBEDDER.embed("quux zebra flange"), EMBEDDER.id))
    assert known.evidence[0] > 5 * strange.evidence[0]
    assert known.evidence[1] == pytest.approx(known.evidence[0] / 2, rel=0.3)


def test_latency_that_was_never_recorded_is_not_predicted() -> None:
    """Without latencies the prediction has none, without some models' it has NaN for these."""
    matrix = world(200)
    assert predict(trained(replace(matrix, latency_s=np.full((200, 3), np.nan))), CHEAP, DEAR).latency_s is None
    matrix.latency_s[:, 0] = np.nan
    found = predict(trained(matrix), CHEAP, DEAR).latency_s
    assert np.isnan(found[0])
    assert found[1] > 0


@pytest.mark.parametrize("neighbours", [0, 20])
@pytest.mark.parametrize("points", [512, 30])
def test_one_prompt_at_a_time_agrees_with_the_fit(neighbours: int, points: int) -> None:
    """The scorer that serves and the one that cross-validation measures predict the same."""
    from routeiq.learn.knn import _Points

    matrix, kernel = world(200), Kernel(neighbours, 0.1, 5.0)
    artifact = trained(matrix, kernel, points)
    inner = _Points.of(matrix, vectors(matrix), Shape(points=points), 0)
    texts = [MATHS, " ".join(WORDS["verse"]), "moon integral", "quux"]
    expected = inner.predict(inner.similarity(EMBEDDER.embed_many(texts)), kernel)
    for text, row in zip(texts, expected, strict=True):
        found = predict(artifact, CHEAP, DEAR, POET, features=Features(EMBEDDER.embed(text), EMBEDDER.id))
        np.testing.assert_allclose(found.score, row, rtol=1e-4)


@pytest.mark.parametrize("name", ["points", "kernel", "score_sum", "prior_score"])
def test_an_artifact_with_missing_or_misshapen_arrays_is_refused(name: str) -> None:
    """The message names the array; nothing fails later, in a request."""
    artifact = trained()
    without = {key: value for key, value in artifact.arrays.items() if key != name}
    with pytest.raises(ArtifactError, match=name):
        predict(replace(artifact, arrays=without), CHEAP)
    with pytest.raises(ArtifactError, match="has shape"):
        predict(replace(artifact, arrays={**artifact.arrays, name: artifact.arrays[name][:-1]}), CHEAP)
    words = np.full(artifact.arrays[name].shape, "a")
    with pytest.raises(ArtifactError, match="expected floats"):
        predict(replace(artifact, arrays={**artifact.arrays, name: words}), CHEAP)
    spoiled = np.full_like(artifact.arrays["points"], np.nan)
    with pytest.raises(ArtifactError, match="not finite"):
        predict(replace(artifact, arrays={**artifact.arrays, "points": spoiled}), CHEAP)


def test_the_strategy_needs_its_artifact() -> None:
    """`knn` without an artifact says how to train one."""
    with pytest.raises(ArtifactError, match="routeiq train knn"):
        build(recipe("knn"), CandidateTable((CHEAP,)), None, Tuning())


def test_the_strategy_is_bound_to_its_artifact_and_embedder() -> None:
    """Decisions can name the version they came from."""
    artifact = trained()
    profile = build(recipe("knn"), CandidateTable((CHEAP, DEAR)), artifact, Tuning())
    assert (profile.artifact, profile.embedder) == (artifact.manifest.version, EMBEDDER.id)
