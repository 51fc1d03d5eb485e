"""Settings from one configuration file and the environment: read, checked against the schema, frozen.

Every mistake ends in a ConfigError that says where it is, what was found, what was expected and what is near. What
needs the model list or an artifact to be judged is `config.compile`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from routeiq.config.addresses import is_address, stem
from routeiq.config.artifact_cache import ArtifactCache
from routeiq.config.candidate_facts import Facts, described, read_facts, unused
from routeiq.config.document import Document, KeyPath, read_document
from routeiq.config.environment import Environment, config_path, read_environment, reference
from routeiq.config.policy import Policy, read_policy
from routeiq.config.settings import (
    SECTION,
    AliasSettings,
    ArmSettings,
    CompoundSettings,
    Concern,
    ExperimentSettings,
    RampSettings,
    RouteIQSettings,
)
from routeiq.core.errors import ConfigError, UnknownKey, nearest


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator said.

    `enabled` is False when the file has no `routeiq_settings`: then RouteIQ routes, observes and records nothing.
    `litellm` is LiteLLM's part of the file, includes merged, `os.environ/` references untouched; it may hold keys.
    `warnings` are for the operator and stop nothing.
    """

    path: Path
    enabled: bool
    routeiq: RouteIQSettings
    environment: Environment
    litellm: Mapping[str, Any] = field(repr=False)
    document: Document = field(repr=False)
    warnings: tuple[str, ...] = ()
    facts: Facts = field(default_factory=dict)
    policy: Policy | None = None

    @property
    def model_list(self) -> tuple[Mapping[str, Any], ...]:
        """LiteLLM's `model_list`, as it stands in the file."""
        return tuple(self.litellm.get("model_list") or ())

    @property
    def described_models(self) -> tuple[Mapping[str, Any], ...]:
        """The `model_list`, with what the file of candidates says of models that say less of themselves."""
        return described(self.model_list, self.facts)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The model groups of the model_list, each once, in the order of the file."""
        return tuple(dict.fromkeys(str(entry["model_name"]) for entry in self.model_list))

    @property
    def outcome_log(self) -> Path | None:
        """Absolute path of the outcome log, or None for memory only."""
        path = self.routeiq.outcome_log.path
        return None if path is None else self.path.parent / path

    @property
    def spill(self) -> Path:
        """Absolute path of the file that keeps records while PostgreSQL is away."""
        return self.path.parent.absolute() / self.routeiq.outcome_log.spill_path

    @property
    def audit(self) -> Path | None:
        """Absolute path of the folder of the audit, or None for none."""
        path = self.environment.audit_path or self.routeiq.audit.path
        return None if path is None else self.path.parent.absolute() / path

    @property
    def encoder(self) -> Path | None:
        """Absolute path of the embedder's folder, or None when it needs none."""
        path = self.routeiq.embedder.path
        return None if path is None else self.path.parent / path

    def strategy(self, alias: AliasSettings) -> str:
        """Return the strategy of an alias: its own, else ROUTEIQ_STRATEGY, else the section's."""
        return alias.strategy or self.environment.strategy or self.routeiq.strategy

    def artifact(self, alias: AliasSettings) -> Path | str | None:
        """Return the absolute path or the address of an alias's artifact, None when neither it nor the section has one.

        An address is text, a path is a Path.
        """
        name = alias.artifact or self.environment.model_s3_uri or self.routeiq.artifact
        if name is None or is_address(name):
            return name
        return (self.environment.models_path or self.path.parent).absolute() / name

    @property
    def artifacts(self) -> tuple[Path | str, ...]:
        """All artifacts that the section names, in arms of experiments and for compound models too, each once."""
        section = self.routeiq
        arms = [arm.artifact for said in section.experiments.values() for arm in said.arms.values()]
        own = [name for name in (*arms, *(said.artifact for said in section.compound.values())) if name is not None]
        others = [AliasSettings(artifact=name) for name in own] + ([AliasSettings()] if section.compound else [])
        found = [self.artifact(alias) for alias in (*section.aliases.values(), *others)]
        return tuple(sorted({name for name in found if name is not None}, key=str))

    @property
    def artifact_cache(self) -> Path:
        """Absolute path of the folder for artifacts that are named by an address."""
        path = self.routeiq.artifact_cache.path
        return self.environment.cache_folder / "routeiq" if path is None else self.path.parent.absolute() / path

    def learned(self, alias: str) -> Path:
        """Return the path beside which is kept what is learned from an alias's artifact."""
        artifact = self.artifact(self.routeiq.aliases.get(alias, AliasSettings())) or Path(alias)
        if isinstance(artifact, str):
            artifact = self.path.parent / stem(artifact)
        folder = self.routeiq.online.state_path
        beside = artifact if folder is None else folder / artifact.name
        return self.path.parent.absolute() / beside

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that was read for these settings: configuration, what it includes, artifacts with manifests.

        Of an artifact with an address it is the file that says what the address means.
        """
        cache = ArtifactCache(self.artifact_cache, 0)
        parts: list[Path] = []
        for name in self.artifacts:
            if isinstance(name, str):
                parts.append(cache.state_file(name))
            else:
                parts += [name.with_suffix(end) for end in (".npz", ".json")]
        said = (self.routeiq.policy, self.routeiq.llm_candidates)
        return (*self.document.files, *(self.beside(path) for path in said if path is not None), *parts)

    def beside(self, path: Path) -> Path:
        """Return the absolute path of a file that is named relative to the configuration."""
        return self.path.parent.absolute() / path

    def where(self, *path: str | int) -> str:
        """Return file, line and key path of something in the section, for a message."""
        return self.document.where((SECTION, *path))


def load(path: Path | None = None) -> Settings:
    """Read the settings; raises ConfigError or one of its kinds.

    Without a path the file is the one that LiteLLM serves in this process, else LITELLM_CONFIG_PATH.
    """
    environment, warnings = read_environment()
    document = read_document(config_path(environment, path), strict=SECTION)
    litellm = {key: value for key, value in document.data.items() if key != SECTION}
    _check_section_name(document)
    _check_model_list(document, litellm)
    section, folder = _section(document), document.path.parent.absolute()
    facts = {} if section.llm_candidates is None else read_facts(folder / section.llm_candidates)
    return Settings(
        path=document.path,
        enabled=SECTION in document.data,
        routeiq=section,
        environment=environment,
        litellm=litellm,
        document=document,
        warnings=(*warnings, *_idle(litellm, facts, section), *_open_doors(litellm)),
        facts=facts,
        policy=None if section.policy is None else read_policy(folder / section.policy),
    )


def _idle(litellm: Mapping[str, Any], facts: Facts, section: RouteIQSettings) -> tuple[str, ...]:
    idle = unused(litellm.get("model_list") or (), facts)
    return (f"{section.llm_candidates}: no model of the model_list is {', '.join(idle)}",) if idle else ()


def _open_doors(litellm: Mapping[str, Any]) -> tuple[str, ...]:
    """Return warnings about settings of LiteLLM's that let in whom nobody checked."""
    general, name = litellm.get("general_settings"), "allow_requests_on_db_unavailable"
    if not isinstance(general, dict) or str(general.get(name)).lower() != "true":
        return ()
    return (
        f"general_settings.{name}: every key may call models while LiteLLM's database is away, also an unknown one",
    )


