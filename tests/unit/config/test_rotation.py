"""Which part is told of a changed secret, and what is said to take a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from routeiq.config import secrets as module
from routeiq.config.load import load
from routeiq.config.reload import Reloader, SyncStatus
from routeiq.config.rotation import Rotation
from routeiq.config.secrets import Secrets
from routeiq.routing.snapshot import Snapshot, SnapshotHolder
from routeiq.testing.fakes import FakeClock

MODEL = {"model_name": "a", "litellm_params": {"model": "openai/a", "api_key": "os.environ/THE_KEY"}}


class Files:
    """Watched files that never change."""

    paths: tuple[Path, ...] = ()

    def replace(self, paths: Any) -> None:
        self.paths = tuple(paths)

    def digest(self) -> str:
        return "d1"


class Scene:
    """A process with secrets in a folder; `told` is what its parts were told, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **sections: Any) -> None:
        self.told: list[str] = []
        self.refuses: dict[str, Any] = {}
        self.folder = folder / "secrets"
        self.folder.mkdir()
        self._monkeypatch = monkeypatch
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump({"model_list": [MODEL], "routeiq_settings": {}, **sections}))
        settings = load(path)
        self.secrets = Secrets({}, [self.folder], put=self._put)
        self.reloader = Reloader(
            settings,
            SnapshotHolder(Snapshot("v1", {})),
            None,
            watched=Files(),
            files=lambda settings: (),
            read=lambda: self._part("settings", (settings, Snapshot("v2", {}))),
            models=self,
            clock=FakeClock(),
            report=lambda status: None,
        )
        self.rotation = Rotation(
            self.secrets,
            master_key=self._master_key,
            redis=lambda url: self._part(f"redis {url}", True),
            database=lambda: bool(self._part("database", False)),
            spans=lambda: bool(self._part("spans", True)),
            told=lambda name: self._part(f"changed {name}", None),
            settled=self._settled,
            done=lambda: self._part(f"done {self.secrets.in_effect}", None),
            failed=lambda where, error: None,
        )
        self.rotation.start(self.reloader)

    def _put(self, values: Any) -> None:
        for name, value in values.items():
            self._monkeypatch.setenv(name, value)

    def _part(self, said: str, answer: Any) -> Any:
        self.told.append(said)
        answer = self.refuses.get(said.partition(" ")[0], answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _master_key(self, key: str, salted: bool) -> bool:
        return bool(self._part(f"master {key} {salted}", True))

    async def _settled(self) -> None:
        self._part("settled", None)

    async def admit(self, litellm: Any) -> frozenset[str]:
        return frozenset(self._part("models", ()))

    async def dismiss(self, ids: Any) -> None:
        """Nothing is gone."""

    def needs_restart(self, former: Any, present: Any) -> tuple[str, ...]:
        return ()

    async def change(self, **values: str) -> SyncStatus:
        for name, value in values.items():
            (self.folder / name).write_text(value)
        assert await self.secrets.check() == set(values)
        while self.rotation.busy:
            await asyncio.sleep(0)
        return self.reloader.status


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    return lambda **sections: Scene(tmp_path, monkeypatch, **sections)


async def test_a_key_of_models_needs_no_restart(scene: Callable[..., Scene]) -> None:
    """A key that models refer to, or that LiteLLM looks up at each call, is renewed with the models."""
    made = scene()
    status = await made.change(THE_KEY="new", OPENAI_API_KEY="other")
    assert made.told == ["changed OPENAI_API_KEY", "changed THE_KEY", "models", "settled", "done 1"]
    assert status.restart_needed == ()


async def test_the_master_key_is_the_one_that_the_file_names(scene: Callable[..., Scene]) -> None:
    """LiteLLM is told of the variable that its configuration refers to, and of no other."""
    made = scene(general_settings={"master_key": "os.environ/OUR_MASTER"})
    assert (await made.change(OUR_MASTER="sk-new")).restart_needed == ()
    assert made.told[-3] == "master sk-new False"
    assert (await made.change(LITELLM_MASTER_KEY="sk-other")).restart_needed == ("LITELLM_MASTER_KEY",)
    assert "master sk-other False" not in made.told


async def test_what_cannot_change_over_takes_a_restart(scene: Callable[..., Scene]) -> None:
    """Whatever a part refuses, LiteLLM holds elsewhere or nobody is known to look up again is named."""
    made = scene(litellm_settings={"cache": True, "cache_params": {"password": "os.environ/CACHE_PASSWORD"}})
    made.refuses = {"master": False, "redis": False, "database": True}
    status = await made.change(
        LITELLM_MASTER_KEY="sk-new",
        REDIS_URL="redis://:new@host",
        DATABASE_URL="postgresql://host",
        CACHE_PASSWORD="new",
        LITELLM_SALT_KEY="new",
    )
    assert set(status.restart_needed) == {
        "LITELLM_MASTER_KEY",
        "LITELLM_SALT_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "litellm_settings.cache",
        "litellm_settings.cache_params.password",
    }


async def test_our_own_redis_is_not_litellms(scene: Callable[..., Scene]) -> None:
    """With a Redis of our own a changed REDIS_URL is LiteLLM's business."""
    made = scene()
    await made.change(ROUTEIQ_REDIS_URL="redis://:one@ours")
    await made.change(REDIS_URL="redis://:two@theirs")
    assert [said for said in made.told if said.startswith("redis ")] == ["redis redis://:one@ours"]


async def test_settings_that_refer_to_a_secret_are_read_again(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that our section refers to has the configuration read again."""
    monkeypatch.setenv("TRUSTED", "ed25519:one")
    made = scene(routeiq_settings={"signatures": {"trusted_keys": ["os.environ/TRUSTED"]}})
    await made.change(THE_KEY="new", ROUTEIQ_DATABASE_URL="postgresql://next-connection")
    assert "settings" not in made.told
    assert (await made.change(TRUSTED="ed25519:two")).restart_needed == ()
    assert "settings" in made.told


async def test_headers_of_spans_change_without_a_restart(scene: Callable[..., Scene]) -> None:
    """Our spans are sent with the new ones; where we send none, nothing but a restart is known to help."""
    made, name = scene(), "OTEL_EXPORTER_OTLP_HEADERS"
    assert (await made.change(**{name: "key=one"})).restart_needed == ()
    assert "spans" in made.told
    made.refuses = {"spans": False}
    assert (await made.change(**{name: "key=two"})).restart_needed == (name,)


async def test_spans_of_litellm_keep_their_headers(scene: Callable[..., Scene]) -> None:
    """Where LiteLLM sends spans as well, a restart is said to be needed, and ours change all the same."""
    made = scene(litellm_settings={"callbacks": ["otel"]})
    status = await made.change(OTEL_EXPORTER_OTLP_TRACES_HEADERS="key=one")
    assert status.restart_needed == ("OTEL_EXPORTER_OTLP_TRACES_HEADERS",)
    assert "spans" in made.told


async def test_one_part_that_fails_keeps_no_other_from_changing(
    scene: Callable[..., Scene], caplog: pytest.LogCaptureFixture
) -> None:
    """What LiteLLM refuses is named as stale and logged without its text; the next part is told all the same."""
    made = scene()
    made.refuses = {"models": ValueError("key sk-new is no good")}
    status = await made.change(LITELLM_MASTER_KEY="sk-new")
    assert made.told[-3] == "master sk-new False"
    assert status.restart_needed == ("LITELLM_MASTER_KEY",)
    assert "LITELLM_MASTER_KEY took no effect: ValueError" in caplog.text
    assert "sk-new" not in caplog.text
