"""What is shown of the configuration that serves, and the endpoint that has a worker look for a newer one.

Owns the form of the answers. Reloading itself is `config.reload`'s.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from routeiq.config.reload import Reloader, SyncStatus
from routeiq.core.request import Caller
from routeiq.http.answers import Json

Look = Callable[[bool], Awaitable[list[dict[str, Any]]]]
"""Has all workers look, by force or not, and returns what each says of itself then; see `converging`."""


def sync_form(status: SyncStatus) -> Mapping[str, object]:
    """Return a status as JSON has it; `in_sync` says that the files as they are now are what serves."""
    return {"in_sync": status.digest == status.seen, **asdict(status)}


def open_form(status: SyncStatus) -> Mapping[str, object]:
    """Return what anybody may see: everything but messages, which name files, keys and places."""
    hidden = {"message", "source", "source_error"}
    return {**{k: v for k, v in sync_form(status).items() if k not in hidden}, "source_ok": status.source_error is None}


class ReloadEndpoint:
    """`POST /routeiq/reload`: all workers look now, reload what changed (`?force=true`: in any case), and say so.

    `look` has all look, this one first. The answer is 200 when the files as they are serve here and no worker refused
    them, else 422; `workers` says what each of them serves now, `everywhere` whether all serve what this one does.
    """

    def __init__(self, reloader: Reloader, look: Look) -> None:
        self._reloader, self._look = reloader, look

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        workers = await self._look(request.query_params.get("force") == "true")
        status = self._reloader.status
        same = all(one["answered"] and one["digest"] == status.digest for one in workers)
        refused = status.state != "ok" or any(one["state"] == "rejected" for one in workers)
        return Json(
            {**sync_form(status), "everywhere": same and not refused, "workers": workers}, 422 if refused else 200
        )
