"""LiteLLM's own check of keys while its database comes and goes; prints what our authenticator makes of it.

Run as a process, because LiteLLM's proxy is one per process. The database is LiteLLM's `custom_auth` here: it raises
what LiteLLM's lookup raises, or gives the identity that LiteLLM gives to everybody when it is told to.
"""

import asyncio
import json
from typing import Any

import litellm.proxy.proxy_server as proxy
from litellm.proxy._types import ProxyErrorTypes, ProxyException, UserAPIKeyAuth

from routeiq.adapters.litellm.access import Access, KeyAuthenticator
from routeiq.adapters.litellm.known_keys import KNOWN_S
from routeiq.core.errors import RouteIQError
from routeiq.testing.fakes import FakeClock

STATE = {"database": "there"}


async def look_up(request: object, api_key: str) -> UserAPIKeyAuth:
    """Who a key belongs to, as far as the database can be asked."""
    if STATE["database"] == "away":
        raise ProxyException("no connection", type=ProxyErrorTypes.no_db_connection, param="None", code=503)
    if STATE["database"] == "away, everybody welcome":
        return UserAPIKeyAuth(token="failed-to-connect-to-db", user_id="__db_unavailable_fallback__")
    if STATE["database"] == "there" and api_key == "sk-known":
        return UserAPIKeyAuth(api_key=api_key, team_id="red")
    raise ValueError("unknown key")


async def main() -> None:
    """Ask with a known and an unknown key in each state."""
    proxy.master_key = "sk-master-of-the-test"
    proxy.user_custom_auth = look_up
    clock = FakeClock()
    keys = KeyAuthenticator(Access(clock, lambda where, error: None))

    async def ask(key: str) -> str:
        try:
            caller = await keys.authenticate({"authorization": f"Bearer {key}"})
        except RouteIQError as error:
            return error.reason
        return str(caller.team) if caller else "refused"

    async def asked(state: str) -> list[str]:
        STATE["database"] = state
        return [await ask("sk-known"), await ask("sk-unknown")]

    seen: dict[str, Any] = {}
    for name, state in {
        "before": "there",
        "away": "away",
        "open": "away, everybody welcome",
        "revoked": "there, without it",
        "away after it was revoked": "away",
        "back": "there",
    }.items():
        seen[name] = await asked(state)
    clock.advance(KNOWN_S - 1.0)
    seen["away for long"] = await asked("away")
    clock.advance(2.0)
    seen["away for too long"] = await asked("away")
    print("seen: " + json.dumps(seen), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
