"""Strategies of other packages: loaded when named, and only then."""

import sys
from pathlib import Path

import pytest

from routeiq.config.plugins import strategies
from routeiq.core.errors import ConfigError

MODULE = """\
from routeiq.routing.pickers import Best
from routeiq.routing.scorers.static import Uniform
from routeiq.routing.strategies import Recipe

mine = Recipe("mine", "somebody's", lambda table, artifact: Uniform(), Best)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with entry points into a folder on the path."""
    (tmp_path / "theirs.py").write_text(MODULE)
    (tmp_path / "theirs_broken.py").write_text("import no_such_module\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[routeiq.strategies]\nmine = theirs:mine\nother = theirs:mine\n"
        "class = theirs:Recipe\nbroken = theirs_broken:mine\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("theirs", "theirs_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_named_strategy_is_loaded(package: Path) -> None:
    """A strategy that the settings name comes from the package that offers it."""
    assert strategies(["mine", "random"])["mine"].summary == "somebody's"


def test_nothing_is_imported_that_is_not_named(package: Path) -> None:
    """A package whose strategy nobody names is not imported."""
    assert strategies(["random", "nobody's"]) == {}
    assert "theirs" not in sys.modules


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"'broken' \(theirs_broken:mine, from theirs\) cannot be loaded: ModuleNotFoundError"),
        ("class", "is a type; expected a routeiq.routing.strategies.Recipe"),
        ("other", "calls itself 'mine'; the entry point and the recipe must agree"),
    ],
)
def test_a_bad_plugin_is_named(package: Path, name: str, message: str) -> None:
    """A strategy that cannot be loaded is an error with its name, its package and the cause."""
    with pytest.raises(ConfigError, match=message):
        strategies([name])
