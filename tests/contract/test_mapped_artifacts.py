"""Artifacts that stay in their file: the same to every strategy, shared by processes, released after it."""

import gc
import os
import subprocess
import sys
import weakref
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.files.fetched import ArtifactMemory, FetchedArtifactStore
from routeiq.adapters.files.mapped import load_mapped
from routeiq.core.artifact import Artifact, Manifest
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, SourceUnavailable
from routeiq.routing import codec
from routeiq.routing.scorers.neighbours import NeighbourScorer
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from tests.contract.test_learned_strategies import about, ask, every_family, trained

POINTS, DIRECTIONS, MODELS = 40_000, 256, ("a", "b")
MEGABYTE = 1 << 20


def knn(points: int = POINTS, fill: float = 0.0) -> Artifact:
    """An artifact of `knn` that is mostly points."""
    single = {"mean": np.zeros(DIRECTIONS), "basis": np.eye(DIRECTIONS), "scale": np.ones(DIRECTIONS)}
    sums = {name: np.ones((points, 2)) for name in ("score_sum", "score_count", "tokens_sum", "latency_sum")}
    means = {name: np.ones(2) for name in ("prior_score", "prior_tokens", "prior_latency", "input_price")}
    random = np.random.default_rng(0).random((points, DIRECTIONS))
    arrays = {**single, **sums, **means, "output_price": np.ones(2), "prompts": np.ones(points), "points": random}
    arrays["kernel"] = np.array([0.5, 1.0, 0.0, 1.0 + fill])
    manifest = Manifest("knn", "", MODELS, "", "", embedder="words@1", dimensions=DIRECTIONS)
    return Artifact(manifest, {name: array.astype(np.float32) for name, array in arrays.items()})


def mapped(path: Path) -> Artifact:
    return load_mapped(path.with_suffix(".npz"), path.with_suffix(".json"), path.name)


@every_family
def test_a_mapped_artifact_is_the_artifact(name: str, tmp_path: Path) -> None:
    """Every strategy predicts the same from arrays that are mapped and may not be written to."""
    FileArtifactStore().save(str(tmp_path / "one"), trained(name))
    found = mapped(tmp_path / "one")
    assert not any(array.flags.writeable for array in found.arrays.values())
    np.testing.assert_array_equal(
        ask(found, features=about("verse")).score, ask(trained(name), features=about("verse")).score
    )


def test_arrays_lie_where_they_can_be_used(tmp_path: Path) -> None:
    """Whatever the names and lengths of arrays, none has to be copied, and numpy reads the file as before."""
    arrays = {"n" * length: np.arange(length + 1, dtype=np.float32) for length in range(1, 70)}
    saved = FileArtifactStore().save(str(tmp_path / "odd"), Artifact(Manifest("x", "", ("a",), "", ""), arrays))
    found = mapped(tmp_path / "odd").arrays
    for name, array in np.load(tmp_path / "odd.npz").items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].ctypes.data % 64 == 0
    assert codec.seal(saved).manifest.sha256 == saved.manifest.sha256


def test_what_cannot_be_mapped_is_copied(tmp_path: Path) -> None:
    """A compressed file, and one that another program wrote, hold the same arrays."""
    arrays = {"one": np.arange(1_000.0), "two": np.asfortranarray(np.arange(12.0).reshape(3, 4))}
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "other.npz", **arrays)
        encoded = codec.encode(Artifact(Manifest("x", "", ("a",), "", ""), arrays))
        digest = sha256((tmp_path / "other.npz").read_bytes()).hexdigest()
        ours = codec.decode_manifest(encoded.manifest, "x").sha256
        (tmp_path / "other.json").write_bytes(encoded.manifest.replace(ours.encode(), digest.encode()))
        for name, array in mapped(tmp_path / "other").arrays.items():
            np.testing.assert_array_equal(array, arrays[name])


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    """Nothing is ever unpickled, mapped or not."""
    np.savez(tmp_path / "bad.npz", one=np.array([{}], dtype=object))
    encoded = codec.encode(Artifact(Manifest("x", "", ("a",), "", ""), {"one": np.zeros(1)}))
    digest = sha256((tmp_path / "bad.npz").read_bytes()).hexdigest()
    ours = codec.decode_manifest(encoded.manifest, "x").sha256
    (tmp_path / "bad.json").write_bytes(encoded.manifest.replace(ours.encode(), digest.encode()))
    with pytest.raises(ArtifactError, match="pickled"):
        mapped(tmp_path / "bad")


