"""LiteLLM as the host: its version, its application, its router, its price map, its keys.

Owns every read of LiteLLM's running state. Imports LiteLLM inside functions only: its import takes seconds, and a
version that must not run must not be imported either. Decides nothing.
"""

import asyncio
import inspect
import math
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from routeiq.adapters.litellm import translate
from routeiq.adapters.litellm.known_keys import KnownKeys, not_checked, stands_in
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ConfigError, StoreUnavailable
from routeiq.core.ports import Clock
from routeiq.core.request import Caller

OLDEST = (1, 106, 2)
"""Oldest LiteLLM that the seam is tested with."""
COMPROMISED = frozenset({"1.82.7", "1.82.8"})
"""Releases that carried malware (OSV MAL-2026-2144)."""

ACCESS_KEPT_S = 5.0
"""How long an answer about access is believed; LiteLLM itself believes a key for longer."""
ACCESS_LIMIT_S = 2.0
"""How long the access checks of one request may take together before the rest counts as refused."""
ACCESS_ENTRIES = 4_096
EVENTS_S = 5.0
"""How long callbacks may take at a stop."""

CALLERS_KEPT = 1_024

_PROXY = "litellm.proxy.proxy_server"
_OPTIONAL = ("litellm_enterprise", "prisma")
_CREDENTIALS = {
    "api_key": "authorization",
    "azure_api_key_header": "api-key",
    "anthropic_api_key_header": "x-api-key",
    "google_ai_studio_api_key_header": "x-goog-api-key",
    "azure_apim_header": "ocp-apim-subscription-key",
    "custom_litellm_key_header": "x-litellm-api-key",
}
"""Parameters of LiteLLM's authentication and the headers that its web framework fills them from."""


@cache
def listed_prices() -> Mapping[str, Mapping[str, Any]]:
    """Return LiteLLM's price map as it was when it was first asked for, which is before any request was served.

    LiteLLM enters into its map what deployments say, some of it with their first call. Read from that, a configuration
    would come to something else in every worker, by what the worker happens to have served.
    """
    import litellm

    return {name: dict(said) for name, said in litellm.model_cost.items()}


def refuse_bad_version() -> str:
    """Return the installed LiteLLM's version; raises ConfigError when it is missing, too old or compromised."""
    try:
        found = version("litellm")
    except PackageNotFoundError:
        raise ConfigError("LiteLLM is not installed; run: pip install 'routeiq-router[proxy]'") from None
    check_version(found)
    return found


def check_version(found: str) -> None:
    """Raise ConfigError when a LiteLLM of this version must not be used."""
    upgrade = "run: pip install --upgrade 'routeiq-router[proxy]'"
    if found in COMPROMISED:
        raise ConfigError(
            f"LiteLLM {found} is a compromised release (MAL-2026-2144): treat every secret on this machine as "
            f"leaked, then {upgrade}"
        )
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:3])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigError(f"LiteLLM {found} is installed, RouteIQ needs {oldest} or newer; {upgrade}")


def load_app(once_logging: Callable[[], None] = lambda: None) -> Any:
    """Import LiteLLM's proxy and return its ASGI application; takes seconds.

    `once_logging` is called as soon as LiteLLM has set up its loggers, before it says anything with them.
    """
    refuse_bad_version()
    _settle_absences()
    import_module("litellm._logging")

    once_logging()
    from litellm.proxy.proxy_server import app

    return app


def _settle_absences() -> None:
    """Have imports of packages that are not installed fail at once.

    LiteLLM tries to import them again on every request, and each time Python looks through the whole path.
    """
    for name in _OPTIONAL:
        if name not in sys.modules and find_spec(name) is None:
            sys.modules[name] = None  # type: ignore[assignment] # Python's own mark for a module that cannot be had


def cors_options(app: Any) -> Mapping[str, Any] | None:
    """Return the options with which LiteLLM's application answers browsers of other origins, None when it does not."""
    from starlette.middleware.cors import CORSMiddleware

    return next((m.kwargs for m in getattr(app, "user_middleware", ()) if m.cls is CORSMiddleware), None)


