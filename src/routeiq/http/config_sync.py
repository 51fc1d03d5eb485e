"""What is shown of the configuration that serves, and the endpoint that has a worker look for a newer one.

Owns the form of the answers. Reloading itself is `config.reload`'s.
"""

from collections.abc import Mapping
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from routeiq.config.reload import Reloader, SyncStatus
from routeiq.core.request import Caller
from routeiq.http.answers import Json, refusal


def sync_form(status: SyncStatus) -> Mapping[str, object]:
    """Return a status as JSON has it; `in_sync` says that the files as they are now are what serves."""
    return {"in_sync": status.digest == status.seen, **asdict(status)}


def open_form(status: SyncStatus) -> Mapping[str, object]:
    """Return what anybody may see: everything but messages, which name files, keys and places."""
    hidden = {"message", "source", "source_error"}
    return {**{k: v for k, v in sync_form(status).items() if k not in hidden}, "source_ok": status.source_error is None}


class ReloadEndpoint:
    """`POST /routeiq/reload`: look now, reload what changed (`?force=true`: in any case), and say what came of it.

    The answer is 200 when the files as they are serve, 422 when they were rejected. Admins only.
    """

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        if not caller.admin:
            return refusal(403, "forbidden", "reloading takes LiteLLM's master key, or the key of a proxy admin")
        status = await self._reloader.check(force=request.query_params.get("force") == "true")
        return Json(dict(sync_form(status)), 200 if status.state == "ok" else 422)
