"""A model that was never recorded: what a few scores tell of it, and its place in trained artifacts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, DataError
from routeiq.core.request import RouteRequest
from routeiq.learn import ensemble, fixed, irt, knn, linear, thompson
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.newcomer import Factors, Newcomer
from routeiq.learn.placing import Price, place, supported
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import recipe
from routeiq.routing.table import CandidateTable
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import WORDS, WordEmbedder, vectors, world

FAMILIES = {"linear": linear, "ensemble": ensemble, "knn": knn, "irt": irt, "fixed": fixed}
RHYMER = {"maths": 0.15, "verse": 0.85}


def widened(prompts: int = 600) -> OutcomeMatrix:
    """The world with two models more, so that there are factors."""
    matrix = world(prompts)
    chance = np.random.default_rng(7)
    more = {"bard": {"maths": 0.2, "verse": 0.8}, "clerk": {"maths": 0.9, "verse": 0.3}}
    score = np.column_stack(
        [matrix.score, *[[float(chance.random() < able[c]) for c in matrix.categories] for able in more.values()]]
    )
    wide: dict[str, Any] = {
        name: np.column_stack([getattr(matrix, name), getattr(matrix, name)[:, :2]])
        for name in ("cost_usd", "input_tokens", "output_tokens", "latency_s")
    }
    prices = {name: np.append(getattr(matrix, name), [1e-7, 1e-7]) for name in ("input_price", "output_price")}
    return replace(matrix, models=(*matrix.models, *more), score=score, **wide, **prices).canonical()


MATRIX = widened()


def answers(rows: list[int], seed: int = 3) -> dict[int, float]:
    """Scores of a model that is good at verse."""
    chance = np.random.default_rng(seed)
    drawn = chance.random(len(MATRIX))
    return {at: float(drawn[at] < RHYMER[MATRIX.categories[at]]) for at in rows}


def rhymer(count: int = 60) -> Newcomer:
    """What is believed of it after a few answers."""
    factors = Factors.of(MATRIX)
    scores = answers(factors.design(count))
    return factors.told(scores, dict.fromkeys(scores, 500.0))


def expects(artifact: Artifact, topic: str) -> dict[str, float]:
    """What an artifact expects of everybody on a topic."""
    table = CandidateTable(tuple(Candidate(name, 1e-6, 2e-6) for name in artifact.manifest.candidates))
    scorer, embedder = recipe(artifact.manifest.strategy).scorer(table, artifact), WordEmbedder()
    text = " ".join(WORDS[topic][:5])
    view = View(
        RouteRequest("r", "auto", text=text, prompt_tokens=10), Features(embedder.embed(text), embedder.id), table,
        Vitals(),
    )  # fmt: skip
    return dict(zip(table.names, scorer.predict(view).score.tolist(), strict=True))


def test_a_few_answers_tell_the_level() -> None:
    """The expected mean comes near the truth, nearer than the prior, and its deviation covers the rest."""
    factors, truth = Factors.of(MATRIX), 0.5
    told = rhymer()
    assert abs(told.level - truth) < 0.12
    assert abs(told.level - truth) < 3 * told.deviation
    assert told.deviation < 0.6 * factors.prior().deviation
    assert told.told == 60
    assert told.output_ratio > 1.0


def test_chosen_prompts_lower_the_variance_more_than_drawn_ones() -> None:
    """That is what they are chosen by; the same seed gives the same prompts, and no text is asked twice."""
    factors = Factors.of(MATRIX)
    chosen = factors.choose(factors.prior(), 40)
    spread = []
    for rows in (chosen, list(range(40)), list(range(300, 340))):
        told = factors.told(dict.fromkeys(rows, 0.5))
        spread.append(np.einsum("nk,kl,nl->", factors.features, told.covariance, factors.features))
    assert spread[0] < min(spread[1:])
    assert factors.design(30, 5) == factors.design(30, 5)
    texts = [MATRIX.texts[at] for at in factors.design(90)]
    assert len(set(texts)) == len(texts) == 90


def test_only_prompts_that_can_be_asked_are_chosen() -> None:
    """Those without text and those outside the given ones are left, and fewer come when there are no more."""
    empty = replace(MATRIX, texts=("", *MATRIX.texts[1:]))
    factors = Factors.of(empty)
    assert 0 not in factors.design(len(MATRIX))
    assert set(factors.design(20, 0, range(10, 50))) <= set(range(10, 50))
    assert len(factors.design(20, 0, range(10, 15))) == 5


@pytest.mark.parametrize("name", FAMILIES)
def test_the_artifact_expects_what_was_told(name: str) -> None:
    """On verse the new model is among the good ones, on maths among the bad, as its answers were; others stay."""
    family = FAMILIES[name]
    artifact: Artifact = family.fit(MATRIX, vectors(MATRIX), "words@1")
    placed = place(artifact, "rhymer", rhymer(), Price(1e-7, 2e-7), {"by": "reference"})
    assert placed.manifest.candidates == (*MATRIX.models, "rhymer")
    assert placed.manifest.parent == artifact.manifest.version
    assert placed.manifest.sha256 != artifact.manifest.sha256
    verse, maths = expects(placed, "verse"), expects(placed, "maths")
    before = expects(artifact, "verse")
    assert {model: verse[model] for model in before} == pytest.approx(before, abs=1e-6)
    assert 0.0 <= maths["rhymer"] <= 1.0
    if name == "fixed":
        assert verse["rhymer"] == maths["rhymer"] == pytest.approx(rhymer().level)
    else:
        assert verse["rhymer"] > maths["rhymer"] + 0.15
    said = placed.manifest.training["calibrated"]["rhymer"]
    assert (said["scores"], said["by"]) == (60, "reference")


def test_published_scores_place_a_model_too() -> None:
    """Scores by suite or category are read as means there; others through models that state them too."""
    factors = Factors.of(MATRIX)
    told = factors.stated({"verse": 0.9, "maths": 0.2}, {})
    placed = place(knn.fit(MATRIX, vectors(MATRIX), "words@1"), "rhymer", told, Price(), {})
    assert expects(placed, "verse")["rhymer"] > expects(placed, "maths")["rhymer"]
    assert np.isnan(placed.arrays["input_price"][-1])
    foreign = factors.stated({"exam": 0.95}, {"dear": {"exam": 0.75}})
    assert foreign.level > factors.prior().level
    assert foreign.deviation > rhymer().deviation
    assert factors.stated({"exam": 0.95}, {"stranger": {"exam": 0.5}}).told == 0


def test_what_cannot_be_placed_is_said() -> None:
    """A strategy without a way to, a model that is there already, and data of other models."""
    with pytest.raises(ArtifactError, match="'thompson'; it can in ensemble, fixed, irt, knn, linear"):
        place(thompson.fit(MATRIX, vectors(MATRIX), "words@1"), "rhymer", rhymer(), Price(), {})
    artifact = knn.fit(MATRIX, vectors(MATRIX), "words@1")
    with pytest.raises(DataError, match="knows 'poet' already"):
        place(artifact, "poet", rhymer(), Price(), {})
    renamed = replace(artifact, manifest=replace(artifact.manifest, candidates=("a", "b", "c", "d", "e")))
    with pytest.raises(DataError, match="none of the models"):
        place(renamed, "rhymer", rhymer(), Price(), {})
    with pytest.raises(DataError, match="two prompts at least"):
        Factors.of(MATRIX.rows([0]))
    assert supported() == tuple(sorted(FAMILIES))


def test_one_known_model_is_enough() -> None:
    """With a single known model, how hard a prompt is comes from that one."""
    alone = MATRIX.columns([1])
    factors = Factors.of(alone)
    told = factors.told(answers(factors.design(60)))
    assert abs(told.level - 0.5) < 0.15
