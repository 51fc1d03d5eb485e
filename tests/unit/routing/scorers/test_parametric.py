"""Prediction of the families with a closed form: the scorer computes what its artifact's documentation says."""

from collections.abc import Callable

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.request import RouteRequest
from routeiq.learn import hybrid, kmeans, logistic, mf, mlp, svm
from routeiq.routing.stages import Features, Prediction, View
from routeiq.routing.strategies import recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

EMBEDDER = WordEmbedder()
TEXTS = (" ".join(WORDS["maths"][:5]), " ".join(WORDS["verse"]), "moon integral", "quux zebra")
FAMILIES = {"kmeans": kmeans, "logistic": logistic, "svm": svm, "mlp": mlp, "hybrid": hybrid, "mf": mf}


@pytest.fixture(scope="module")
def trained() -> Callable[[str], Artifact]:
    """Each family's artifact of the toy world, fitted once."""
    known: dict[str, Artifact] = {}

    def of(name: str) -> Artifact:
        matrix = world(240)
        if name not in known:
            known[name] = FAMILIES[name].fit(matrix, vectors(matrix), EMBEDDER.id)
        return known[name]

    return of


def predict(artifact: Artifact, text: str) -> Prediction:
    """Ask the scorer that serves."""
    table = CandidateTable(tuple(Candidate(name) for name in MODELS))
    view = View(
        RouteRequest("r", "auto", prompt_tokens=10), Features(EMBEDDER.embed(text), EMBEDDER.id), table, Vitals()
    )
    return recipe(artifact.manifest.strategy).scorer(table, artifact).predict(view)


def logistic_function(logit: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-logit))


def expected_score(a: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    """What the scorer's module says that the arrays mean."""
    mean = a["prior_score"]
    if name == "kmeans":
        return a["scores"][(a["centre_weights"] @ x + a["centre_offset"]).argmax()]
    if name == "logistic":
        return mean + a["believed"] * (logistic_function(a["weights"] @ x + a["offset"]) - mean)
    if name == "svm":
        logit = a["platt_slope"] * (a["weights"] @ x + a["offset"]) + a["platt_offset"]
        return mean + a["believed"] * (logistic_function(logit) - mean)
    if name == "mlp":
        hidden = np.maximum(a["hidden_weights"] @ x + a["hidden_offset"], 0)
        logit = a["output_weights"] @ hidden + a["output_offset"]
        return mean + a["believed"] * (logistic_function(logit) - mean)
    if name == "hybrid":
        return np.clip(mean + a["gap_weights"] @ x + a["gap_offset"], 0, 1)
    return np.clip(mean + (a["projection"] @ x + a["projection_offset"]) @ a["models"], 0, 1)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_score_is_what_the_arrays_mean(name: str, trained: Callable[[str], Artifact]) -> None:
    """Computed in pieces for serving, it equals the formula of the module's documentation."""
    artifact = trained(name)
    for text in TEXTS:
        expected = expected_score(dict(artifact.arrays), name, EMBEDDER.embed(text).astype(np.float64))
        np.testing.assert_allclose(predict(artifact, text).score, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_longer_answers_are_expected_to_cost_more(name: str, trained: Callable[[str], Artifact]) -> None:
    """Answers in mathematics are four times as long in the toy world; the expected cost knows."""
    maths, verse = (predict(trained(name), text).cost_usd for text in TEXTS[:2])
    assert (maths > 1.8 * verse).all()