def cancel_with_client() -> None:
    """Have LiteLLM cancel a provider's call whose client has left, unless the operator says that it should not."""
    settings = getattr(sys.modules.get(_PROXY), "general_settings", None)
    if isinstance(settings, MutableMapping):
        settings.setdefault("cancel_on_disconnect", True)


def register(hook: Any) -> None:
    """Have LiteLLM call a hook; doing so again changes nothing."""
    import litellm

    litellm.logging_callback_manager.add_litellm_callback(hook)


async def deliver_events() -> None:
    """Return when LiteLLM has told its callbacks of the calls that ended, or has had time enough for it."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    try:
        async with asyncio.timeout(EVENTS_S):
            await GLOBAL_LOGGING_WORKER.flush()
    except TimeoutError:
        return


def supports_priority_groups() -> bool:
    """Return whether this LiteLLM has routing groups with priorities, which virtual models are made of."""
    from litellm.types.router import RoutingGroup

    return "model_priorities" in RoutingGroup.model_fields


def live_router() -> Any:
    """Return the proxy's router, or None before there is one. Not to be kept: a new configuration may replace it."""
    return getattr(sys.modules.get(_PROXY), "llm_router", None)


def resolve(name: str) -> str:
    """Return the model group that LiteLLM will take for a name (`router_settings.model_group_alias`)."""
    router = live_router()
    found = router.get_model_from_alias(name) if router is not None else None
    return found if isinstance(found, str) else name


class RouterCandidates:
    """The candidates of the running proxy; implements `core.ports.CandidateSource`."""

    def candidates(self) -> Sequence[Candidate]:
        """Return one candidate per model group of the router, none before there is one."""
        router = live_router()
        return translate.candidates(router.model_list) if router is not None else ()


