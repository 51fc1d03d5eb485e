"""The order of a reload, and that what fails leaves everything as it was."""

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from routeiq.config.load import Settings, load
from routeiq.config.rehearsal import PROMPTS, rehearse
from routeiq.config.reload import KEPT, Reloader, SyncStatus
from routeiq.config.sync import Syncer
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ConfigError, SourceUnavailable, UnknownVersion
from routeiq.core.objects import Listed
from routeiq.guard.degraded import OBJECT_STORE, Degraded
from routeiq.guard.tasks import end
from routeiq.routing.profile import Profile
from routeiq.routing.snapshot import Route, Snapshot, SnapshotHolder
from routeiq.routing.stages import Prediction, View
from routeiq.routing.strategies import Tuning, build, recipe
from routeiq.routing.table import CandidateTable
from routeiq.testing.fakes import FakeClock

TABLE = CandidateTable((Candidate("a", size=1.0), Candidate("b", size=2.0)))


def snapshot(version: str) -> Snapshot:
    return Snapshot(version, {"auto": Route("auto", TABLE, build(recipe("smallest", {}), TABLE, None, Tuning()))})


class Files:
    """Watched files whose digest is set by hand."""

    def __init__(self) -> None:
        self.paths: tuple[Path, ...] = ()
        self.now = "d1"

    def replace(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def digest(self) -> str:
        return self.now


class Host:
    """A host's models, and what it was told in which order."""

    def __init__(self, holder: SnapshotHolder) -> None:
        self.told: list[str] = []
        self.refusal: Exception | None = None
        self._holder = holder

    async def admit(self, litellm: Mapping[str, Any]) -> Collection[str]:
        self.told.append(f"admit under {self._holder.current.version}")
        if self.refusal is not None:
            raise self.refusal
        return frozenset({"gone"})

    async def dismiss(self, ids: Collection[str]) -> None:
        self.told.append(f"dismiss {','.join(ids)} under {self._holder.current.version}")

    def needs_restart(self, former: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
        return ("general_settings",)


class Place:
    """A folder of objects that is there, or is not."""

    location = "s3://models"

    def __init__(self) -> None:
        self.gone = False

    def listing(self) -> Mapping[str, Listed]:
        if self.gone:
            raise SourceUnavailable("s3://models does not answer")
        return {"config.yaml": Listed("1", 3)}

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        to.write_text("a: 1")
        return listed


class Scene:
    """A reloader over fakes; `wanted` is what reading gives, or the error it ends in."""

    def __init__(self, tmp_path: Path, place: Place | None = None) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("model_list: []\nrouteiq_settings: {}\n")
        self.settings = load(path)
        self.wanted: Snapshot | Exception = snapshot("v2")
        self.read_count = 0
        self.extra: tuple[Path, ...] = ()
        self.holder = SnapshotHolder(snapshot("v1"))
        self.files, self.host = Files(), Host(self.holder)
        self.reports: list[SyncStatus] = []
        self.degraded = Degraded(FakeClock())
        self.reloader = Reloader(
            self.settings,
            self.holder,
            None,
            watched=self.files,
            files=lambda settings: (*settings.files, *self.extra),
            read=self.read,
            models=self.host,
            clock=FakeClock(),
            report=self.reports.append,
            syncer=Syncer(place, tmp_path / "fetched") if place is not None else None,
            fetched=partial(self.degraded.report, OBJECT_STORE),
        )

    def read(self) -> tuple[Settings, Snapshot]:
        self.read_count += 1
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.settings, self.wanted


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_a_file_that_keeps_a_version_from_serving_is_watched(scene: Scene, tmp_path: Path) -> None:
    """When a file besides the configuration is wrong, its change has the version tried again."""
    mistake = ConfigError("policy.yaml: no")
    mistake.file = tmp_path / "policy.yaml"
    scene.wanted, scene.files.now = mistake, "d2"
    assert (await scene.reloader.check()).state == "rejected"
    assert tmp_path / "policy.yaml" in scene.files.paths
    scene.wanted, scene.files.now = snapshot("v2"), "d3"
    assert (await scene.reloader.check()).state == "ok"
    assert tmp_path / "policy.yaml" not in scene.files.paths


async def test_what_could_not_be_fetched_is_tried_again(scene: Scene) -> None:
    """A version whose artifact is not here yet is refused once, and taken up when it is, though no file changed."""
    scene.wanted, scene.files.now = SourceUnavailable("s3://b/knn.npz: has not been fetched yet"), "d2"
    for _ in range(3):
        status = await scene.reloader.check()
        assert (status.state, status.reason, status.rejected) == ("rejected", "source_unavailable", 1)
    assert (scene.read_count, len(scene.reports)) == (3, 1)
    scene.wanted = snapshot("v2")
    assert (await scene.reloader.check()).version == "v2"
    reads = scene.read_count
    await scene.reloader.check()
    assert scene.read_count == reads


async def test_nothing_new_is_not_read(scene: Scene) -> None:
    """Files that did not change are not read again, unless somebody insists."""
    await scene.reloader.check()
    assert (scene.read_count, scene.reports) == (0, [])
    await scene.reloader.check(force=True)
    assert scene.read_count == 1


async def test_models_are_there_before_they_are_chosen_and_go_after(scene: Scene) -> None:
    """New models are added under the old snapshot, gone ones are taken out under the new."""
    scene.files.now = "d2"
    status = await scene.reloader.check()
    assert scene.host.told == ["admit under v1", "dismiss gone under v2"]
    assert (status.state, status.version, status.digest, status.seen) == ("ok", "v2", "d2", "d2")
    assert status.restart_needed == ("general_settings",)
    assert scene.reports == [status]


@pytest.mark.parametrize("stage", ["read", "host", "rehearsal"])
async def test_a_refused_version_is_tried_once(scene: Scene, stage: str) -> None:
    """Whatever refuses a version, the old one serves, and only another version, or somebody, has it tried again."""
    if stage == "read":
        scene.wanted = ConfigError("config.yaml:3: no")
    elif stage == "host":
        scene.host.refusal = RuntimeError("sk-secret")
    else:
        scene.wanted = broken()
    scene.files.now = "d2"
    status = await scene.reloader.check()
    assert (status.state, status.version, status.digest, status.seen) == ("rejected", "v1", "d1", "d2")
    assert scene.holder.current.version == "v1"
    assert "sk-secret" not in (status.message or "")
    reads = scene.read_count
    await scene.reloader.check()
    assert scene.read_count == reads
    scene.wanted, scene.host.refusal, scene.files.now = snapshot("v3"), None, "d3"
    assert (await scene.reloader.check()).version == "v3"


async def test_a_file_without_models_is_no_version(scene: Scene, tmp_path: Path) -> None:
    """A file that was cut short, or is being written, takes no models away: what serves goes on."""
    scene.settings.path.write_text("model_list:\n  - {model_name: m, litellm_params: {model: openai/m}}\n")
    scene.reloader.settings = load(scene.settings.path)
    scene.files.now = "d2"
    status = await scene.reloader.check()
    assert (status.state, status.version, scene.host.told) == ("rejected", "v1", [])
    assert "every call would fail" in (status.message or "")


async def test_other_files_are_watched_before_they_are_read(scene: Scene) -> None:
    """A version that is made of another file is read again once that is watched, so that no change is missed."""
    scene.extra = (Path("/nowhere/knn.npz"),)
    scene.files.now = "d2"
    await scene.reloader.check()
    assert scene.read_count == 2
    assert scene.files.paths[-1] == scene.extra[0]


async def test_a_way_back_is_a_change(scene: Scene) -> None:
    """After a refusal the files of the version that serves are in sync again as soon as they are back."""
    scene.wanted, scene.files.now = ConfigError("no"), "d2"
    await scene.reloader.check()
    scene.wanted, scene.files.now = snapshot("v1"), "d1"
    status = await scene.reloader.check()
    assert (status.state, status.digest, status.seen, status.rejected) == ("ok", "d1", "d1", 1)


async def test_the_version_before_is_put_back_until_the_files_change(scene: Scene) -> None:
    """Going back swaps at once, holds while the files stay as they are, and ends with the next version."""
    scene.files.now = "d2"
    await scene.reloader.check()
    status = await scene.reloader.rollback()
    assert (status.state, status.version, status.digest, status.seen) == ("rolled_back", "v1", "d1", "d2")
    assert (scene.holder.current.version, status.former) == ("v1", ("v2",))
    assert (await scene.reloader.check()).version == "v1"
    assert (await scene.reloader.rollback("v2")).version == "v2"
    scene.wanted, scene.files.now = snapshot("v3"), "d3"
    status = await scene.reloader.check()
    assert (status.state, status.version, status.former) == ("ok", "v3", ("v2", "v1"))


async def test_only_what_served_can_be_put_back(scene: Scene) -> None:
    """A version that never served, or is forgotten, is an error that names those there are."""
    with pytest.raises(UnknownVersion, match="served no other"):
        await scene.reloader.rollback()
    for number in range(2, 10):
        scene.wanted, scene.files.now = snapshot(f"v{number}"), f"d{number}"
        await scene.reloader.check()
    assert len(scene.reloader.status.former) == KEPT - 1
    with pytest.raises(UnknownVersion, match="known: v8, v7"):
        await scene.reloader.rollback("v1")
    scene.host.refusal = ConfigError("no")
    with pytest.raises(ConfigError):
        await scene.reloader.rollback("v8")
    assert scene.holder.current.version == "v9"


async def test_an_object_store_that_is_away_is_a_dependency(tmp_path: Path) -> None:
    """Looks that could not fetch degrade, and looks that could mend; what is fetched is as before."""
    place = Place()
    place.gone = True
    scene = Scene(tmp_path, place)
    for _ in range(2):
        assert "does not answer" in str((await scene.reloader.check()).source_error)
    assert scene.degraded.checks() == {"object_store": SourceUnavailable.reason}
    place.gone = False
    for _ in range(3):
        assert (await scene.reloader.check()).source_error is None
    assert scene.degraded.checks() == {"object_store": "ok"}
    assert (tmp_path / "fetched" / "config.yaml").read_text() == "a: 1"


async def test_a_folder_that_cannot_be_written_is_not_the_object_stores_fault(tmp_path: Path) -> None:
    """What hinders on this side is said, and degrades nothing."""
    (tmp_path / "fetched").touch()
    scene = Scene(tmp_path, Place())
    assert "cannot be written" in str((await scene.reloader.check()).source_error)
    assert scene.degraded.checks() == {}


class Breaks:
    """A scorer that cannot read one of the prompts."""

    name = "breaks"

    def predict(self, view: View) -> Prediction:
        if "🙂" in view.request.text:
            raise ValueError(view.request.text)
        raise NotImplementedError


def broken() -> Snapshot:
    good = snapshot("broken")
    route = good.routes["auto"]
    profile: Profile = replace(route.profile, scorers=((Breaks(), 1.0),))
    return Snapshot("broken", {"auto": replace(route, profile=profile)})


def test_a_rehearsal_names_alias_and_strategy_but_no_prompt() -> None:
    """A strategy that breaks is refused by alias, kind of error and number of the prompt."""
    rehearse(snapshot("v1"), None)
    with pytest.raises(ConfigError, match=rf"alias 'auto' .*NotImplementedError.* 1 of {len(PROMPTS)}"):
        rehearse(broken(), None)


async def test_looks_of_many_workers_fall_apart(scene: Scene) -> None:
    """The first comes at any time within the interval, later pauses differ by a fifth, and none is longer."""

    class Chance(random.Random):
        asked: ClassVar[list[tuple[float, float]]] = []

        def uniform(self, a: float, b: float) -> float:
            self.asked.append((a, b))
            return super().uniform(a, b)

    looking = asyncio.create_task(scene.reloader.run(0.02, lambda where, error: None, Chance(7)))
    async with asyncio.timeout(20):
        while len(Chance.asked) < 4:
            await asyncio.sleep(0.01)
    await end(looking)
    assert Chance.asked[0] == (0.0, 0.02)
    assert all(bounds == (pytest.approx(0.016), 0.02) for bounds in Chance.asked[1:])
