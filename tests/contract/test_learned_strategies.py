"""What every strategy that is trained on an outcome matrix promises, whatever its method.

A family joins by one line in `FAMILIES`. Its own test says what is particular to it.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, CandidateMismatch, DataError
from routeiq.core.request import RouteRequest
from routeiq.learn import (
    causallm,
    elo,
    ensemble,
    fixed,
    graph,
    hybrid,
    irt,
    kmeans,
    knn,
    linear,
    linucb,
    logistic,
    mf,
    mlp,
    routerdc,
    svm,
    thompson,
)
from routeiq.learn.families import FAMILIES as TRAINABLE
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.routing.codec import encode
from routeiq.routing.stages import Features, Prediction, View
from routeiq.routing.strategies import BUILT_IN, Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world


@dataclass(frozen=True)
class Family:
    """A family under test: `fit(matrix, vectors, embedder_id) -> Artifact`, and what it may do differently.

    `by_prompt` is false for a family that looks at models only, or learns from the requests it serves; `places_new`
    is true for one that has an opinion about models it was not trained on.
    """

    fit: Callable[..., Artifact]
    by_prompt: bool = True
    places_new: bool = False


FAMILIES: dict[str, Family] = {
    "knn": Family(knn.fit),
    "kmeans": Family(kmeans.fit),
    "linear": Family(linear.fit),
    "ensemble": Family(ensemble.fit),
    "fixed": Family(fixed.fit, by_prompt=False),
    "logistic": Family(logistic.fit),
    "svm": Family(svm.fit),
    "mlp": Family(mlp.fit),
    "hybrid": Family(hybrid.fit),
    "mf": Family(mf.fit),
    "irt": Family(irt.fit),
    "elo": Family(elo.fit),
    "graph": Family(graph.fit),
    "routerdc": Family(routerdc.fit),
    "thompson": Family(thompson.fit),
    "linucb": Family(linucb.fit),
    "causallm": Family(causallm.fit),
}
OTHERWISE_TESTED: frozenset[str] = frozenset({"personalized"})
"""Strategies with an artifact that is not fitted to an outcome matrix and its embeddings alone."""

EMBEDDER = WordEmbedder()
TOPICS = {topic: " ".join(words[:5]) for topic, words in WORDS.items()}
POOL = tuple(Candidate(name, 1e-6, 2e-6) for name in MODELS)
NOTHING_KNOWN = {
    "absent": Features(absent="embedder_timeout"),
    "zero": Features(np.zeros(24, dtype=np.float32), EMBEDDER.id),
    "nan": Features(np.full(24, np.nan, dtype=np.float32), EMBEDDER.id),
    "infinite": Features(np.full(24, np.inf, dtype=np.float32), EMBEDDER.id),
    "wrong length": Features(np.ones(7, dtype=np.float32), EMBEDDER.id),
    "another embedder": Features(np.ones(24, dtype=np.float32), "another@1"),
}
LOAD_AND_PREDICT = """
import json, sys
import numpy as np
from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.candidate import Candidate
from routeiq.core.request import RouteRequest
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals

name, path, models, vector = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
artifact = FileArtifactStore().load(path)
table = CandidateTable(tuple(Candidate(model, 1e-6, 2e-6) for model in models))
profile = build(recipe(name), table, artifact, Tuning())
features = Features(np.array(vector, dtype=np.float32), artifact.manifest.embedder)
view = View(RouteRequest("r", "auto", prompt_tokens=10), features, table, Vitals())
found = profile.assess(view, {}, 0.5, 0)
heavy = sorted({"sklearn", "scipy", "torch", "pyarrow", "pandas"} & set(sys.modules))
print(json.dumps({"score": found.expected_score.tolist(), "chosen": found.chosen, "heavy": heavy}))
"""


@cache
def scene(prompts: int = 240) -> OutcomeMatrix:
    """Outcomes with two topics on which other models are good."""
    return world(prompts)


def fitted(name: str, matrix: OutcomeMatrix, **options: object) -> Artifact:
    """Train a family on a matrix with its embeddings."""
    return FAMILIES[name].fit(matrix, vectors(matrix), EMBEDDER.id, **options)


@cache
def trained(name: str) -> Artifact:
    """The family trained on the scene."""
    return fitted(name, scene())


def about(topic: str) -> Features:
    """Features of a prompt about a topic."""
    return Features(EMBEDDER.embed(TOPICS[topic]), EMBEDDER.id)


def ask(artifact: Artifact, pool: tuple[Candidate, ...] = POOL, features: Features | None = None) -> Prediction:
    """Ask the scorer of an artifact's strategy, as a request would; about mathematics unless told otherwise."""
    table = CandidateTable(pool)
    scorer = recipe(artifact.manifest.strategy).scorer(table, artifact)
    request = RouteRequest("r", "auto", prompt_tokens=10)
    return scorer.predict(View(request, features or about("maths"), table, Vitals()))


