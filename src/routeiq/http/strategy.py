"""The endpoint that changes an alias's strategy in every worker and replica, without a restart or a new file.

Owns the form of question and answer, and the order: try it here, write it where all can see it, take it up here. Other
workers take it up when their mirror hears of it. Choosing and compiling are given.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from routeiq.config.reload import SyncStatus
from routeiq.core.errors import ArtifactError, ConfigError, RequestInvalid
from routeiq.core.request import Caller
from routeiq.core.shared import SharedState
from routeiq.guard.mirror import Mirror
from routeiq.http.admin import noted
from routeiq.http.answers import Json, refusal
from routeiq.http.bodies import read_object, shown

AREA = "strategy"
BODY_LIMIT = 4 * 1024


@dataclass(frozen=True, slots=True)
class StrategyEndpoint:
    """`POST /routeiq/admin/strategy` with `{"alias", "strategy"}` (null: the file's again), and GET for what is chosen.

    `attempt` compiles the configuration with these choices and raises when that fails. `look` has this worker take up
    what the mirror holds.
    """

    state: SharedState
    mirror: Mirror
    aliases: Callable[[], Mapping[str, str]]
    attempt: Callable[[Mapping[str, str]], object]
    look: Callable[[], Awaitable[SyncStatus]]

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        if request.method == "GET":
            return Json(self._form())
        alias, strategy = self._asked(await read_object(request, BODY_LIMIT))
        await self.mirror.refresh(AREA)
        before = self.aliases()[alias]
        noted(request, alias, before, strategy)
        chosen = {name: value for name, value in self._chosen().items() if name != alias}
        try:
            await asyncio.to_thread(self.attempt, chosen if strategy is None else {**chosen, alias: strategy})
        except (ConfigError, ArtifactError) as error:
            return refusal(422, error.reason, error.message)
        await self.state.put(AREA, alias, None if strategy is None else strategy.encode())
        await self.mirror.refresh(AREA)
        status = await self.look()
        noted(request, alias, before, self.aliases().get(alias))
        return Json({**self._form(), "snapshot": status.version}, 200 if status.state == "ok" else 422)

    def _asked(self, body: Mapping[str, object]) -> tuple[str, str | None]:
        alias, strategy = body.get("alias"), body.get("strategy")
        unknown = sorted(set(body) - {"alias", "strategy"})
        if unknown or "strategy" not in body:
            raise RequestInvalid('expected {"alias": NAME, "strategy": NAME or null}')
        if not isinstance(alias, str) or alias not in self.aliases():
            known = ", ".join(sorted(self.aliases()))
            raise RequestInvalid(f"`alias`: found {shown(str(alias))}, expected one of: {known}")
        if strategy is not None and not isinstance(strategy, str):
            raise RequestInvalid("`strategy`: expected a name, or null for the one in the configuration file")
        return alias, strategy

    def _chosen(self) -> dict[str, str]:
        return {alias: value.decode() for alias, value in self.mirror.items(AREA).items()}

    def _form(self) -> dict[str, object]:
        return {"chosen": self._chosen(), "active": dict(self.aliases())}
