"""LiteLLM's `custom_auth` for the tests of compound models: virtual keys without a database.

Runs in the environment of the LiteLLM under test, so it imports nothing but LiteLLM.
"""

import os
from typing import Any

from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

NARROW = "sk-narrow-5Pz2kWq8"
BARE = "sk-bare-1Vt6mXc3"
LIMITED = "sk-limited-9Hd4sLb7"


async def authenticate(request: Any, api_key: str) -> UserAPIKeyAuth:
    """Return whose key it is: an admin's, one of two candidates, one of no candidate, one of few calls a minute."""
    known: dict[str, dict[str, Any]] = {
        os.environ["LITELLM_MASTER_KEY"]: {"user_role": LitellmUserRoles.PROXY_ADMIN},
        NARROW: {"models": ["sim-tiny", "sim-small"], "team_id": "red"},
        BARE: {"models": ["careful"]},
        LIMITED: {"models": [], "rpm_limit": 2},
    }
    if api_key not in known:
        raise ProxyException("unknown key", type="auth_error", param=None, code=401)
    return UserAPIKeyAuth(api_key=api_key, **known[api_key])
