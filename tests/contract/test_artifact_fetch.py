"""One suite over everywhere an artifact may be fetched from: S3 (a real server process), HTTP, a local folder."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from routeiq.adapters.object_store import open_folder, opening
from routeiq.config.addresses import checked, folder, joined, shown, stem
from routeiq.config.artifact_cache import ArtifactCache, Fenced, State
from routeiq.core.errors import ArtifactDigestMismatch, ArtifactError, SourceUnavailable
from routeiq.core.objects import Listed
from tests.contract.artifact_scene import BYTES, Bringing, Counting, encoded, pointer
from tests.contract.test_object_folders import Bucket, Files, Handler, Place, Ranges, Web
from tests.servers.relay import Relay, relay
from tests.servers.s3 import S3Server, environment, s3_server

ONE, TWO = encoded(1), encoded(2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["file", "http", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    path = tmp_path / "source"
    path.mkdir()
    if request.param == "file":
        found: Place = Files(path)
        found.address = f"file://{path}"
        yield found
    elif request.param == "http":
        web = Web(path, Ranges)
        web.address = f"http://user:secret@127.0.0.1:{web.server.server_port}"
        yield web
        web.server.server_close()
    else:
        running: S3Server = request.getfixturevalue("server")
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        bucket = Bucket(running, tmp_path.name)
        bucket.address = f"s3://{running.bucket}/{tmp_path.name}"
        yield bucket


@pytest.fixture
def files(tmp_path: Path) -> Place:
    """A place of which there is one kind only, for what does not depend on it."""
    found = Files(tmp_path / "source")
    found.path.mkdir()
    found.address = f"file://{found.path}"
    return found


@pytest.fixture
def bringing(tmp_path: Path) -> Bringing:
    return Bringing(tmp_path / "cache")


def put(place: Place, arrays: object, name: str = "knn") -> None:
    place.put(f"{name}.npz", arrays.arrays)
    place.put(f"{name}.json", arrays.manifest)


def test_what_is_here_is_not_fetched_again(place: Place, bringing: Bringing) -> None:
    """The first look fetches both files, later ones and other processes only ask whether anything changed."""
    put(place, ONE)
    address = f"{place.address}/knn.npz"
    assert bringing.version(address) == "knn-1"
    bringing.fetcher.refresh([address])
    other = Bringing(bringing.root)
    other.fetcher.refresh([address])
    assert (other.version(address), bringing.reads(), other.reads(), other.reads(".json")) == ("knn-1", 1, 0, 0)


def test_a_new_version_takes_the_place_of_the_former(place: Place, bringing: Bringing) -> None:
    """Only a look brings it; until then the former one is given, whatever is asked how often."""
    put(place, ONE)
    address = f"{place.address}/knn"
    assert bringing.version(address) == "knn-1"
    before = bringing.fetcher.cache.state_file(address).read_bytes()
    put(place, TWO)
    assert bringing.version(address) == "knn-1"
    bringing.fetcher.refresh([address])
    assert bringing.version(address) == "knn-2"
    assert bringing.fetcher.cache.state_file(address).read_bytes() != before


def test_words_about_the_same_arrays_are_fetched_alone(files: Place, bringing: Bringing) -> None:
    """A manifest that was signed or described anew brings no arrays."""
    put(files, ONE)
    address = f"{files.address}/knn.npz"
    bringing.version(address)
    files.put("knn.json", encoded(1, metrics={"score": 0.5}).manifest)
    bringing.fetcher.refresh([address])
    assert (bringing.version(address), bringing.reads(), bringing.reads(".json")) == ("knn-1", 1, 2)


@pytest.mark.parametrize("arrays", [TWO.arrays, ONE.arrays[:-1000]], ids=["other", "short"])
def test_wrong_arrays_are_refused_once(place: Place, bringing: Bringing, arrays: bytes) -> None:
    """Arrays that are not those of the manifest are never given, not fetched over and over, and healed by new ones."""
    put(place, TWO)
    address = f"{place.address}/knn.npz"
    bringing.version(address)
    place.put("knn.npz", arrays)
    place.put("knn.json", ONE.manifest)
    for _ in range(3):
        bringing.fetcher.refresh([address])
    with pytest.raises(ArtifactDigestMismatch, match="upload both again") as refused:
        bringing.version(address)
    assert "secret" not in refused.value.message
    assert bringing.version(address, strict=False) == "knn-2"
    assert bringing.reads() == 2
    put(place, ONE)
    bringing.fetcher.refresh([address])
    assert bringing.version(address) == "knn-1"


def test_a_first_version_that_is_wrong_is_nothing(files: Place, bringing: Bringing) -> None:
    """With nothing before it, nobody is given what was refused."""
    files.put("knn.npz", b"something")
    files.put("knn.json", ONE.manifest)
    for strict in (True, False):
        with pytest.raises(ArtifactDigestMismatch):
            bringing.version(f"{files.address}/knn.npz", strict=strict)


def test_a_place_that_is_gone_leaves_what_was_fetched(place: Place, bringing: Bringing, monkeypatch: object) -> None:
    """The error names the place without credentials; what is here is given, and what is not cannot be."""
    put(place, ONE)
    address = f"{place.address}/knn.npz"
    bringing.version(address)
    place.vanish()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    later = Bringing(bringing.root)
    with pytest.raises(SourceUnavailable) as gone:
        later.fetcher.refresh([address])
    assert "secret" not in gone.value.message
    with pytest.raises(SourceUnavailable):
        Bringing(bringing.root).fetcher.refresh([address], fresh_s=60.0)
    assert later.version(address) == "knn-1"
    with pytest.raises(SourceUnavailable):
        later.version(f"{place.address}/other.npz")


def test_google_speaks_the_same(server: S3Server, bringing: Bringing, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of Google Cloud Storage goes to its own endpoint, whatever endpoint S3 has."""
    for name, value in {**server.env, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(opening, "GCS", server.url)
    server.put("google/knn.npz", ONE.arrays)
    server.put("google/knn.json", ONE.manifest)
    assert bringing.version(f"gs://{server.bucket}/google/knn.npz") == "knn-1"


def test_an_artifact_that_is_not_there_is_named(files: Place, bringing: Bringing) -> None:
    """One file without the other is no artifact, and the message says what one is made of."""
    files.put("knn.npz", ONE.arrays)
    with pytest.raises(SourceUnavailable, match=r"knn\.json: there is no such object; an artifact is NAME\.npz"):
        bringing.version(f"{files.address}/knn.npz")


def test_a_pointer_says_which_artifact_serves(place: Place, bringing: Bringing) -> None:
    """It names one by a relative name or an address; changing it changes what is given, and back costs nothing."""
    put(place, ONE, "knn-1")
    put(place, TWO, "deeper/knn-2")
    address = f"{place.address}/champion.json"
    place.put("champion.json", pointer("knn-1.npz", ONE))
    assert bringing.version(address) == "knn-1"
    place.put("champion.json", pointer(f"{place.address}/deeper/knn-2.npz", TWO, version=None))
    assert bringing.version(address) == "knn-1"
    bringing.fetcher.refresh([address])
    assert bringing.version(address) == "knn-2"
    place.put("champion.json", pointer("knn-1", ONE, note="back, by request"))
    bringing.fetcher.refresh([address])
    assert (bringing.version(address), bringing.reads()) == ("knn-1", 2)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (pointer("knn-2.npz", ONE), "sha256"),
        (pointer("knn-1.npz", ONE, version="knn-9"), "version knn-9"),
        (pointer("knn-1.npz", ONE, sha256="12"), "64 hexadecimal digits"),
        (pointer("s4://bucket/knn-1.npz", ONE), "no scheme"),
        (pointer("knn-1.npz", ONE, sha265="12"), "did you mean 'sha256'"),
    ],
)
def test_a_pointer_that_is_wrong_changes_nothing(files: Place, bringing: Bringing, wrong: bytes, words: str) -> None:
    """It must name what is there by the right digest; what it named before is kept."""
    put(files, ONE, "knn-1")
    put(files, TWO, "knn-2")
    address = f"{files.address}/champion.json"
    files.put("champion.json", pointer("knn-1.npz", ONE))
    bringing.version(address)
    files.put("champion.json", wrong)
    bringing.fetcher.refresh([address])
    with pytest.raises(ArtifactError, match=words):
        bringing.version(address)
    assert bringing.version(address, strict=False) == "knn-1"


