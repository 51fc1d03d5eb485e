"""Artifacts on disk: names, and that a reader never sees half of one."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files import artifacts
from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError

OLD = Artifact(Manifest("knn", "old", ("a", "b"), "", ""), {"one": np.zeros(50_000)})
NEW = replace(OLD, manifest=replace(OLD.manifest, version="new"), arrays={"one": np.ones(50_000)})


@pytest.mark.parametrize("name", ["knn.npz", "knn.json", "knn"])
def test_either_file_or_the_stem_names_the_artifact(tmp_path: Path, name: str) -> None:
    """All three names mean the same two files, and nothing else is left behind."""
    FileArtifactStore(tmp_path).save(name, OLD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knn.json", "knn.npz"]
    assert FileArtifactStore().load(str(tmp_path / name)).manifest.version == "old"


def test_a_dot_in_a_name_is_not_an_ending(tmp_path: Path) -> None:
    """Versions in names survive."""
    FileArtifactStore(tmp_path).save("knn-1.5", OLD)
    assert (tmp_path / "knn-1.5.npz").exists()
    assert FileArtifactStore(tmp_path).load("knn-1.5").manifest.version == "old"


def test_readers_never_see_half_of_a_save(tmp_path: Path) -> None:
    """While a writer replaces an artifact over and over every load is whole, the old or the new one."""
    store = FileArtifactStore(tmp_path)
    store.save("knn", OLD)
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            store.save("knn", NEW if turn % 2 == 0 else OLD)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    loads = 0
    while not done.is_set() or loads < 20:
        found = store.load("knn")
        assert found.arrays["one"][0] == (1.0 if found.manifest.version == "new" else 0.0)
        loads += 1
    writer.join()
    assert store.load("knn").manifest.version == "old"


@pytest.mark.parametrize("step", range(1, 4))
def test_a_crash_in_the_middle_of_a_save_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whichever rename is the last that happened, the former artifact loads, and the next save works."""
    store = FileArtifactStore(tmp_path)
    store.save("knn", OLD)
    done, rename = [0], os.replace

    def crash(source: Path, target: Path) -> None:
        done[0] += 1
        if done[0] == step:
            raise OSError(5, "power cut")
        rename(source, target)

    monkeypatch.setattr(artifacts.os, "replace", crash)
    with pytest.raises(ArtifactError, match="power cut"):
        store.save("knn", NEW)
    assert store.load("knn").manifest.version == "old"
    monkeypatch.undo()
    store.save("knn", NEW)
    assert store.load("knn").manifest.version == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knn.json", "knn.npz"]


def test_a_second_crash_does_not_lose_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays kept for the manifest in force are not overwritten by a save that also fails."""
    store = FileArtifactStore(tmp_path)
    store.save("knn", OLD)
    rename = os.replace

    def crash(source: Path, target: Path) -> None:
        if Path(target).suffix == ".json":
            raise OSError(5, "power cut")
        rename(source, target)

    monkeypatch.setattr(artifacts.os, "replace", crash)
    for _ in range(2):
        with pytest.raises(ArtifactError):
            store.save("knn", NEW)
    assert store.load("knn").manifest.version == "old"


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    """The error says which file, and what to do."""
    store = FileArtifactStore(tmp_path)
    store.save("knn", OLD)
    with (tmp_path / "knn.npz").open("r+b") as file:
        file.truncate(1_000)
    with pytest.raises(ArtifactDigestMismatch, match=r"knn\.npz.*train anew"):
        store.load("knn")


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    """Arrays without a manifest, or a manifest without arrays, say which file is missing."""
    store = FileArtifactStore(tmp_path)
    for missing in ("knn.npz", "knn.json"):
        store.save("knn", OLD)
        (tmp_path / missing).unlink()
        with pytest.raises(ArtifactError, match=rf"{missing} does not exist"):
            store.load("knn")


def test_a_place_that_cannot_be_written_is_an_artifact_error(tmp_path: Path) -> None:
    """A folder that is a file ends in a message and not in a stack trace."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        FileArtifactStore(tmp_path / "file").save("knn", OLD)
