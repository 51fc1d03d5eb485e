"""Learning while serving on recorded outcomes: what it loses to the best fixed model, against not learning."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from routeiq.core.request import RouteRequest
from routeiq.learn import dataset, linucb, thompson
from routeiq.learn.matrix import OutcomeMatrix
from routeiq.learn.training import table_of
from routeiq.routing.embedding import load_default
from routeiq.routing.learners import Learners
from routeiq.routing.online import Judgement
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.vitals import Vitals

TAUGHT = 8
"""Prompts that the strategy has seen on every model before it serves: hardly any."""


def rewards(artifact: Any, served: OutcomeMatrix, vectors: Any, learns: bool) -> Any:
    """What each served request was worth, when every answer is judged by its recorded score, or when none is."""
    learners, table, draws = Learners(), table_of(served), np.random.default_rng(2)
    profile = build(recipe(artifact.manifest.strategy), table, artifact, Tuning())
    route = learners.adopt(Snapshot("v", {"auto": Route("auto", table, profile)})).routes["auto"]
    [post] = learners._posts.values()
    got = []
    for i, vector in enumerate(vectors):
        features = Features(vector, artifact.manifest.embedder)
        view = View(RouteRequest("r", "auto", prompt_tokens=10), features, table, Vitals())
        chosen = route.profile.assess(view, {}, draws.random(), i).chosen
        got.append(float(served.score[i, chosen]))
        if learns:
            assert post.tell(Judgement(features, table.names[chosen], got[-1]))
    return np.array(got)


@pytest.mark.recorded
@pytest.mark.parametrize("family", [thompson, linucb])
def test_regret_shrinks_with_every_judged_answer(family: ModuleType, recorded_data: Path) -> None:
    """After a cold start, less is lost to the best fixed model than without learning, and in the end far less."""
    matrix, embedder = dataset.read(recorded_data, ("zeroeval",)).split("train").complete(), load_default()
    order = np.random.default_rng(1).permutation(len(matrix))
    seen, served = matrix.rows(order[:TAUGHT]), matrix.rows(order[TAUGHT:])
    artifact = family.fit(seen, embedder.embed_many(seen.texts), embedder.id)
    vectors = embedder.embed_many(served.texts)
    best = served.score[:, int(served.score.mean(axis=0).argmax())]
    regret = {learns: best - rewards(artifact, served, vectors, learns) for learns in (True, False)}
    third = len(served) // 3
    assert regret[True].mean() < regret[False].mean()
    assert regret[True][-third:].mean() < 0.7 * regret[False][-third:].mean()
