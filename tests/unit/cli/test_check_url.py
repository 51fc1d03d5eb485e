"""`routeiq config check-url`: whether the gateway may send somewhere."""

import pytest

from routeiq.cli.app import run


def test_metadata_ends_with_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    """An address of cloud metadata is refused with what to do about it."""
    assert run(["config", "check-url", "http://169.254.169.254"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "metadata services" in said
    assert "ROUTEIQ_SSRF_CIDR_ALLOWLIST" in said


def test_an_address_that_is_allowed_ends_with_status_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rules of the environment count."""
    assert run(["config", "check-url", "http://127.0.0.1:11434/v1"]) == 0
    assert "requests may be sent there" in capsys.readouterr().err
    monkeypatch.setenv("ROUTEIQ_SSRF_ALLOW_PRIVATE", "false")
    assert run(["config", "check-url", "http://127.0.0.1:11434/v1"]) == 2


def test_a_secret_that_cannot_be_read_is_a_mistake_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands read secrets from files before anything else; those that need none go on."""
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "/no/such/file")
    assert run(["check"]) == 2
    assert "OPENAI_API_KEY_FILE" in capsys.readouterr().err
    assert run(["version"]) == 0
