"""Who may call what, asked of LiteLLM: its keys, and its checks of them.

Asks LiteLLM's own functions and keeps their answers for a moment; decides nothing itself. Permission fails closed.
"""

import asyncio
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from routeiq.adapters.litellm import host, translate
from routeiq.adapters.litellm.known_keys import KnownKeys, not_checked, stands_in
from routeiq.core.errors import StoreUnavailable
from routeiq.core.ports import Clock
from routeiq.core.request import Caller

ACCESS_KEPT_S = 5.0
"""How long an answer about access is believed; LiteLLM itself believes a key for longer."""
ACCESS_LIMIT_S = 2.0
"""How long the access checks of one request may take together before the rest counts as refused."""
ACCESS_ENTRIES = 4_096

CALLERS_KEPT = 1_024

_CREDENTIALS = {
    "api_key": "authorization",
    "azure_api_key_header": "api-key",
    "anthropic_api_key_header": "x-api-key",
    "google_ai_studio_api_key_header": "x-goog-api-key",
    "azure_apim_header": "ocp-apim-subscription-key",
    "custom_litellm_key_header": "x-litellm-api-key",
}
"""Parameters of LiteLLM's authentication and the headers that its web framework fills them from."""


class Access:
    """Which models a caller could name, by LiteLLM's own checks of key, team, member, project, user and customer.

    Fails closed: a check that raises, or takes too long, is a refusal. Only LiteLLM's own answers are kept, for
    `ACCESS_KEPT_S` seconds, by everything they depend on. `failed(where, error)` counts checks that broke.
    """

    def __init__(self, clock: Clock, failed: Callable[[str, BaseException], None]) -> None:
        self.clock = clock
        self._failed = failed
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, bool]] = OrderedDict()
        self._sets: OrderedDict[tuple[Any, ...], tuple[float, frozenset[str]]] = OrderedDict()

    async def refused(self, auth: Any, names: Iterable[str]) -> frozenset[str]:
        """Return those of the model names that the caller may not use. `auth` is LiteLLM's `UserAPIKeyAuth`."""
        wanted, identity = tuple(names), _identity(auth)
        kept = self._sets.get((identity, wanted))
        if kept is not None and self.clock.monotonic() - kept[0] < ACCESS_KEPT_S:
            return kept[1]
        allowed = set()
        try:
            async with asyncio.timeout(ACCESS_LIMIT_S):
                for name in wanted:
                    if await self._permits(auth, (*identity, name), name):
                        allowed.add(name)
        except TimeoutError as error:
            self._failed("access", error)
            return frozenset(wanted) - allowed
        refused = frozenset(wanted) - allowed
        if wanted and not refused:
            told = (self._answers.get((*identity, name)) for name in wanted)
            oldest = min((answer[0] for answer in told if answer is not None), default=-math.inf)
            self._sets[identity, wanted] = (oldest, refused)
            if len(self._sets) > ACCESS_ENTRIES:
                self._sets.popitem(last=False)
        return refused

    async def _permits(self, auth: Any, key: tuple[Any, ...], name: str) -> bool:
        now = self.clock.monotonic()
        kept = self._answers.get(key)
        if kept is not None and now - kept[0] < ACCESS_KEPT_S:
            return kept[1]
        try:
            answer = await _may_call(auth, name)
        except Exception as error:  # noqa: BLE001 - LiteLLM's lookup broke: permission fails closed
            self._failed("access", error)
            return False
        self._answers[key] = (now, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > ACCESS_ENTRIES:
            self._answers.popitem(last=False)
        return answer


def _identity(auth: Any) -> tuple[Any, ...]:
    """Return what the answer depends on; custom authentication may give one key other models from call to call."""
    lists = tuple(tuple(getattr(auth, name, None) or ()) for name in ("models", "team_models", "access_group_ids"))
    names = ("token", "api_key", "team_id", "user_id", "end_user_id", "project_id")
    return (*(getattr(auth, name, None) for name in names), *lists)


async def _may_call(auth: Any, name: str) -> bool:
    from fastapi import HTTPException
    from litellm.proxy._types import ProxyException
    from litellm.proxy.auth import auth_checks

    try:
        await auth_checks.can_key_call_resolved_model(
            model=name, llm_model_list=None, valid_token=auth, llm_router=host.live_router()
        )
        user = await _personal_user(auth)
        if user is not None:
            await auth_checks.can_user_call_model(model=name, llm_router=host.live_router(), user_object=user)
    except (ProxyException, HTTPException):
        return False
    return True


async def _personal_user(auth: Any) -> Any:
    """Return the owner of a key without a team, whose own list of models then counts; None where nobody's does."""
    proxy = sys.modules.get(host.PROXY)
    database = getattr(proxy, "prisma_client", None)
    role = getattr(auth.user_role, "value", auth.user_role)
    if database is None or auth.team_id is not None or auth.user_id is None or role == "proxy_admin":
        return None
    from litellm.proxy.auth.auth_checks import get_user_object

    try:
        return await get_user_object(
            user_id=auth.user_id,
            prisma_client=database,
            user_api_key_cache=getattr(proxy, "user_api_key_cache", None),
            user_id_upsert=False,
            proxy_logging_obj=getattr(proxy, "proxy_logging_obj", None),
        )
    except ValueError:  # LiteLLM's word for a user that its table does not know, and does not restrict
        return None


class KeyAuthenticator:
    """LiteLLM's keys for RouteIQ's own endpoints; implements `core.ports.Authenticator`.

    While LiteLLM cannot check keys, because its database is away, those that it accepted lately are accepted, and no
    others: permission fails closed, also where LiteLLM is set to let everybody call models then.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lately = KnownKeys(access.clock)
        self._known: OrderedDict[Caller, Any] = OrderedDict()

    async def authenticate(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the caller for the (lower-case) headers of a request, or None when LiteLLM does not accept its key.

        LiteLLM is asked as for a listing of models, which every valid key may do, so that its rules about who may call
        which management route do not apply to routes that it has never heard of. Raises StoreUnavailable when LiteLLM
        cannot check the key and did not accept it lately.
        """
        if host.PROXY not in sys.modules:
            return None
        from fastapi import HTTPException
        from litellm.proxy._types import ProxyException
        from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

        given = {name: headers.get(header) or None for name, header in _CREDENTIALS.items()}
        given["api_key"] = given["api_key"] or ""
        try:
            auth = await user_api_key_auth(request=_listing(headers), **given)
        except (ProxyException, HTTPException) as error:
            if not not_checked(error):
                self._lately.refused(given)
                return None
            auth = None
        except ModuleNotFoundError as error:
            # To word a refusal, LiteLLM asks its database client, which is not there without the database extra.
            if (error.name or "").partition(".")[0] != "prisma":
                raise
            self._lately.refused(given)
            return None
        if auth is not None and not stands_in(auth):
            self._lately.accepted(given, auth)
        else:
            auth = self._known_lately(given)
        caller = translate.caller(auth, {})
        self._known[caller] = auth
        self._known.move_to_end(caller)
        if len(self._known) > CALLERS_KEPT:
            self._known.popitem(last=False)
        return caller

    def _known_lately(self, given: Mapping[str, str | None]) -> Any:
        auth = self._lately.lately(given)
        if auth is None:
            raise StoreUnavailable("LiteLLM cannot check keys, because its database does not answer; try again later")
        return auth

    async def permitted(self, caller: Caller, model: str) -> bool:
        """Return whether the caller could call a model by name; False for one that was not authenticated here."""
        auth = self._known.get(caller)
        return auth is not None and not await self._access.refused(auth, (model,))


def _listing(headers: Mapping[str, str]) -> Any:
    """Return `GET /v1/models` with the headers of another request, as the web framework would hand it over."""
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = [(k.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for k, v in headers.items()]
    kept = [(k, v) for k, v in sent if k not in (b"content-length", b"content-type", b"transfer-encoding")]
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/models",
        "raw_path": b"/v1/models",
        "root_path": "",
        "query_string": b"",
        "headers": kept,
        "client": None,
        "server": None,
        "state": {},
        "app": getattr(sys.modules.get(host.PROXY), "app", None),
    }
    return Request(scope, receive)