def test_what_serves_may_be_put_back_at_its_place(place: Place, bringing: Bringing) -> None:
    """When a refused version is replaced by the one in force, nothing is refused any more, and nothing fetched."""
    put(place, ONE, "knn-1")
    address, good = f"{place.address}/champion.json", pointer("knn-1.npz", ONE)
    place.put("champion.json", good)
    bringing.version(address)
    place.put("champion.json", pointer("knn-1.npz", TWO))
    bringing.fetcher.refresh([address])
    place.put("champion.json", good)
    bringing.fetcher.refresh([address])
    assert (bringing.version(address), bringing.reads()) == ("knn-1", 1)


def test_a_pointer_leads_nowhere_else(tmp_path: Path, bringing: Bringing) -> None:
    """Who may write a pointer cannot have the gateway ask other hosts, or read its files."""
    (tmp_path / "source").mkdir()
    web = Web(tmp_path / "source", Handler)
    web.put("champion.json", pointer("http://127.0.0.1:9/knn.npz", ONE))
    with pytest.raises(ArtifactError, match="its own bucket or host"):
        bringing.version(f"http://127.0.0.1:{web.server.server_port}/champion.json")
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture(params=["http", "s3"])
def cutting(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place behind a relay that can cut its answers off."""
    path = tmp_path / "source"
    path.mkdir()
    if request.param == "http":
        web: Place = Web(path, Ranges)
        with relay(web.server.server_port) as between:
            web.address, web.between = f"http://127.0.0.1:{between.port}", between
            yield web
        web.server.server_close()
        return
    running: S3Server = request.getfixturevalue("server")
    for name, value in running.env.items():
        monkeypatch.setenv(name, value)
    bucket: Place = Bucket(running, tmp_path.name)
    with relay(urlsplit(running.url).port or 0) as between:
        for name, value in environment(between.url).items():
            monkeypatch.setenv(name, value)
        bucket.address, bucket.between = f"s3://{running.bucket}/{tmp_path.name}", between
        yield bucket


def test_a_download_that_is_cut_goes_on(cutting: Place, bringing: Bringing) -> None:
    """However often it is cut, every byte is read once, and only once it is whole it is given."""
    put(cutting, ONE)
    between: Relay = cutting.between
    between.cut = [60_000, 50_000]
    assert bringing.version(f"{cutting.address}/knn.npz") == "knn-1"
    first, second, third = between.reads()
    assert first == 0 < second < third < BYTES


def test_a_download_that_failed_is_gone_on_with_later(cutting: Place, bringing: Bringing) -> None:
    """What was read before the place went silent is not read again by the process that comes next."""
    put(cutting, ONE)
    between: Relay = cutting.between
    address, between.cut = f"{cutting.address}/knn.npz", [100_000, *[1] * 20]
    with pytest.raises(SourceUnavailable):
        bringing.version(address)
    assert between.cut, "it was tried without end"
    between.cut = []
    assert Bringing(bringing.root).version(address) == "knn-1"
    assert between.reads()[-1] > 50_000


def test_the_disk_holds_what_was_used_last(files: Place, tmp_path: Path) -> None:
    """Beyond the bound what was not used for longest goes, but nothing that is followed; what went is fetched again."""
    small = Bringing(tmp_path / "cache", max_bytes=int(2.5 * BYTES))
    addresses = [f"{files.address}/knn-{seed}.npz" for seed in range(4)]
    for seed, address in enumerate(addresses):
        put(files, encoded(seed), f"knn-{seed}")
        process = Bringing(small.root, small.max_bytes)
        assert process.version(address) == f"knn-{seed}"
        content = process.fetcher.path(address, strict=True).parent
        os.utime(content, (time.time() - 100 + seed,) * 2)
    kept = [Bringing(small.root).fetcher.cache.state(address).version for address in addresses]
    assert kept == [None, None, "knn-2", "knn-3"]
    small.fetcher.refresh(addresses)
    assert [small.version(address) for address in addresses] == [f"knn-{seed}" for seed in range(4)]


def test_who_was_replaced_changes_nothing(tmp_path: Path) -> None:
    """Of two that fetch, the one that began later has its way, in whichever order they come to their ends."""
    cache = ArtifactCache(tmp_path, 1)
    cache.prepare("s3://bucket/knn.npz")
    first = cache.claim("s3://bucket/knn.npz", 1_000)
    second = cache.claim("s3://bucket/knn.npz", 900)
    assert second > first >= 1_000
    cache.publish("s3://bucket/knn.npz", second, State(("new",), None, "new"))
    with pytest.raises(Fenced):
        cache.publish("s3://bucket/knn.npz", first, State(("old",), None, "old"))
    assert cache.state("s3://bucket/knn.npz").version == "new"


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(tmp_path: Path) -> None:
    """A look of a moment ago is enough for all processes of a host; one that is yet to come is none."""
    cache = ArtifactCache(tmp_path, 1)
    cache.prepare("s3://bucket/knn.npz")
    cache.look("s3://bucket/knn.npz")
    assert cache.looked("s3://bucket/knn.npz", 60.0)
    (looked,) = tmp_path.rglob("looked")
    os.utime(looked, (time.time() + 3_600.0,) * 2)
    assert not cache.looked("s3://bucket/knn.npz", 60.0)


def test_what_another_took_over_is_left_to_it(files: Place, bringing: Bringing) -> None:
    """One that finds its part gone has been replaced: it changes nothing, and that is no trouble of the place."""

    class Robbed(Counting):
        def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
            found = super().fetch(name, listed, to)
            if name.endswith(".npz"):
                to.unlink()
            return found

    put(files, ONE)
    bringing.places[files.address] = Robbed(open_folder(files.address))
    address = f"{files.address}/knn.npz"
    bringing.fetcher.refresh([address])
    assert (bringing.fetcher.cache.state(address), bringing.fetcher.cache.trouble(address)) == (State(), "")
    with pytest.raises(Fenced, match="another process went on"):
        bringing.version(address)


def test_a_cache_of_somebody_else_is_not_believed(
    files: Place, bringing: Bringing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder decides what serves: one of another user is refused, and the message says what to do."""
    put(files, ONE)
    found = os.stat(tmp_path)
    theirs = os.stat_result((*found[:4], 12_345, *found[5:]))
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: theirs if path == bringing.root else stat(path, **how))
    with pytest.raises(SourceUnavailable, match=r"uid 12345.*artifact_cache\.path"):
        bringing.version(f"{files.address}/knn.npz")


@pytest.mark.parametrize("wrong", ["ftp://host/knn.npz", "s3:///knn.npz", "s3://bucket", "s3://bucket/"])
def test_what_is_no_address_is_said(wrong: str) -> None:
    """The message shows what addresses look like."""
    with pytest.raises(ValueError, match=r"s3://BUCKET/PATH/knn\.npz"):
        checked(wrong)


def test_addresses_come_apart() -> None:
    """Folder, name and what is shown of an address; a query stays with every object of it."""
    address = "https://user:secret@host:8443/models/knn-1.2.npz?token=secret"
    assert folder(address) == "https://user:secret@host:8443/models?token=secret"
    assert (stem(address), stem("s3://b/knn-1.2")) == ("knn-1.2", "knn-1.2")
    assert shown(address) == "https://host:8443/models/knn-1.2.npz"
    assert joined("s3://b/reg/champion.json", "knn/knn-7.npz") == "s3://b/reg/knn/knn-7.npz"