def spread(artifact: Artifact, matrix: OutcomeMatrix) -> float:
    """How far predictions go from the training means, over the prompts of a matrix."""
    asked = [ask(artifact, features=Features(vector, EMBEDDER.id)).score for vector in vectors(matrix)]
    return float(np.abs(np.stack(asked) - matrix.mean_score()).mean())


every_family = pytest.mark.parametrize("name", FAMILIES)
family_by_prompt = pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.by_prompt])


def test_every_learned_strategy_is_under_contract() -> None:
    """A strategy that needs an artifact is in the table of this file, or is named as tested otherwise."""
    learned = {name for name, made_of in BUILT_IN.items() if made_of.needs_artifact}
    assert learned == {*FAMILIES, *OTHERWISE_TESTED}


def test_what_can_be_trained_is_what_is_under_contract() -> None:
    """The table of `routeiq train` has families of this file only, and fits them by the same function."""
    assert {name: FAMILIES[name].fit for name in TRAINABLE} == dict(TRAINABLE)


@every_family
def test_an_artifact_says_what_it_was_trained_on(name: str) -> None:
    """Strategy, candidates, embedder, data and seed are in the manifest, and the version follows from the content."""
    manifest = trained(name).manifest
    assert manifest.strategy == name
    assert manifest.candidates == MODELS
    assert manifest.version == f"{name}-{manifest.sha256[:12]}"
    assert manifest.training["fingerprint"] == scene().fingerprint()
    assert manifest.training["prompts"] == len(scene())
    assert "seed" in manifest.training
    if FAMILIES[name].by_prompt:
        assert (manifest.embedder, manifest.dimensions) == (EMBEDDER.id, EMBEDDER.dimensions)


@every_family
def test_a_saved_artifact_decides_alike_in_another_process(name: str, tmp_path: Path) -> None:
    """Saved, loaded elsewhere without any training library, it gives the same scores and the same choice."""
    FileArtifactStore().save(str(tmp_path / "one"), trained(name))
    vector = json.dumps(EMBEDDER.embed(TOPICS["verse"]).tolist())
    command = [sys.executable, "-c", LOAD_AND_PREDICT, name, str(tmp_path / "one"), json.dumps(MODELS), vector]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found, here = json.loads(done.stdout), ask(trained(name), features=about("verse")).score
    np.testing.assert_allclose(found["score"], here, rtol=1e-5, atol=1e-6)
    assert found["chosen"] == int(here.argmax())
    assert found["heavy"] == []


@every_family
def test_it_chooses_among_the_candidates_that_are_left(name: str) -> None:
    """Whoever is barred is never chosen, and the probabilities of the others sum to one."""
    table = CandidateTable(POOL)
    profile = build(recipe(name), table, trained(name), Tuning())
    view = View(RouteRequest("r", "auto", prompt_tokens=10), about("maths"), table, Vitals())
    for barred in MODELS:
        found = profile.assess(view, {barred: "cooling_down"}, 0.5, 0)
        assert table.names[found.chosen] != barred
        assert found.probability[table.index[barred]] == 0.0
        assert found.probability.sum() == pytest.approx(1.0)


@every_family
def test_predictions_follow_the_candidates_not_the_artifact(name: str) -> None:
    """Candidates in another order, or fewer of them, get the same numbers each."""
    whole, part = ask(trained(name)), ask(trained(name), (POOL[2], POOL[0]))
    np.testing.assert_allclose(part.score, whole.score[[2, 0]], rtol=1e-4, atol=1e-5)
    assert whole.quality


@every_family
def test_scores_are_expected_scores(name: str) -> None:
    """Known candidates get a score in 0..1 and a cost, for any prompt."""
    chance = np.random.default_rng(4)
    for scale in (1e-3, 1.0, 1e3):
        vector = (scale * chance.standard_normal(24)).astype(np.float32)
        found = ask(trained(name), features=Features(vector, EMBEDDER.id))
        assert ((found.score >= 0) & (found.score <= 1)).all()
        assert found.cost_usd is None or (np.isfinite(found.cost_usd) & (found.cost_usd > 0)).all()


@every_family
def test_a_model_without_training_data_does_not_disturb_the_others(name: str) -> None:
    """An unknown candidate has no opinion, unless the family can place it; the known ones are as without it."""
    found = ask(trained(name), (Candidate("stranger", 1e-6, 2e-6), *POOL))
    assert np.isnan(found.score[0]) or FAMILIES[name].places_new
    np.testing.assert_allclose(found.score[1:], ask(trained(name)).score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.places_new])