MEASURE = """
import sys
from pathlib import Path
from routeiq.adapters.files.artifacts import FileArtifactStore
from routeiq.adapters.files.mapped import load_mapped
from routeiq.core.candidate import Candidate
from routeiq.routing.scorers.neighbours import NeighbourScorer
from routeiq.routing.table import CandidateTable

path, table = Path(sys.argv[2]), CandidateTable((Candidate("a"), Candidate("b")))
artifact = load_mapped(path, path.with_suffix(".json"), "x") if sys.argv[1] == "mapped" else None
scorer = NeighbourScorer.from_artifact(artifact or FileArtifactStore().load(str(path)), table)
assert scorer.search.points.times(scorer.search.offset).shape
print("loaded", flush=True)
for _ in sys.stdin:
    said = Path("/proc/self/smaps_rollup").read_text()
    print(next(line.split()[1] for line in said.splitlines() if line.startswith("Pss:")), flush=True)
"""


def shares(how: str, path: Path, count: int) -> float:
    """Return the memory of processes that serve from an artifact, shared pages counted once, in megabytes."""
    command = [sys.executable, "-c", MEASURE, how, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout.readline() == "loaded\n"
        total = 0
        for process in processes:
            process.stdin.write("how much?\n")
            process.stdin.flush()
            total += int(process.stdout.readline())
        return total / 1024
    finally:
        for process in processes:
            process.communicate(timeout=60)


def test_two_processes_share_a_mapped_artifact(tmp_path: Path) -> None:
    """The second worker costs the artifact once more when it is read, and next to nothing when it is mapped."""
    FileArtifactStore().save(str(tmp_path / "knn"), knn())
    path = tmp_path / "knn.npz"
    size = path.stat().st_size / MEGABYTE
    second = {how: shares(how, path, 2) - shares(how, path, 1) for how in ("read", "mapped")}
    print(f"artifact {size:.0f} MB, a second process costs {second}")
    assert second["read"] - second["mapped"] > 0.8 * size


def test_a_process_holds_what_it_used_last(tmp_path: Path) -> None:
    """Beyond its bound of bytes the least recently used artifact is let go, and one that is larger is not held."""
    size = 8 * 1_000
    memory, one = ArtifactMemory(2 * size), {"one": np.zeros(1_000)}
    made = {name: Artifact(Manifest("x", name, ("a",), "", ""), dict(one)) for name in "abc"}
    memory.put(Path("a"), made["a"])
    memory.put(Path("b"), made["b"])
    assert memory.get(Path("a")) is made["a"]
    memory.put(Path("c"), made["c"])
    assert (memory.get(Path("b")), memory.bytes) == (None, 2 * size)
    memory.put(Path("d"), Artifact(made["a"].manifest, {"one": np.zeros(3_000)}))
    assert memory.get(Path("d")) is None
    assert memory.get(Path("a")) is made["a"]


def test_files_that_did_not_change_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that serves holds an artifact of a path until either file is another, however alike; and checks it."""
    read: list[str] = []
    load = FileArtifactStore.load
    monkeypatch.setattr(FileArtifactStore, "load", lambda self, name: read.append(name) or load(self, name))
    store, path = FetchedArtifactStore(Shelf(tmp_path), ArtifactMemory(2**20)), str(tmp_path / "knn.npz")
    FileArtifactStore().save(path, knn(10))
    first = store.load(path)
    assert store.load(path) is first
    assert not first.arrays["points"].flags.writeable
    content = (tmp_path / "knn.npz").read_bytes()
    os.utime(path, ns=(1, 1))
    second = store.load(path)
    assert (second is first, second.manifest) == (False, first.manifest)
    FileArtifactStore().save(path, knn(10, 0.25))
    third = store.load(path)
    assert third.manifest.sha256 != first.manifest.sha256
    assert (store.load(path) is third, len(read)) == (True, 3)
    (tmp_path / "knn.npz").write_bytes(content)
    os.utime(path, ns=(2, 2))
    with pytest.raises(ArtifactError):
        store.load(path)


def test_a_process_that_starts_holds_nothing(tmp_path: Path) -> None:
    """What is read from a path before anything is served is not kept beside what serves; nor is what is too large."""
    path = str(tmp_path / "knn.npz")
    FileArtifactStore().save(path, knn(10))
    starting = FetchedArtifactStore(Shelf(tmp_path), ArtifactMemory(2**20), strict=False)
    assert starting.load(path) is not starting.load(path)
    small = FetchedArtifactStore(Shelf(tmp_path), ArtifactMemory(100))
    assert (small.load(path) is small.load(path), small.memory.bytes) == (False, 0)


def test_versions_of_one_artifact_share_what_is_computed_from_it(tmp_path: Path) -> None:
    """Two tables of the same candidates have one matrix of sums, others their own; it ends with who serves with it."""
    made = knn(10)
    made.arrays["score_sum"][:, 0] = 0.25
    FileArtifactStore().save(str(tmp_path / "knn.npz"), made)
    found = FetchedArtifactStore(Shelf(tmp_path), ArtifactMemory(2**20)).load(str(tmp_path / "knn.npz"))

    def scorer(*names: str, price: float = 1e-6) -> NeighbourScorer:
        return NeighbourScorer.from_artifact(found, CandidateTable(tuple(Candidate(n, price) for n in names)))

    one, dearer, other = scorer("a", "b"), scorer("a", "b", price=2e-6), scorer("b", "a")
    assert one.sums is dearer.sums
    assert np.array_equal(other.sums.matrix[0], one.sums.matrix[1])
    assert not np.array_equal(other.sums.matrix, one.sums.matrix)
    alive = weakref.ref(one.sums)
    del one, dearer
    assert alive() is None


class Shelf:
    """Fetched artifacts in a folder, one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at, self.gone = folder, 0, False

    def path(self, address: str, *, strict: bool, wait_s: float | None = 0.0) -> Path:
        path = self.folder / f"{self.at}.npz"
        if not path.exists():
            if self.gone:
                raise SourceUnavailable("gone")
            FileArtifactStore().save(str(path), knn(6_000, self.at / 1_000))
        return path

    def discard(self, path: Path) -> None:
        path.unlink()


def test_what_was_served_before_is_released(tmp_path: Path) -> None:
    """Over fifty swaps memory stays what the artifacts of the bound take, and no former snapshot is alive."""
    shelf, memory = Shelf(tmp_path), ArtifactMemory(4 * 6_000 * DIRECTIONS * 4)
    store = FetchedArtifactStore(shelf, memory)
    table = CandidateTable((Candidate("a"), Candidate("b")))

    def snapshot() -> Snapshot:
        route = Route("auto", table, build(recipe("knn"), table, store.load("s3://b/knn.npz"), Tuning()))
        return Snapshot(str(shelf.at), {"auto": route})

    def mapped_files() -> int:
        return len({line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".npz" in line})

    holder, former = SnapshotHolder(snapshot()), []
    for turn in range(1, 51):
        shelf.at = turn
        former.append(weakref.ref(holder.current.routes["auto"].profile.scorers[0][0].search.points.pieces))
        holder.swap(snapshot())
        (tmp_path / f"{turn - 1}.npz").unlink()
    gc.collect()
    assert [found() for found in former] == [None] * 50
    assert mapped_files() <= 4
    assert memory.bytes <= memory.max_bytes


def test_a_cache_that_was_damaged_is_filled_again(tmp_path: Path) -> None:
    """Bytes that changed on this host are noticed before they serve, and fetched once more."""
    shelf = Shelf(tmp_path)
    store = FetchedArtifactStore(shelf, ArtifactMemory(0))
    good = store.load("s3://b/knn.npz").manifest.sha256
    with (tmp_path / "0.npz").open("r+b") as file:
        file.seek(5_000)
        file.write(b"damaged")
    assert store.load("s3://b/knn.npz").manifest.sha256 == good
    with (tmp_path / "0.npz").open("r+b") as file:
        file.write(b"x")
    shelf.gone = True
    with pytest.raises(SourceUnavailable):
        store.load("s3://b/knn.npz")
    with pytest.raises(ArtifactError, match="cannot be written to an address"):
        store.save("s3://b/knn.npz", knn(10))
