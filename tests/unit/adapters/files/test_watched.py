"""What counts as a change of a file."""

import os
from pathlib import Path

from routeiq.adapters.files.watched import WatchedFiles


def watching(*paths: Path) -> WatchedFiles:
    watched = WatchedFiles()
    watched.replace(paths)
    return watched


def test_only_content_is_a_change(tmp_path: Path) -> None:
    """A file that is touched, or written again with the same bytes, has not changed; one with other bytes has."""
    path = tmp_path / "a"
    path.write_text("one")
    watched = watching(path)
    first = watched.digest()
    os.utime(path, (1, 1))
    assert watched.digest() == first
    (tmp_path / "b").write_text("one")
    os.replace(tmp_path / "b", path)
    assert watched.digest() == first
    path.write_text("two")
    assert watched.digest() != first


def test_a_mounted_configuration_changes_by_its_link(tmp_path: Path) -> None:
    """The exchange of the folder that Kubernetes' `..data` points to is seen, though the path stays the same."""
    for name, text in (("v1", "one"), ("v2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    watched = watching(tmp_path / "config.yaml")
    first = watched.digest()
    (tmp_path / "..new").symlink_to("v2")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    assert watched.digest() != first


def test_a_file_that_comes_or_goes_is_a_change(tmp_path: Path) -> None:
    """That a file cannot be read is part of what is known, and is looked at again every time."""
    path = tmp_path / "late"
    watched = watching(path)
    absent = watched.digest()
    assert watched.digest() == absent
    path.write_text("here")
    present = watched.digest()
    assert present != absent
    path.unlink()
    assert watched.digest() == absent


def test_unchanged_files_are_not_read(tmp_path: Path) -> None:
    """A look at files that look the same opens none of them: content that moved under the same stamp goes unseen."""
    path = tmp_path / "a"
    path.write_text("one")
    os.utime(path, ns=(5, 5))
    watched = watching(path)
    first = watched.digest()
    path.write_text("two")
    os.utime(path, ns=(5, 5))
    assert watched.digest() == first


def test_other_files_can_be_watched(tmp_path: Path) -> None:
    """The list can be exchanged; what is no longer in it is forgotten."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("a")
    b.write_text("b")
    watched = watching(a, a, b)
    assert watched.paths == (a, b)
    watched.digest()
    watched.replace([b])
    assert set(watched.known()) == {b}


def test_replicas_with_the_same_files_have_the_same_digest(tmp_path: Path) -> None:
    """What counts is names and contents in their order, not the folder they stand in."""
    digests = []
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
        for name in ("config.yaml", "knn.npz"):
            (tmp_path / folder / name).write_text(name if folder != "three" else f"{name} changed")
        digests.append(watching(*sorted((tmp_path / folder).iterdir())).digest())
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]
