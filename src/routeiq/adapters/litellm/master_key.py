"""LiteLLM's master key, changed while its proxy runs.

Owns when that is possible, and how the former key is forgotten. LiteLLM looks at the variable of its module on every
request, so a new key counts from the next one on. Decides nothing about which key is right.
"""

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any, Final

_PROXY: Final = "litellm.proxy.proxy_server"

FORGOTTEN_AFTER_S: Final = (0.0, 1.0)
"""When the former key is taken out of LiteLLM's cache: a request under way may put it there once more."""


def has_database() -> bool:
    """Return whether LiteLLM is connected to a database."""
    return getattr(sys.modules.get(_PROXY), "prisma_client", None) is not None


async def change_master_key(present: str, salted: bool) -> bool:
    """Have LiteLLM accept this master key from the next request on and the former one no more.

    Returns False, and changes nothing, where that takes a restart: LiteLLM has no master key so far, or the master key
    encrypts what stands in its database because there is no salt key (`salted`).
    """
    state: MutableMapping[str, Any] = vars(sys.modules[_PROXY]) if _PROXY in sys.modules else {}
    former = state.get("master_key")
    if not isinstance(former, str) or (has_database() and not salted):
        return False
    if former == present:
        return True
    from litellm.proxy._types import hash_token

    state["master_key"], state["litellm_master_key_hash"] = present, hash_token(present)
    await _forget(hash_token(former), state)
    return True


async def _forget(token: str, state: MutableMapping[str, Any]) -> None:
    """Take a key out of LiteLLM's cache, where it would be accepted for a minute more."""
    from litellm.proxy.auth.auth_checks import delete_cache_key_object

    begun = 0.0
    for after_s in FORGOTTEN_AFTER_S:
        await asyncio.sleep(after_s - begun)
        begun = after_s
        await delete_cache_key_object(
            hashed_token=token,
            user_api_key_cache=state.get("user_api_key_cache"),
            proxy_logging_obj=state.get("proxy_logging_obj"),
        )
