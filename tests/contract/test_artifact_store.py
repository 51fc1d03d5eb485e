"""What every artifact store promises, wherever it keeps the bytes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import ArtifactError
from routeiq.core.ports import ArtifactStore
from routeiq.learn.knn import fit
from routeiq.learn.training import predict, table_of
from routeiq.routing.scorers.neighbours import NeighbourScorer
from tests.unit.learn.scene import WordEmbedder, vectors, world

ARTIFACT = Artifact(Manifest("knn", "", ("a", "b"), "", ""), {"one": np.arange(3.0)})


@pytest.fixture(params=["folder", "anywhere"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """Each implementation in turn."""
    if request.param == "folder":
        return FileArtifactStore(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    return FileArtifactStore()


def test_a_saved_artifact_is_loaded_as_it_was_saved(store: ArtifactStore) -> None:
    """Save returns what load gives: arrays, manifest, digest and version."""
    saved = store.save("one", ARTIFACT)
    found = store.load("one")
    assert found.manifest == saved.manifest
    assert found.manifest.sha256
    assert found.manifest.version
    np.testing.assert_array_equal(found.arrays["one"], ARTIFACT.arrays["one"])


def test_names_do_not_share_content(store: ArtifactStore) -> None:
    """Two artifacts stand side by side."""
    store.save("one", ARTIFACT)
    store.save("two", replace(ARTIFACT, arrays={"one": np.zeros(2)}))
    assert store.load("one").arrays["one"].shape == (3,)
    assert store.load("two").arrays["one"].shape == (2,)


def test_saving_again_replaces(store: ArtifactStore) -> None:
    """The last one saved is the one loaded."""
    store.save("one", ARTIFACT)
    second = store.save("one", replace(ARTIFACT, arrays={"one": np.zeros(2)}))
    assert store.load("one").manifest.version == second.manifest.version


def test_an_artifact_that_is_not_there_is_an_artifact_error(store: ArtifactStore) -> None:
    """The message names what was asked for and the nearest one there is."""
    store.save("router", ARTIFACT)
    with pytest.raises(ArtifactError, match=r"rooter.*'router'"):
        store.load("rooter")


DECIDE = """
import sys
import numpy as np
from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.learn.training import predict, table_of
from routeiq.routing.scorers.neighbours import NeighbourScorer
from tests.unit.learn.scene import world, vectors

table = table_of(world(4))
scorer = NeighbourScorer.from_artifact(FileArtifactStore(sys.argv[1]).load("knn"), table)
np.save(sys.argv[2], predict(scorer, table, vectors(world(20, seed=3)), "words@1"))
"""


def test_a_learned_artifact_predicts_the_same_in_another_process(tmp_path: Path) -> None:
    """What was trained here and loaded there gives the very same numbers."""
    matrix = world(200)
    saved = FileArtifactStore(tmp_path).save("knn", fit(matrix, vectors(matrix), WordEmbedder().id))
    root = Path(__file__).resolve().parent.parent.parent
    subprocess.run([sys.executable, "-c", DECIDE, str(tmp_path), str(tmp_path / "found.npy")], check=True, cwd=root)
    table = table_of(world(4))
    expected = predict(NeighbourScorer.from_artifact(saved, table), table, vectors(world(20, seed=3)), "words@1")
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), expected)
