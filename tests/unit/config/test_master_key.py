"""The master key: what LiteLLM would refuse is refused first, and no key is ever shown."""

from pathlib import Path

import pytest

from routeiq.config.load import load
from routeiq.config.master_key import check_master_key
from routeiq.core.errors import ConfigError
from tests.unit.config.scene import write


def check(folder: Path, general: str = "") -> None:
    """Check a configuration with the given general settings."""
    check_master_key(load(write(folder, f"model_list: []\n{general}")))


def test_a_key_in_the_environment_or_the_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may stand in LITELLM_MASTER_KEY, in the file, or where the file refers to."""
    check(tmp_path, "general_settings: {master_key: sk-of-my-own}\n")
    monkeypatch.setenv("THE_KEY", "sk-elsewhere")
    check(tmp_path, "general_settings: {master_key: os.environ/THE_KEY}\n")
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-of-my-own")
    check(tmp_path)


@pytest.mark.parametrize(
    ("general", "message"),
    [
        ("", "variable LITELLM_MASTER_KEY: no master key is set"),
        ("general_settings: {master_key: ''}\n", "config.yaml:2: general_settings.master_key: no master key is set"),
        ("general_settings: {master_key: os.environ/NOT_SET}\n", r"master_key \(os.environ/NOT_SET\): no master key"),
        ("general_settings: {master_key: sk-1234}\n", "general_settings.master_key: this master key is publicly known"),
    ],
)
def test_no_key_or_a_known_one_is_refused(tmp_path: Path, general: str, message: str) -> None:
    """Without a key of its own the gateway would be open to anybody; the message has a command that makes one."""
    with pytest.raises(ConfigError, match=message) as caught:
        check(tmp_path, general)
    assert "openssl rand -hex 32" in caught.value.message


def test_the_operator_may_insist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM's own switch for development machines is honoured, as is a key that only a key manager knows."""
    check(tmp_path, "general_settings: {dangerously_permit_weak_or_unset_master_key: true}\n")
    check(tmp_path, "general_settings: {master_key: os.environ/IN_THE_VAULT, key_management_system: azure_key_vault}\n")
    monkeypatch.setenv("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true")
    check(tmp_path)
