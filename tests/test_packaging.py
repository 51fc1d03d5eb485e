"""What people install: the wheel, its size and contents, what it needs, and that the extras match LiteLLM's own."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import routeiq

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MEGABYTE = 2**20


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that has to succeed, and return what it printed."""
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the tools of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel and numpy only; numpy is linked from here, so no package index is asked."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    here = Path(importlib.metadata.distribution("numpy").locate_file(""))
    for entry in here.glob("numpy*"):
        (packages / entry.name).symlink_to(entry)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", wheel, cwd=folder)
    return python


def test_the_wheel_is_named_and_sized_as_promised(wheel: Path) -> None:
    """The wheel is routeiq_router, runs on any platform, and stays under 20 MB."""
    assert wheel.name == f"routeiq_router-{PROJECT['version']}-py3-none-any.whl"
    assert wheel.stat().st_size < 20 * MEGABYTE


def test_the_wheel_holds_everything_under_the_package(wheel: Path) -> None:
    """Code, type marker and data files are in the wheel, with the licence and the notice, and nothing else is."""
    listing = ["git", "ls-files", "src/routeiq"]
    if shutil.which("git") and (ROOT / ".git").exists():
        tracked = {name.removeprefix("src/") for name in run(*listing, cwd=ROOT).splitlines()}
    else:
        tracked = {"routeiq/__init__.py", "routeiq/py.typed"}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked if (ROOT / "src" / name).exists()} <= names
    assert {name.split("/")[0] for name in names} == {"routeiq", f"routeiq_router-{PROJECT['version']}.dist-info"}
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names}
    assert not [name for name in names if name.endswith((".pyc", ".log", ".sqlite3"))]


def test_it_installs_and_imports_with_numpy_alone(bare_python: Path) -> None:
    """Without extras nothing but numpy is needed, and the package imports from where it was installed."""
    packages = run(bare_python, "-I", "-c", "import routeiq; print(routeiq.__file__)", cwd=bare_python.parent)
    assert Path(packages.strip()).is_relative_to(bare_python.parent.parent)
    run(sys.executable, "-m", "pip", "--python", bare_python, "check", cwd=bare_python.parent)


def test_the_version_is_written_the_same_everywhere() -> None:
    """routeiq.__version__, the project file and the installed metadata agree."""
    assert routeiq.__version__ == PROJECT["version"] == importlib.metadata.version("routeiq-router")


def test_only_numpy_is_needed_without_extras() -> None:
    """The project's own dependency is numpy and no other."""
    assert [Requirement(text).name for text in PROJECT["dependencies"]] == ["numpy"]


def test_no_extra_asks_for_the_proprietary_package() -> None:
    """No extra brings litellm-enterprise, directly or through LiteLLM's own `proxy` extra."""
    requirements = [Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra]
    assert not [str(r) for r in requirements if r.name == "litellm-enterprise" or (r.name == "litellm" and r.extras)]
    assert not [d.name for d in importlib.metadata.distributions() if d.name.lower() == "litellm-enterprise"]


LITELLM_PROXY_REQUIREMENTS = """
import importlib.metadata, sys
print(importlib.metadata.version("litellm"))
print(*importlib.metadata.requires("litellm"), sep="\\n")
"""


def proxy_extra_of(python: str | Path) -> tuple[str, dict[str, Requirement]]:
    """The version of LiteLLM in an environment, and what its `proxy` extra asks for."""
    version, *lines = run(python, "-c", LITELLM_PROXY_REQUIREMENTS, cwd=ROOT).splitlines()
    needed = [Requirement(line) for line in lines if "extra == 'proxy'" in line.replace('"', "'")]
    return version, {r.name.lower(): r for r in needed if r.name != "litellm-enterprise"}


@pytest.mark.parametrize("release", ["pinned", "newest"])
def test_the_proxy_extra_covers_that_of_litellm(release: str, request: pytest.FixtureRequest) -> None:
    """All that LiteLLM's proxy needs, but for the proprietary package, is in the extra, and the locks satisfy it."""
    python = sys.executable if release == "pinned" else request.getfixturevalue("newest_python")
    version, needed = proxy_extra_of(python)
    ours = [Requirement(text) for extra in ("cli", "proxy") for text in PROJECT["optional-dependencies"][extra]]
    assert set(needed) <= {requirement.name.lower() for requirement in ours}
    (litellm,) = (requirement for requirement in ours if requirement.name == "litellm")
    assert litellm.specifier.contains(version)
    program = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"
    names = [name for name, r in needed.items() if r.marker is None or r.marker.evaluate({"extra": "proxy"})]
    installed = dict(zip(names, run(python, "-c", program, *names, cwd=ROOT).split(), strict=True))
    assert {n: v for n, v in installed.items() if not needed[n].specifier.contains(v, prereleases=True)} == {}