def test_an_artifact_that_knows_no_candidate_is_refused(name: str) -> None:
    """The message names what it was trained on and what it is asked to rank."""
    strangers = (Candidate("stranger"), Candidate("other"))
    with pytest.raises(CandidateMismatch) as caught:
        ask(trained(name), strangers)
    assert {word for word in (*MODELS, "stranger", "other") if word not in caught.value.message} == set()


@pytest.mark.parametrize("features", NOTHING_KNOWN.values(), ids=NOTHING_KNOWN)
@every_family
def test_without_a_usable_embedding_the_training_means_are_predicted(name: str, features: Features) -> None:
    """What says nothing of the prompt is never an error."""
    found = ask(trained(name), features=features)
    np.testing.assert_allclose(found.score, scene().mean_score(), atol=1e-4)


@every_family
def test_the_order_of_prompts_and_models_changes_nothing(name: str) -> None:
    """Permuted rows and columns give the same bytes: no label is decided by row order."""
    chance = np.random.default_rng(5)
    shuffled = scene().rows(chance.permutation(len(scene()))).columns(chance.permutation(len(MODELS)))
    assert encode(fitted(name, shuffled)) == encode(trained(name))


@every_family
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    """Nothing but the data and the seed decides what is learned."""
    assert encode(fitted(name, scene(), seed=3)) == encode(fitted(name, scene(), seed=3))


@family_by_prompt
def test_it_learns_which_model_is_good_at_what(name: str) -> None:
    """The poet is expected to be better than the cheap model in verse and worse in mathematics."""
    cheap, poet = MODELS.index("cheap"), MODELS.index("poet")
    maths, verse = (ask(trained(name), features=about(topic)).score for topic in ("maths", "verse"))
    assert maths[poet] < maths[cheap] - 0.1
    assert verse[poet] > verse[cheap] + 0.1


@family_by_prompt
def test_where_there_is_nothing_to_learn_it_stays_near_the_means(name: str) -> None:
    """With scores shuffled over prompts, predictions go less than half as far from the means as with real ones."""
    matrix = scene()
    shuffled = replace(matrix, score=matrix.score[np.random.default_rng(7).permutation(len(matrix))])
    assert spread(fitted(name, shuffled), shuffled) < 0.5 * spread(trained(name), matrix)


@every_family
def test_ties_are_predicted_as_ties(name: str) -> None:
    """Models with equal outcomes get equal scores, whatever their place."""
    matrix = scene()
    tied = replace(matrix, score=matrix.score[:, [0, 1, 0]])
    for topic in TOPICS:
        score = ask(fitted(name, tied), features=about(topic)).score
        assert score[2] == pytest.approx(score[0], abs=2e-3)


@every_family
def test_prompts_that_every_model_failed_favour_nobody(name: str) -> None:
    """Where all scores are zero, all are expected to stay about zero; an argmax label would have named a winner."""
    failed = replace(scene(), score=np.zeros_like(scene().score))
    score = ask(fitted(name, failed)).score
    assert np.ptp(score) < 1e-3
    assert score.max() < 0.05


@every_family
def test_missing_outcomes_are_not_failures(name: str) -> None:
    """A model that was asked every second prompt is expected to score as it did on those."""
    matrix = scene()
    score = matrix.score.copy()
    score[np.random.default_rng(2).random(len(matrix)) < 0.5, 1] = np.nan
    found = ask(fitted(name, replace(matrix, score=score)))
    assert np.isfinite(found.score).all()
    assert found.score[1] > 0.45


@every_family
def test_too_little_data_is_an_error(name: str) -> None:
    """One prompt, one model, or vectors that are not numbers cannot be learned from."""
    with pytest.raises(DataError, match="1 prompt"):
        fitted(name, scene().rows([0]))
    with pytest.raises(DataError, match="1 model"):
        fitted(name, scene().columns([0]))
    if FAMILIES[name].by_prompt:
        with pytest.raises(DataError, match="not finite"):
            FAMILIES[name].fit(scene(), np.full((len(scene()), 24), np.nan), EMBEDDER.id)


@every_family
def test_very_little_data_is_learned_from_without_an_error(name: str) -> None:
    """Two prompts are enough to train and to decide."""
    score = ask(fitted(name, scene().rows([0, 1]))).score
    assert ((score >= 0) & (score <= 1)).all()


@every_family
def test_an_unfit_artifact_is_refused_when_it_is_bound(name: str) -> None:
    """An array that is missing or has another number of dimensions is an ArtifactError that names it."""
    artifact = trained(name)
    for array, values in artifact.arrays.items():
        spoiled = [{key: value for key, value in artifact.arrays.items() if key != array}]
        spoiled.append({**artifact.arrays, array: values[None]})
        for arrays in spoiled:
            with pytest.raises(ArtifactError, match=array):
                ask(replace(artifact, arrays=arrays))
