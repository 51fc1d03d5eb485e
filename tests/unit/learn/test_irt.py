"""Fitting `irt`, and placing models that were never recorded from their benchmark scores."""

from dataclasses import replace

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError
from routeiq.core.request import RouteRequest
from routeiq.learn.irt import fit
from routeiq.routing.scorers.irt import ItemResponseScorer, place
from routeiq.routing.stages import Features, Prediction, View
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

KNOWN = tuple(Candidate(name, 1e-6, 2e-6) for name in MODELS)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    """Trained on two topics, which are categories and so benchmarks."""
    matrix = world(800)
    return fit(matrix, vectors(matrix), WordEmbedder().id)


def ask(artifact: Artifact, pool: tuple[Candidate, ...], topic: str | None) -> Prediction:
    """Predict for a prompt about a topic, or for one of which nothing is known."""
    table = CandidateTable(pool)
    text = " ".join(WORDS[topic][:5]) if topic else ""
    features = Features(WordEmbedder().embed(text), "words@1") if topic else Features(absent="embedder_timeout")
    view = View(RouteRequest("r", "auto", prompt_tokens=10), features, table, Vitals())
    return ItemResponseScorer.from_artifact(artifact, table).predict(view)


def test_suites_and_categories_become_benchmarks(artifact: Artifact) -> None:
    """What a model can be placed by is named in the manifest, all prompts first."""
    assert artifact.manifest.training["benchmarks"] == ["", "maths", "toy", "verse"]


def test_a_new_model_is_placed_by_its_benchmark_scores(artifact: Artifact) -> None:
    """A model said to be good in verse and bad in mathematics is expected to be so, between its claims and the mean."""
    newcomer = Candidate("new", 1e-6, 2e-6, benchmarks={"maths": 0.1, "verse": 0.9})
    maths, verse = (ask(artifact, (*KNOWN, newcomer), topic) for topic in ("maths", "verse"))
    assert 0.05 < maths.score[3] < 0.45
    assert 0.6 < verse.score[3] < 0.95
    assert maths.evidence is not None
    assert maths.evidence[3] == 0.0
    assert maths.cost_usd is not None
    assert maths.cost_usd[3] > 0


def test_a_placed_model_leaves_the_others_alone(artifact: Artifact) -> None:
    """Recorded models are predicted as they are without it."""
    newcomer = Candidate("new", benchmarks={"verse": 0.9})
    found = ask(artifact, (newcomer, *KNOWN), "verse").score[1:]
    np.testing.assert_allclose(found, ask(artifact, KNOWN, "verse").score, rtol=1e-6)


def test_more_benchmarks_make_a_placing_surer(artifact: Artifact) -> None:
    """Each score narrows the wide prior; no score is no placing."""
    one = place(artifact, Candidate("new", benchmarks={"maths": 0.8}), KNOWN)
    both = place(artifact, Candidate("new", benchmarks={"maths": 0.8, "verse": 0.7}), KNOWN)
    assert one is not None
    assert both is not None
    assert both.variance < one.variance
    assert (one.read, both.read) == (1, 2)
    assert place(artifact, Candidate("new"), KNOWN) is None


def test_without_an_embedding_a_placed_model_gets_its_typical_score(artifact: Artifact) -> None:
    """A model that is better on every benchmark is expected to be better on a prompt of which nothing is known."""
    pool = (*KNOWN, Candidate("good", benchmarks={"toy": 0.9}), Candidate("bad", benchmarks={"toy": 0.2}))
    score = ask(artifact, pool, None).score
    assert score[3] > 0.6 > 0.45 > score[4]


def test_another_benchmark_counts_where_recorded_models_state_it(artifact: Artifact) -> None:
    """Its difficulty follows from their scores; stated by nobody else it cannot be used."""
    newcomer = Candidate("new", benchmarks={"elsewhere": 0.9})
    assert place(artifact, newcomer, (*KNOWN, newcomer)) is None
    stated = tuple(replace(c, benchmarks={"elsewhere": 0.3}) for c in KNOWN)
    placed = place(artifact, newcomer, (*stated, newcomer))
    assert placed is not None
    assert placed.ability[0] > artifact.arrays["ability"][:, 0].mean()


def test_a_manifest_that_names_other_benchmarks_is_refused(artifact: Artifact) -> None:
    """Names and arrays must belong together, or a model would be placed by another benchmark's difficulty."""
    manifest = replace(artifact.manifest, training={**artifact.manifest.training, "benchmarks": ["", "maths"]})
    with pytest.raises(ArtifactError, match="benchmarks"):
        ask(replace(artifact, manifest=manifest), (*KNOWN, Candidate("new", benchmarks={"maths": 0.5})), None)
