"""The salt of prompt hashes."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from routeiq.adapters.sql.sqlite import load_or_create_salt
from routeiq.core.errors import ConfigError


def test_the_salt_stays_the_same_and_private(tmp_path: Path) -> None:
    """The salt is drawn once, is read back afterwards, and only its owner may read the file."""
    file = tmp_path / "deep" / "log.salt"
    salt = load_or_create_salt(file)
    assert len(salt) == 32
    assert load_or_create_salt(file) == salt
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in file.parent.iterdir()] == ["log.salt"]


def test_two_installations_have_different_salts(tmp_path: Path) -> None:
    """Salts are drawn at random."""
    assert load_or_create_salt(tmp_path / "a") != load_or_create_salt(tmp_path / "b")


def test_workers_that_start_together_agree(tmp_path: Path) -> None:
    """Many that ask for a salt that is not there yet all get the same one."""
    with ThreadPoolExecutor(16) as pool:
        salts = set(pool.map(load_or_create_salt, [tmp_path / "salt"] * 64))
    assert len(salts) == 1


def test_a_damaged_salt_is_an_error(tmp_path: Path) -> None:
    """A file of the wrong length is not used, and the message says what to do."""
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes where 32 were expected; restore"):
        load_or_create_salt(tmp_path / "salt")


def test_a_salt_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    """A salt that cannot be written down is an error that names the file."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"file/salt: "):
        load_or_create_salt(tmp_path / "file" / "salt")
