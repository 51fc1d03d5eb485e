"""Secrets in files: what is read, when a change is believed, who is told, and what is never shown."""

import logging
import os
from pathlib import Path

import pytest

from routeiq.config import secrets as module
from routeiq.config.environment import read_environment, secret_files, secret_folders
from routeiq.config.secrets import LONGEST, Secrets
from routeiq.core.errors import ConfigError

KEY = "sk-live-4f9a0c"


class Process:
    """An environment that is not the one of the test run."""

    def __init__(self, **values: str) -> None:
        self.values = dict(values)

    def open(self, named: dict[str, Path], *folders: Path) -> Secrets:
        secrets = Secrets(named, folders, known=self.values.get, put=self.values.update, now=lambda: 7.0)
        secrets.start()
        return secrets


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_S", 0.0)


def written(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def mount(folder: Path, generation: str, **files: str) -> None:
    """Write files as Kubernetes mounts a Secret: a folder of a generation, and a link that is exchanged."""
    data = folder / f"..{generation}"
    data.mkdir(parents=True)
    for name, text in files.items():
        written(data / name, text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")


def test_a_named_file_becomes_the_variable(tmp_path: Path) -> None:
    """NAME_FILE gives NAME, without the line break at the end of the file."""
    process = Process()
    secrets = process.open({"OPENAI_API_KEY": written(tmp_path / "openai", f"{KEY}\n")})
    assert secrets.current("OPENAI_API_KEY") == KEY == process.values["OPENAI_API_KEY"]
    assert secrets.names == {"OPENAI_API_KEY"}


def test_a_folder_gives_a_variable_per_file(tmp_path: Path) -> None:
    """A mounted Secret is read by the names of its files; a file that is named by a variable wins."""
    mount(tmp_path / "s", "1", OPENAI_API_KEY="a", GROQ_API_KEY="b")
    written(tmp_path / "s" / "not-a-name.txt", "c")
    named = written(tmp_path / "groq", "named")
    process = Process(MISTRAL_API_KEY="m")
    secrets = process.open({"GROQ_API_KEY": named}, tmp_path / "s")
    assert {name: secrets.current(name) for name in sorted(secrets.names)} == {
        "GROQ_API_KEY": "named",
        "OPENAI_API_KEY": "a",
    }
    assert secrets.current("MISTRAL_API_KEY") == "m"
    assert secrets.current("NO_SUCH_KEY") is None


async def test_an_exchanged_link_is_a_change_that_is_told(tmp_path: Path) -> None:
    """When the `..data` link leads elsewhere, those who want to know hear exactly the names that changed."""
    folder, told = tmp_path / "s", list[frozenset[str]]()
    mount(folder, "1", OPENAI_API_KEY="old", GROQ_API_KEY="same")
    process = Process()
    secrets = process.open({}, folder)
    secrets.on_change(lambda names: told.append(names) if secrets.current("OPENAI_API_KEY") == "new" else None)
    assert await secrets.check() == frozenset()
    mount(folder, "2", OPENAI_API_KEY="new", GROQ_API_KEY="same", XAI_API_KEY="added")
    assert await secrets.check() == {"OPENAI_API_KEY", "XAI_API_KEY"}
    assert told == [frozenset({"OPENAI_API_KEY", "XAI_API_KEY"})]
    assert process.values["OPENAI_API_KEY"] == "new"
    assert await secrets.check() == frozenset()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (None, "cannot be read: No such file"),
        ("x" * (LONGEST + 1), "too long for a secret"),
        (b"\xff\xfe", "is not UTF-8"),
        ("a\0b", "zero byte"),
    ],
)
async def test_a_bad_file_keeps_the_value_of_before(
    content: str | bytes | None, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that vanishes, is emptied or cannot be one stays what it was, and that is said once."""
    file = written(tmp_path / "key", KEY)
    secrets = Process().open({"OPENAI_API_KEY": file})
    file.unlink() if content is None else written(file, content)
    for _ in range(3):
        assert await secrets.check() == frozenset()
    assert secrets.current("OPENAI_API_KEY") == KEY
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert says in said[0]
    assert said[0].endswith("the value of before stays")
    assert says in str(secrets.status()["problems"])
    written(file, "sk-next")
    assert await secrets.check() == {"OPENAI_API_KEY"}
    assert secrets.status()["problems"] == {}


async def test_a_file_that_leaves_a_folder_keeps_its_value(tmp_path: Path) -> None:
    """A key that is taken out of a mounted Secret is kept, and shown as a problem."""
    mount(tmp_path / "s", "1", OPENAI_API_KEY=KEY)
    secrets = Process().open({}, tmp_path / "s")
    mount(tmp_path / "s", "2", OTHER="x")
    assert await secrets.check() == {"OTHER"}
    assert secrets.current("OPENAI_API_KEY") == KEY
    assert secrets.status()["problems"] == {"OPENAI_API_KEY": "its file is gone"}


async def test_a_value_that_does_not_stand_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is seen half written has no effect until it stays the same."""
    file = written(tmp_path / "key", "whole")
    secrets = Process().open({"OPENAI_API_KEY": file})
    written(file, "ha")
    look, looks = secrets._look, iter(("half", "half of", "the new one"))

    def changing() -> object:
        found = look()
        written(file, next(looks, "the new one"))
        return found

    monkeypatch.setattr(secrets, "_look", changing)
    assert await secrets.check() == frozenset()
    assert secrets.current("OPENAI_API_KEY") == "whole"
    monkeypatch.undo()
    monkeypatch.setattr(module, "SETTLED_S", 0.0)
    written(file, "the new one")
    assert await secrets.check() == {"OPENAI_API_KEY"}


async def test_an_address_that_cannot_be_one_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A changed URL of Redis that makes no sense is refused without being shown."""
    file = written(tmp_path / "redis", "redis://:first@host")
    secrets = Process().open({"REDIS_URL": file})
    written(file, "http://:second@host")
    assert await secrets.check() == frozenset()
    assert secrets.current("REDIS_URL") == "redis://:first@host"
    assert "the URL of Redis begins with 'http'" in caplog.text
    assert "second" not in caplog.text


async def test_a_master_key_that_everybody_knows_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """LiteLLM would not start with the key of its examples, so a change to it is no change."""
    file = written(tmp_path / "master", "sk-of-our-own")
    secrets = Process().open({"LITELLM_MASTER_KEY": file})
    written(file, "sk-1234")
    assert await secrets.check() == frozenset()
    assert secrets.current("LITELLM_MASTER_KEY") == "sk-of-our-own"
    assert "publicly known; the value of before stays" in caplog.text


def test_a_start_without_the_secret_is_refused(tmp_path: Path) -> None:
    """A named file that cannot be read stops the start, unless the variable itself has a value."""
    named = {"OPENAI_API_KEY": tmp_path / "none"}
    with pytest.raises(ConfigError, match=r"variable OPENAI_API_KEY_FILE: .*none cannot be read: No such file"):
        Process().open(named)
    assert Process(OPENAI_API_KEY=KEY).open(named).current("OPENAI_API_KEY") == KEY
    with pytest.raises(ConfigError, match="ROUTEIQ_SECRETS_DIR: expected a folder that exists"):
        Process().open({}, tmp_path / "nowhere")


async def test_what_anybody_may_read_is_advised_against(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that every user of the machine may read is named, once; one that only its owner may read is not."""
    named = {"A_API_KEY": written(tmp_path / "a", "a", 0o644), "B_API_KEY": written(tmp_path / "b", "b", 0o400)}
    secrets = Process().open(named)
    for _ in range(3):
        await secrets.check()
    (record,) = caplog.records
    assert "can read the files of A_API_KEY;" in record.getMessage()
    assert "0400" in record.getMessage()


def test_neither_status_nor_representation_shows_a_value(tmp_path: Path) -> None:
    """What is shown of secrets is names, times and problems."""
    secrets = Process().open({"OPENAI_API_KEY": written(tmp_path / "key", KEY)})
    assert secrets.status()["names"] == {"OPENAI_API_KEY": {"since": 7.0}}
    assert KEY not in f"{secrets.status()!r} {secrets!r} {secrets._look()!r}"


def test_the_environment_names_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name that may be a secret has its `_FILE`; names that mean something to others have not."""
    for name in ("OPENAI_API_KEY", "LITELLM_MASTER_KEY", "REDIS_URL", "DATABASE_URL", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    for name in (
        "SSL_CERT_FILE",
        "COMPOSE_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ):
        monkeypatch.setenv(name, "/etc/other")
    monkeypatch.setenv("ROUTEIQ_SECRETS_DIR", os.pathsep.join(("/run/secrets", "/vault/secrets")))
    assert secret_files() == {
        name: tmp_path / name
        for name in ("OPENAI_API_KEY", "LITELLM_MASTER_KEY", "REDIS_URL", "DATABASE_URL", "OTEL_EXPORTER_OTLP_HEADERS")
    }
    assert secret_folders() == (Path("/run/secrets"), Path("/vault/secrets"))


def test_our_own_secrets_may_stand_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ROUTEIQ_REDIS_URL_FILE` is a name like any other secret's, not an unknown setting."""
    monkeypatch.setenv("ROUTEIQ_REDIS_URL_FILE", str(written(tmp_path / "redis", "redis://own")))
    read_environment()
