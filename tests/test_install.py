"""How pip's settings reach uv when the environments are made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.install import pip_public_index, pip_settings, uv_environment

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = "https://public.example/simple"
MIRROR = "https://mirror.example/simple"


def test_the_more_particular_setting_wins() -> None:
    """For an install its own section beats the global one, a variable beats both, and other commands do not count."""
    listing = """
        :env:.timeout='9'
        download.cert='/other'
        global.cert='/general'
        global.index-url='https://mirror.example/simple'
        global.timeout='5'
        install.cert='/install'
        install.timeout='7'
    """
    assert pip_settings(listing) == {"timeout": "9", "cert": "/install", "index-url": MIRROR}


def test_a_mirror_replaces_the_public_index() -> None:
    """pip's index-url becomes uv's default index, and the certificate, proxy and links come along."""
    settings = {"index-url": MIRROR, "cert": "/ca.pem", "proxy": "http://proxy:8080", "find-links": "/a\n/b"}
    assert uv_environment(settings, {"HOME": "/h"}, PUBLIC) == {
        "HOME": "/h",
        "UV_DEFAULT_INDEX": MIRROR,
        "SSL_CERT_FILE": "/ca.pem",
        "ALL_PROXY": "http://proxy:8080",
        "UV_FIND_LINKS": "/a,/b",
    }


@pytest.mark.parametrize(("settings", "first"), [({}, PUBLIC), ({"index-url": MIRROR}, MIRROR)])
def test_extra_indexes_come_after_the_main_one(settings: dict[str, str], first: str) -> None:
    """All of pip's indexes are asked, the main one first, whether it is configured or pip's own."""
    variables = uv_environment(settings | {"extra-index-url": "https://one.example https://two.example"}, {}, PUBLIC)
    assert variables["UV_INDEX"].split() == [first, "https://one.example"]
    assert variables["UV_DEFAULT_INDEX"] == "https://two.example"
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_settings_of_uv_are_left_alone() -> None:
    """Whoever has set uv's own variables keeps them."""
    own = {"UV_INDEX": "https://mine.example", "SSL_CERT_FILE": "/mine.pem"}
    assert uv_environment({"index-url": MIRROR, "cert": "/ca.pem"}, own, PUBLIC) == own


def test_pip_names_its_index() -> None:
    """The installed pip still tells where it looks when nothing is configured."""
    assert pip_public_index().startswith("https://")


@pytest.mark.parametrize("step", ["uv", "demo", "dev", "newest"])
def test_a_missing_python_is_named_with_what_to_do(tmp_path: Path, step: str) -> None:
    """Without a suitable Python the bootstrap says which it found, which it needs and how to name another."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "bootstrap").write_text((ROOT / "scripts" / "bootstrap").read_text())
    command = ["bash", str(scripts / "bootstrap"), step]
    result = subprocess.run(command, env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)}, capture_output=True, text=True)
    assert result.returncode == 1
    assert "needs Python 3.11 to 3.14" in result.stderr
    assert "(Python 3.9.1)" in result.stderr
    assert "PYTHON=" in result.stderr


def test_an_unknown_step_is_named() -> None:
    """The bootstrap refuses a step that it does not know and lists those it does."""
    result = subprocess.run(["bash", str(ROOT / "scripts" / "bootstrap"), "everything"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "unknown step 'everything'; known: uv, demo, dev, newest, debian" in result.stderr
