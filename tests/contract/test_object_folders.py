"""One suite over every folder of objects: S3 (a real server process), HTTP with ETags, a folder of this host."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from routeiq.adapters.object_store import open_folder
from routeiq.config.sync import STATE, Syncer
from routeiq.core.errors import ConfigError, SourceUnavailable
from routeiq.core.objects import Listed, ObjectFolder
from tests.servers.s3 import S3Server, s3_server

NAMES = ("config.yaml", "knn.npz", "knn.json", "sub/more.yaml", "notes.md")


class Place(Protocol):
    """Where a test puts objects, and the folder that is read."""

    folder: ObjectFolder

    def put(self, name: str, content: bytes) -> None: ...
    def delete(self, name: str) -> None: ...
    def vanish(self) -> None: ...


class Files:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder: ObjectFolder = open_folder(f"file://{path}")

    def put(self, name: str, content: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / "new").write_bytes(content)
        os.replace(self.path / "new", self.path / name)

    def delete(self, name: str) -> None:
        (self.path / name).unlink()

    def vanish(self) -> None:
        os.rename(self.path, self.path.with_name("elsewhere"))


class Handler(SimpleHTTPRequestHandler):
    """A static web server with ETags."""

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{hashlib.md5(path.read_bytes()).hexdigest()}"')
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Ranges(Handler):
    """A web server that also gives the rest of a file, if it is still the one that is meant."""

    def do_GET(self) -> None:
        path, wanted = Path(self.translate_path(self.path)), self.headers["Range"]
        content = path.read_bytes() if path.is_file() else b""
        if wanted is None or self.headers["If-Range"] != f'"{hashlib.md5(content).hexdigest()}"':
            return super().do_GET()
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])


class Web(Files):
    def __init__(self, path: Path, handler: type[Handler]) -> None:
        super().__init__(path)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(path)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.folder = open_folder(f"http://user:secret@127.0.0.1:{self.server.server_port}", NAMES)

    def vanish(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Bucket:
    def __init__(self, server: S3Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.folder: ObjectFolder = open_folder(f"s3://{server.bucket}/{prefix}", endpoint=server.url)

    def put(self, name: str, content: bytes) -> None:
        self.server.put(f"{self.prefix}/{name}", content)

    def delete(self, name: str) -> None:
        self.server.delete(f"{self.prefix}/{name}")

    def vanish(self) -> None:
        self.folder = open_folder(f"s3://nowhere/{self.prefix}", endpoint="http://127.0.0.1:9")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["file", "http", "http-plain", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    path = tmp_path / "source"
    path.mkdir()
    if request.param == "file":
        yield Files(path)
    elif request.param.startswith("http"):
        web = Web(path, Ranges if request.param == "http" else Handler)
        yield web
        web.server.server_close()
    else:
        running: S3Server = request.getfixturevalue("server")
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield Bucket(running, tmp_path.name)


def stored(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".")}


def test_what_changed_is_fetched_and_nothing_else(place: Place, tmp_path: Path) -> None:
    """The first run fetches everything that belongs to a configuration, the next nothing, a later one what changed."""
    for name in NAMES:
        place.put(name, name.encode())
    syncer = Syncer(place.folder, tmp_path / "to")
    first = syncer.sync()
    assert set(first.fetched) == {"config.yaml", "knn.npz", "knn.json", "sub/more.yaml"}
    assert first.bytes == sum(len(name) for name in first.fetched)
    assert stored(tmp_path / "to") == {name: name.encode() for name in first.fetched}
    assert not syncer.sync().changed
    place.put("knn.npz", b"other")
    assert syncer.sync().fetched == ("knn.npz",)
    assert stored(tmp_path / "to")["knn.npz"] == b"other"
    assert not Syncer(place.folder, tmp_path / "to").sync().changed


def test_what_is_gone_is_removed_and_what_was_lost_comes_back(place: Place, tmp_path: Path) -> None:
    """Only what this sync brought is removed; a file that somebody deleted here is fetched again."""
    place.put("config.yaml", b"a")
    place.put("knn.npz", b"b")
    syncer = Syncer(place.folder, tmp_path / "to")
    syncer.sync()
    (tmp_path / "to" / "own.yaml").write_text("mine")
    (tmp_path / "to" / "config.yaml").unlink()
    place.delete("knn.npz")
    done = syncer.sync()
    assert (done.fetched, done.removed) == (("config.yaml",), ("knn.npz",))
    assert set(stored(tmp_path / "to")) == {"config.yaml", "own.yaml"}


def test_a_source_that_is_gone_leaves_everything(place: Place, tmp_path: Path) -> None:
    """The error names the place without credentials, and what was fetched before stays."""
    place.put("config.yaml", b"a")
    Syncer(place.folder, tmp_path / "to").sync()
    place.vanish()
    with pytest.raises(SourceUnavailable) as refused:
        Syncer(place.folder, tmp_path / "to").sync()
    assert "secret" not in refused.value.message
    assert stored(tmp_path / "to") == {"config.yaml": b"a"}


def test_one_object_is_known_by_its_name(place: Place) -> None:
    """The head of an object is what the listing says of it, and None where there is no object."""
    place.put("knn.npz", b"arrays")
    assert place.folder.head("knn.npz") == place.folder.listing()["knn.npz"]
    assert place.folder.head("knn.json") is None


@pytest.mark.parametrize("begun", [70_000, 100_000], ids=["most", "whole"])
def test_a_read_that_was_cut_goes_on(place: Place, tmp_path: Path, begun: int) -> None:
    """What a file has of the object already is completed, and where the place cannot do that it is read anew."""
    content = os.urandom(100_000)
    place.put("knn.npz", content)
    to = tmp_path / "part"
    to.write_bytes(content[:begun])
    assert place.folder.fetch("knn.npz", place.folder.listing()["knn.npz"], to).size == len(content)
    assert to.read_bytes() == content


def test_more_than_the_object_is_not_its_beginning(place: Place, tmp_path: Path) -> None:
    """A file that is longer than the object is something else, and is written anew."""
    place.put("knn.npz", b"arrays")
    (tmp_path / "part").write_bytes(b"something else")
    place.folder.fetch("knn.npz", place.folder.listing()["knn.npz"], tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b"arrays"


def test_the_rest_of_another_version_is_not_taken(place: Place, tmp_path: Path) -> None:
    """A part is not completed with what replaced its object; what was read stays for whoever knows its tag."""
    place.put("knn.npz", b"one version")
    listed = place.folder.listing()["knn.npz"]
    (tmp_path / "part").write_bytes(b"one")
    place.put("knn.npz", b"another one, longer")
    with pytest.raises(SourceUnavailable):
        place.folder.fetch("knn.npz", listed, tmp_path / "part")


def test_an_empty_place_is_no_order_to_delete(place: Place, tmp_path: Path) -> None:
    """A listing without any object is taken for a mistake, not for the wish to have nothing."""
    place.put("config.yaml", b"a")
    syncer = Syncer(place.folder, tmp_path / "to")
    syncer.sync()
    place.delete("config.yaml")
    with pytest.raises(SourceUnavailable, match="has no object"):
        syncer.sync()
    assert stored(tmp_path / "to") == {"config.yaml": b"a"}


def test_another_version_than_the_listed_one_is_not_taken(place: Place, tmp_path: Path) -> None:
    """Between listing and reading an object may change: then it is an error, and read at the next look."""
    place.put("config.yaml", b"one")
    listed = place.folder.listing()["config.yaml"]
    place.put("config.yaml", b"another")
    with pytest.raises(SourceUnavailable):
        place.folder.fetch("config.yaml", listed, tmp_path / "got")


class Short:
    """A folder whose second object cannot be read to its end."""

    location = "test://short"

    def listing(self) -> dict[str, Listed]:
        return {"a.yaml": Listed("1", 1), "b.npz": Listed("2", 1)}

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        if name == "b.npz":
            raise SourceUnavailable("b.npz: came short")
        to.write_text("x")
        return replace(listed, size=1)


def test_half_a_fetch_is_none(tmp_path: Path) -> None:
    """When one object of several cannot be had, none of them is put in place."""
    with pytest.raises(SourceUnavailable):
        Syncer(Short(), tmp_path).sync()
    assert stored(tmp_path) == {}
    assert not (tmp_path / STATE).exists()


class Hostile(Short):
    """A folder whose names lead elsewhere."""

    def listing(self) -> dict[str, Listed]:
        return {
            name: Listed("1", 1) for name in ("../up.yaml", "/abs.yaml", "a/../../b.yaml", ".ssh/key.pem", "ok.yaml")
        }

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        to.write_text("x")
        return listed


def test_names_do_not_lead_out(tmp_path: Path) -> None:
    """Objects whose names point outside of the folder, or to hidden files, are not ours."""
    assert Syncer(Hostile(), tmp_path / "to").sync().fetched == ("ok.yaml",)


def test_one_process_of_a_host_fetches(tmp_path: Path) -> None:
    """While one syncs, another has nothing to do; one that waits finds everything there."""
    reading, going_on = threading.Event(), threading.Event()

    class Slow(Hostile):
        reads = 0

        def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
            Slow.reads += 1
            reading.set()
            assert going_on.wait(30)
            return super().fetch(name, listed, to)

    first = threading.Thread(target=Syncer(Slow(), tmp_path).sync)
    first.start()
    assert reading.wait(30)
    assert not Syncer(Slow(), tmp_path).sync().changed
    waiting = threading.Thread(target=Syncer(Slow(), tmp_path).sync, kwargs={"wait": True})
    waiting.start()
    going_on.set()
    first.join(30)
    waiting.join(30)
    assert Slow.reads == 1


@pytest.mark.parametrize(
    ("address", "words"), [("ftp://x/y", "scheme 'ftp'"), ("https://u:secret@host/p", "--object"), ("s4://b", "s3://")]
)
def test_an_address_that_cannot_be_read_says_what_can(address: str, words: str) -> None:
    """The message names the known schemes, and never the password."""
    with pytest.raises(ConfigError, match=words) as refused:
        open_folder(address)
    assert "secret" not in refused.value.message
