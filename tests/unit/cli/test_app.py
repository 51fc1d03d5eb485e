"""How the command line ends: one message for every error, the right status, and no traceback unless asked for."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from routeiq.cli.output import Reporter
from routeiq.cli.serve import authority
from routeiq.core.errors import ArtifactDigestMismatch, DataError, StoreUnavailable, UnknownKey
from tests.unit.cli.conftest import Command

Config = Callable[[str], Path]


@pytest.mark.parametrize(
    ("error", "status", "start"),
    [
        (UnknownKey("no [such] key"), 2, "error[unknown_key]: no [such] key"),
        (ArtifactDigestMismatch("other bytes"), 2, "error[artifact_digest]: other bytes"),
        (DataError("row 3"), 2, "error[data_invalid]: row 3"),
        (StoreUnavailable("disk full"), 1, "error[store_unavailable]: disk full"),
        (ZeroDivisionError("oops"), 1, "error[internal]: ZeroDivisionError: oops"),
    ],
)
def test_every_error_has_a_reason_and_a_status(
    error: Exception, status: int, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a person can mend ends with 2, everything else with 1."""
    assert Reporter().report(error) == status
    assert capsys.readouterr().err.startswith(start)


def test_debug_shows_where_an_error_came_from(command: Command, tmp_path: Path) -> None:
    """With --debug the traceback comes before the message, without it there is none."""
    absent = tmp_path / "absent.yaml"
    plain = command("check", "-c", absent)
    assert (
        plain.err
        == f"error[config_invalid]: {absent}: there is no such file; name your LiteLLM configuration with --config\n"
    )
    assert "load.py" in command("--debug", "check", "-c", absent).err


def test_usage_errors_end_with_two(command: Command) -> None:
    """An unknown command or option ends with 2 and a suggestion."""
    assert "Did you mean 'check'?" in command("chek").err
    assert command("chek").status == 2
    assert command("check", "--cnfig", "x").status == 2


def test_serve_refuses_before_it_starts(command: Command, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the configuration or a missing master key ends with 2 before LiteLLM is imported."""
    monkeypatch.delitem(sys.modules, "litellm", raising=False)  # another test of this process may have imported it
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-long-enough")
    mistaken = command("serve", "-c", config("routeiq_settings: {stratgy: knn}\n"))
    assert mistaken.status == 2
    assert "did you mean 'strategy'?" in mistaken.err
    monkeypatch.delenv("LITELLM_MASTER_KEY")
    keyless = command("serve", "-c", config(""))
    assert keyless.status == 2
    assert "no master key is set" in keyless.err
    assert "litellm" not in sys.modules


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]:4000"), ("0.0.0.0", "0.0.0.0:4000"), ("localhost", "localhost:4000")]
)
def test_an_address_can_be_followed(host: str, shown: str) -> None:
    """Where the gateway says that it serves, a client finds it, also with IPv6."""
    assert authority(host, 4000) == shown


@pytest.mark.parametrize("missing", ["typer", "rich", "pydantic", "yaml"])
def test_a_bare_installation_says_what_to_install(missing: str) -> None:
    """Without the `cli` extra the command prints one line and ends with 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from routeiq.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"routeiq: the command line needs {missing}; run: pip install 'routeiq-router[cli]'"
    ]


def test_the_module_is_the_command() -> None:
    """`python -m routeiq` is `routeiq`."""
    done = subprocess.run([sys.executable, "-m", "routeiq", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: routeiq" in done.stdout