class LiveModels:
    """The models of the running proxy, changed by difference on its own router; implements `config.reload.Models`.

    Loading LiteLLM's configuration a second time would leave the former router and every callback behind. Models that
    live in LiteLLM's database are its own business and left alone. Each takes LiteLLM two or three milliseconds, so
    that requests have their turn after every one.
    """

    async def admit(self, litellm: Mapping[str, Any]) -> frozenset[str]:
        """Add the models that are new or changed, and apply router settings; return the ids that are gone.

        Raises ConfigError when LiteLLM refuses one; then what was added is taken out again.
        """
        router = live_router()
        if router is None:
            return frozenset()
        wanted = await asyncio.to_thread(_deployments, litellm.get("model_list") or ())
        present = {str(d["model_info"]["id"]) for d in router.model_list if not d["model_info"].get("db_model")}
        undo: list[Callable[[], Any]] = []
        try:
            for number, deployment in wanted.items():
                former = router.get_deployment(model_id=number)
                router.upsert_deployment(deployment)
                if former is None:
                    undo.append(partial(router.delete_deployment, id=number))
                else:
                    undo.append(partial(router.upsert_deployment, former))
                if not router.has_model_id(number):
                    raise ConfigError(f"LiteLLM does not take up the model {deployment.model_name!r}")
                await _others_first()
            self._apply(router, litellm.get("router_settings") or {})
        except Exception as error:
            for step in reversed(undo):
                step()
                await _others_first()
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"LiteLLM refuses the configuration ({type(error).__name__})") from error
        return frozenset(present - wanted.keys())

    async def dismiss(self, ids: Iterable[str]) -> None:
        """Take deployments out of the router; calls under way on them go on to their end."""
        router = live_router()
        if router is None:
            return
        for number in ids:
            router.delete_deployment(id=number)
            await _others_first()
        # LiteLLM keeps a list of its own beside the router's, and sets it the same way when its database changes.
        vars(sys.modules[_PROXY])["llm_model_list"] = router.get_model_list()

    @staticmethod
    def needs_restart(former: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the key paths whose change this LiteLLM takes up only when it starts."""
        changed = [key for key in sorted({*former, *present}) if former.get(key) != present.get(key)]
        found = [key for key in changed if key not in ("model_list", "router_settings")]
        before, now = former.get("router_settings") or {}, present.get("router_settings") or {}
        other = sorted(key for key in {*before, *now} - _runtime_settings() if before.get(key) != now.get(key))
        return (*found, *(f"router_settings.{key}" for key in other))

    @staticmethod
    def _apply(router: Any, settings: Mapping[str, Any]) -> None:
        live = {key: value for key, value in settings.items() if key in _runtime_settings()}
        if live:
            router.update_settings(**live)


async def _others_first() -> None:
    """Return when everything has had its turn that became due while this task had its own.

    After the first round what was due is only found, and would stand in line behind this task.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _runtime_settings() -> frozenset[str]:
    from litellm.constants import RUNTIME_UPDATABLE_ROUTER_SETTINGS

    return frozenset(RUNTIME_UPDATABLE_ROUTER_SETTINGS)


def _deployments(model_list: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return LiteLLM's deployments by the ids that its router gives them when it reads the same list at its start."""
    import litellm
    from litellm.types.router import Deployment

    found: dict[str, Any] = {}
    for entry in model_list:
        name, info = entry["model_name"], dict(entry.get("model_info") or {})
        params = {k: _resolved(litellm.get_secret, k, v) for k, v in (entry.get("litellm_params") or {}).items()}
        number = str(info.get("id") or litellm.Router.generate_model_id(name, params))
        found[number] = Deployment(model_name=name, litellm_params=params, model_info={**info, "id": number})
    return found


def _resolved(secret: Callable[[str], Any], key: str, value: Any) -> Any:
    """Return a parameter as LiteLLM's router resolves it; names ending in `_ref` point to a secret for later."""
    if isinstance(value, str) and value.startswith("os.environ/") and not key.endswith("_ref"):
        return secret(value)
    return value


async def refused_by_tags(model: str, deployments: Sequence[Any], request: Mapping[str, Any]) -> frozenset[str]:
    """Return the names whose deployments LiteLLM's tag filter is going to take out, for the decision to know.

    LiteLLM filters by itself later on. Where no deployment suits it raises there, so nothing is refused here.
    """
    router, known = live_router(), translate.bucket(request)
    if router is None or known is None or not any(_tagged(d) for d in deployments):
        return frozenset()
    from litellm.router_strategy.tag_based_routing import get_deployments_for_tag

    name = next(name for name in translate.BUCKETS if request.get(name) is known)
    copy = {**request, name: dict(known)}
    # Newer releases also want the deployments before cooldown, only to see whether the group turns tags on or off.
    whole = (
        {"request_deployments": deployments} if "request_deployments" in _parameters(get_deployments_for_tag) else {}
    )
    try:
        left = await get_deployments_for_tag(router, model, list(deployments), copy, name, **whole)
    except ValueError:
        return frozenset()
    return frozenset(d["model_name"] for d in deployments) - {d["model_name"] for d in left}


def _parameters(function: Any) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _tagged(deployment: Mapping[str, Any]) -> bool:
    return any(deployment["litellm_params"].get(name) for name in ("tags", "tag_regex"))


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
            model=name, llm_model_list=None, valid_token=auth, llm_router=live_router()
        )
        user = await _personal_user(auth)
        if user is not None:
            await auth_checks.can_user_call_model(model=name, llm_router=live_router(), user_object=user)
    except (ProxyException, HTTPException):
        return False
    return True


async def _personal_user(auth: Any) -> Any:
    """Return the owner of a key without a team, whose own list of models then counts; None where nobody's does."""
    proxy = sys.modules.get(_PROXY)
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
        if _PROXY not in sys.modules:
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
        "app": getattr(sys.modules.get(_PROXY), "app", None),
    }
    return Request(scope, receive)
