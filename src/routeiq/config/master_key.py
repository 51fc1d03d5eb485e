"""Whether LiteLLM will start with the master key it is given: asked before seconds are spent on it."""

from collections.abc import Mapping
from typing import Any

from routeiq.config.environment import WEAK_KEY_ALLOWED, reference, weak_key_allowed
from routeiq.config.load import Settings
from routeiq.core.errors import ConfigError

PUBLICLY_KNOWN = "sk-1234"
"""The key of LiteLLM's own examples, which it refuses."""

_HOW = (
    'make one and keep it:\n  export LITELLM_MASTER_KEY="sk-$(openssl rand -hex 32)"\n'
    f"or, on a machine of your own only, set {WEAK_KEY_ALLOWED}=true"
)


def check_master_key(settings: Settings) -> None:
    """Raise ConfigError when LiteLLM would refuse to start for want of a safe master key. Never shows the key."""
    general: Mapping[str, Any] = settings.litellm.get("general_settings") or {}
    if weak_key_allowed() or general.get("dangerously_permit_weak_or_unset_master_key") is True:
        return
    written = general.get("master_key")
    if isinstance(written, str):
        where = settings.document.where(("general_settings", "master_key"))
        key = reference(written)
        if key is None and "key_management_system" in general:
            return
        where += f" ({written})" if written != key else ""
    else:
        where = "environment variable LITELLM_MASTER_KEY"
        key = settings.environment.master_key.get_secret_value() if settings.environment.master_key else None
    if key is None or not key.strip():
        raise ConfigError(f"{where}: no master key is set, and without one anybody could call your models; {_HOW}")
    if key.strip() == PUBLICLY_KNOWN:
        raise ConfigError(f"{where}: this master key is publicly known; {_HOW}")
