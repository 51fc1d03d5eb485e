"""`POST /routeiq/restart`: the workers of all replicas replaced one by one; `GET` says how far that is.

Owns the form of question and answer. What a rolling restart is stands in `guard.rolling`.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from routeiq.core.request import Caller
from routeiq.guard.rolling import Document, RollingRestart
from routeiq.http.admin import noted
from routeiq.http.answers import Json


@dataclass(frozen=True, slots=True)
class RestartEndpoint:
    """Answers admins: 202 for a restart that has begun."""

    rolling: RollingRestart

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        if request.method == "GET":
            found = self.rolling.progress()
            return Json({"state": "none"} if found is None else _form(found))
        begun = await self.rolling.order(caller.key_hash or "")
        noted(request, "workers", after=str(begun["id"]))
        return Json(_form(begun), 202)


def _form(document: Document) -> Document:
    return {name: value for name, value in document.items() if name != "fence"}
