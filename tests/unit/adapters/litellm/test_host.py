"""LiteLLM's version, and what is not installed."""

import subprocess
import sys

import pytest

from routeiq.adapters.litellm import host
from routeiq.core.errors import ConfigError


@pytest.mark.parametrize("found", ["1.106.2", "1.106.3rc1", "1.108.10", "2.0.0"])
def test_supported_versions(found: str) -> None:
    """Every release from the oldest supported one on is accepted."""
    host.check_version(found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("1.82.7", "compromised release"),
        ("1.82.8", "compromised release"),
        ("1.106.1", "needs 1.106.2 or newer"),
        ("1.99.9", "needs 1.106.2 or newer"),
    ],
)
def test_refused_versions(found: str, words: str) -> None:
    """A compromised or too old release is refused with what to run instead."""
    with pytest.raises(ConfigError, match=words) as refused:
        host.check_version(found)
    assert found in refused.value.message
    assert "pip install --upgrade 'routeiq-router[proxy]'" in refused.value.message


def test_absent_packages_are_not_looked_for_twice() -> None:
    """What is not installed is marked absent, what is installed is left alone, and the import fails as one does."""
    code = (
        "import sys; from routeiq.adapters.litellm import host; host._OPTIONAL = ('sys', 'no_such_thing'); "
        "host._settle_absences(); assert sys.modules['sys'] is sys; assert sys.modules['no_such_thing'] is None\n"
        "try:\n    import no_such_thing.inside\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("no_such_thing")


def test_a_missing_litellm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LiteLLM the error names the extra."""

    def missing(name: str) -> str:
        raise host.PackageNotFoundError(name)

    monkeypatch.setattr(host, "version", missing)
    with pytest.raises(ConfigError, match=r"routeiq-router\[proxy\]"):
        host.refuse_bad_version()
