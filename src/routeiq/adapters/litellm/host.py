"""LiteLLM as the host: its version, its application, its router, its price map.

Owns every read of LiteLLM's running state. Imports LiteLLM inside functions only: its import takes seconds, and a
version that must not run must not be imported either. Decides nothing.
"""

import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from routeiq.adapters.litellm import translate
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ConfigError

OLDEST = (1, 106, 2)
"""Oldest LiteLLM that the seam is tested with."""
COMPROMISED = frozenset({"1.82.7", "1.82.8"})
"""Releases that carried malware (OSV MAL-2026-2144)."""

EVENTS_S = 5.0
"""How long callbacks may take at a stop."""

PROXY = "litellm.proxy.proxy_server"
_OPTIONAL = ("litellm_enterprise", "prisma")


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
    settings = getattr(sys.modules.get(PROXY), "general_settings", None)
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
    return getattr(sys.modules.get(PROXY), "llm_router", None)


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
        vars(sys.modules[PROXY])["llm_model_list"] = router.get_model_list()

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