def _section(document: Document) -> RouteIQSettings:
    raw = document.data.get(SECTION)
    if raw is None:
        return RouteIQSettings()
    try:
        return RouteIQSettings.model_validate(_resolved(raw, (SECTION,), document))
    except ValidationError as error:
        raise _config_error(error, document) from None


def _resolved(value: Any, at: KeyPath, document: Document) -> Any:
    """Return the section with `os.environ/NAME` replaced, as LiteLLM does in its own sections."""
    if isinstance(value, dict):
        return {key: _resolved(item, (*at, str(key)), document) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, (*at, i), document) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    resolved = reference(value)
    if resolved is None:
        raise ConfigError(f"{document.where(at)}: {value} refers to an environment variable that is not set")
    return resolved


def _config_error(error: ValidationError, document: Document) -> ConfigError:
    """Return the first mistake as an error that says what to do; the others surface when it is mended."""
    first = error.errors(include_url=False)[0]
    at: KeyPath = (SECTION, *first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1])
        return UnknownKey(f"{document.where(at)}: unknown key {first['loc'][-1]!r}; {nearest(str(at[-1]), known)}")
    return ConfigError(f"{document.where(at)}: {_expected(first)}, found {_found(document, at)}")


def _expected(first: ErrorDetails) -> str:
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "value_error":
        return text
    if first["type"] in {"model_type", "dict_type"}:
        return "expected a mapping"
    return f"expected {text}"


def _found(document: Document, at: KeyPath) -> str:
    """Return what stands in the file at a key path, shortened; references to the environment stay references."""
    value: Any = document.data
    for step in at:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"a {type(value).__name__} of length {len(value)}"


_NAMED: Mapping[tuple[type[Concern], int | str], type[Concern]] = {
    (RouteIQSettings, "aliases"): AliasSettings,
    (RouteIQSettings, "compound"): CompoundSettings,
    (RouteIQSettings, "experiments"): ExperimentSettings,
    (ExperimentSettings, "arms"): ArmSettings,
    (ExperimentSettings, "ramp"): RampSettings,
}
"""Settings by names that the operator gives, or in lists."""


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the settings class at a path of the section knows."""
    concern: type[Concern] = RouteIQSettings
    steps = list(path)
    while steps:
        step = steps.pop(0)
        if (concern, step) in _NAMED:
            concern, steps = _NAMED[concern, step], steps[1:]
        else:
            annotation = concern.model_fields[str(step)].annotation
            if not (isinstance(annotation, type) and issubclass(annotation, Concern)):
                return []
            concern = annotation
    return list(concern.model_fields)


def _check_model_list(document: Document, litellm: Mapping[str, Any]) -> None:
    entries = litellm.get("model_list") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{document.where(('model_list',))}: expected a list, found a {type(entries).__name__}")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("model_name"), str):
            raise ConfigError(f"{document.where(('model_list', i))}: expected a mapping with a `model_name`")


def _check_section_name(document: Document) -> None:
    """Refuse a misspelt name of our section, which LiteLLM would ignore and so leave the gateway without routing."""
    for key in map(str, document.data):
        if key in {SECTION, "router_settings"}:
            continue
        if key.lower().startswith("routeiq") or get_close_matches(key, [SECTION], cutoff=0.85):
            raise UnknownKey(f"{document.where((key,))}: unknown section {key!r}; did you mean {SECTION!r}?")
