"""The keys of the chaos tests: LiteLLM's custom authentication, because virtual keys need a database.

A key `sk-chaos-TEAM` belongs to TEAM; the master key is the administrator's; any other is refused.
"""

import os

from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

PREFIX = "sk-chaos-"


def key_of(team: str) -> str:
    """The key with which a team sends."""
    return f"{PREFIX}{team}"


async def authenticate(request: object, api_key: str) -> UserAPIKeyAuth:
    """Who a key belongs to."""
    del request
    if api_key == os.environ["LITELLM_MASTER_KEY"]:
        return UserAPIKeyAuth(api_key=api_key, user_role=LitellmUserRoles.PROXY_ADMIN)
    if api_key.startswith(PREFIX):
        team = api_key.removeprefix(PREFIX)
        return UserAPIKeyAuth(api_key=api_key, team_id=team, user_id=f"user-{team}")
    raise Exception("unknown key")
