"""What LiteLLM must be told of a virtual model: a routing group of its name over the candidates' model groups.

Owns the rules that LiteLLM has for such groups, so that a mistake is found before LiteLLM is started. Writing them into
a file is `config.edit`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from routeiq.config.edit import render
from routeiq.config.load import Settings
from routeiq.core.errors import ConfigError, UnknownCandidate, nearest

EMBEDDING_MODES = frozenset({"embedding"})
RESERVED = "default"
NOT_CHAT = frozenset(
    {
        *EMBEDDING_MODES,
        "audio_speech",
        "audio_transcription",
        "image_edit",
        "image_generation",
        "moderation",
        "ocr",
        "realtime",
        "rerank",
        "search",
        "vector_store",
        "video_generation",
    }
)
"""The values of `model_info.mode` that cannot answer a prompt with text."""


def group_entry(alias: str, models: Sequence[str]) -> dict[str, Any]:
    """Return the routing group that makes an alias callable: all models alike, because RouteIQ orders them."""
    return {
        "group_name": alias,
        "models": list(models),
        "routing_strategy": "priority",
        "model_priorities": dict.fromkeys(models, 1),
    }


def chat_models(model_list: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the model groups that can answer prompts, as far as the file says, each once; wildcards are left out."""
    names: dict[str, None] = {}
    for entry in model_list:
        name, params, info = str(entry["model_name"]), entry.get("litellm_params"), entry.get("model_info")
        mode = info.get("mode") if isinstance(info, Mapping) else None
        model = str(params.get("model", "")) if isinstance(params, Mapping) else ""
        if "*" in name or mode in NOT_CHAT or model.startswith("auto_router/"):
            continue
        if mode is None and "embed" in f"{name} {model}".lower():
            continue
        names[name] = None
    return tuple(names)


def check_name(settings: Settings, alias: str, where: str) -> None:
    """Raise ConfigError when LiteLLM would take the name for something else than a routing group."""
    if alias in settings.model_names:
        taken = "is also a model_name of the model_list, and LiteLLM would call that model"
    elif alias in (_router(settings).get("model_group_alias") or {}):
        taken = "is also a router_settings.model_group_alias"
    elif alias == RESERVED:
        taken = "is LiteLLM's name for the models in no routing group"
    else:
        return
    raise ConfigError(f"{where}: {alias!r} {taken}; give the alias another name")


def check_alias(settings: Settings, alias: str) -> tuple[str, ...]:
    """Return the models of an alias's routing group; raises ConfigError when LiteLLM could not serve the alias."""
    where = settings.where("aliases", alias)
    check_name(settings, alias, where)
    group = next((g for g in routing_groups(settings) if g.get("group_name") == alias), None)
    if group is None:
        raise ConfigError(_missing_group(settings, where, alias))
    return _members(settings, alias, group)


def _router(settings: Settings) -> Mapping[str, Any]:
    router = settings.litellm.get("router_settings") or {}
    if not isinstance(router, Mapping):
        where = settings.document.where(("router_settings",))
        raise ConfigError(f"{where}: expected a mapping, found a {type(router).__name__}")
    return router


def routing_groups(settings: Settings) -> list[Mapping[str, Any]]:
    """Return LiteLLM's routing groups; raises ConfigError when they are not in the form of some."""
    groups = _router(settings).get("routing_groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise ConfigError(
            f"{settings.document.where(('router_settings', 'routing_groups'))}: expected a list of mappings with "
            f"group_name, models and routing_strategy"
        )
    return groups


def _missing_group(settings: Settings, where: str, alias: str) -> str:
    chosen = settings.routeiq.aliases[alias].candidates or chat_models(settings.model_list) or ("MODEL",)
    missing = {"router_settings": {"routing_groups": [group_entry(alias, chosen)]}}
    return (
        f"{where}: LiteLLM does not know the virtual model {alias!r}: router_settings.routing_groups has no group of "
        f"that name. Run `routeiq init --alias {alias} --write`, or add:\n{render(missing)}"
    ).rstrip()


def _members(settings: Settings, alias: str, group: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the group's models, checked by the rules that LiteLLM applies when it starts."""
    at = ("router_settings", "routing_groups", routing_groups(settings).index(group))
    models = group.get("models")
    if not isinstance(models, list) or not models or len(set(map(str, models))) != len(models):
        raise ConfigError(f"{settings.document.where((*at, 'models'))}: expected a list of different model names")
    for model in models:
        if model not in settings.model_names:
            known = nearest(str(model), settings.model_names)
            raise UnknownCandidate(
                f"{settings.document.where((*at, 'models'))}: {model!r} is not in the model_list; {known}"
            )
    priorities = group.get("model_priorities")
    if group.get("routing_strategy") == "priority" and (
        not isinstance(priorities, Mapping) or set(priorities) != set(models)
    ):
        raise ConfigError(
            f"{settings.document.where((*at, 'model_priorities'))}: LiteLLM wants a priority for exactly the models of "
            f"the group; write:\n{render([group_entry(alias, models)])}".rstrip()
        )
    return tuple(models)
