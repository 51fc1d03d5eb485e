"""Offsets by team and user on top of another artifact's scores."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError, DataError
from routeiq.core.request import Caller, RouteRequest
from routeiq.learn import kmeans
from routeiq.learn.personalized import Rating, fit
from routeiq.learn.training import table_of
from routeiq.routing.codec import encode
from routeiq.routing.stages import Features, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.vitals import Vitals
from tests.unit.learn.scene import MODELS, WORDS, WordEmbedder, vectors, world

POET = MODELS.index("poet")
NOBODY = Caller()


@cache
def base() -> Artifact:
    """A trained artifact to start from."""
    matrix = world(400)
    return kmeans.fit(matrix, vectors(matrix), WordEmbedder().id)


def ratings(count: int = 60) -> list[Rating]:
    """Team `arts` likes the poet more than expected; its member `ann` likes it less."""
    team = [Rating("poet", 0.9, 0.5, team="arts", user=f"u{i}") for i in range(count)]
    return team + [Rating("poet", 0.2, 0.5, team="arts", user="ann") for _ in range(count // 3)]


def scores(artifact: Artifact, caller: Caller, features: Features | None = None) -> np.ndarray:
    """Return what is expected of each model for a caller."""
    table = table_of(world(4))
    used = features or Features(WordEmbedder().embed(" ".join(WORDS["maths"][:5])), "words@1")
    view = View(RouteRequest("r", "auto", prompt_tokens=10, caller=caller), used, table, Vitals())
    return recipe(artifact.manifest.strategy).scorer(table, artifact).predict(view).score


def test_who_said_nothing_gets_the_scores_of_the_base() -> None:
    """Callers without ratings, or without a name, are routed as before."""
    artifact = fit(base(), ratings())
    for caller in (NOBODY, Caller(team="sales", user="bob")):
        np.testing.assert_array_equal(scores(artifact, caller), scores(base(), caller))


def test_a_team_moves_the_scores_of_its_members() -> None:
    """A newcomer of the team is expected to think as the team does, of the rated model only."""
    artifact = fit(base(), ratings())
    moved = scores(artifact, Caller(team="arts", user="new")) - scores(base(), NOBODY)
    assert 0.05 < moved[POET] < 0.4
    np.testing.assert_allclose(np.delete(moved, POET), 0.0)


def test_a_user_differs_from_the_team() -> None:
    """What is left of a user's ratings after the team's offset is the user's own."""
    artifact = fit(base(), ratings())
    assert scores(artifact, Caller(team="arts", user="ann"))[POET] < scores(artifact, Caller(team="arts"))[POET] - 0.1


def test_few_ratings_move_little_and_many_move_nearly_all() -> None:
    """With as many ratings as the prior mass, half of the mean difference is believed."""
    same = [Rating("poet", 0.8, 0.4, team="arts")]
    for count, share in ((1, 1 / 21), (20, 1 / 2), (380, 19 / 20)):
        moved = scores(fit(base(), same * count), Caller(team="arts")) - scores(base(), NOBODY)
        assert moved[POET] == pytest.approx(0.4 * share, abs=1e-6)


def test_without_an_embedding_the_means_are_moved() -> None:
    """What a team thinks does not hang on the prompt."""
    absent = Features(absent="embedder_timeout")
    moved = scores(fit(base(), ratings()), Caller(team="arts"), absent) - scores(base(), NOBODY, absent)
    assert moved[POET] > 0.05


def test_the_order_of_ratings_changes_nothing() -> None:
    """The same ratings give the same bytes."""
    said = ratings()
    assert encode(fit(base(), said[::-1])) == encode(fit(base(), said))


def test_no_name_of_a_team_or_user_is_in_the_artifact() -> None:
    """They are kept as digests."""
    encoded = encode(fit(base(), [Rating("poet", 0.9, 0.5, team="team-of-secrets", user="ann@example.com")]))
    assert b"team-of-secrets" not in encoded.manifest + encoded.arrays
    assert b"ann@example" not in encoded.manifest + encoded.arrays


def test_it_is_saved_loaded_and_decides(tmp_path: object) -> None:
    """The artifact holds its base, so that one file is enough; barred candidates stay out."""
    store = FileArtifactStore()
    store.save(f"{tmp_path}/own", fit(base(), ratings()))
    artifact = store.load(f"{tmp_path}/own")
    table = table_of(world(4))
    profile = build(recipe("personalized"), table, artifact, Tuning())
    features = Features(WordEmbedder().embed(" ".join(WORDS["verse"][:5])), "words@1")
    view = View(RouteRequest("r", "auto", prompt_tokens=10, caller=Caller(team="arts")), features, table, Vitals())
    assert table.names[profile.assess(view, {}, 0.0, 0).chosen] == "poet"
    assert table.names[profile.assess(view, {"poet": "cooling_down"}, 0.0, 0).chosen] != "poet"


def test_ratings_that_cannot_be_learned_from_are_errors() -> None:
    """An unknown model and a score out of range are named with their number."""
    with pytest.raises(DataError, match=r"rating 1 .*poet"):
        fit(base(), [Rating("poets", 0.5, 0.5)])
    with pytest.raises(DataError, match="rating 2"):
        fit(base(), [Rating("poet", 0.5, 0.5), Rating("poet", 1.5, 0.5)])
    with pytest.raises(DataError, match="already"):
        fit(fit(base(), []), [])


def test_an_unfit_artifact_is_refused() -> None:
    """Offsets that do not fit the groups, or a base that is not there, are ArtifactErrors."""
    artifact = fit(base(), ratings())
    with pytest.raises(ArtifactError, match="offsets"):
        scores(replace(artifact, arrays={**artifact.arrays, "offsets": np.zeros((1, 3))}), NOBODY)
    with pytest.raises(ArtifactError, match="base"):
        scores(replace(artifact, manifest=replace(artifact.manifest, training={})), NOBODY)
    kept = {name: values for name, values in artifact.arrays.items() if name != "base.scores"}
    with pytest.raises(ArtifactError, match="scores"):
        scores(replace(artifact, arrays=kept), NOBODY)
