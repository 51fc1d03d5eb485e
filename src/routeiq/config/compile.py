"""Settings to a snapshot: everything that can fail about a configuration fails here, before it serves a request.

Owns the checks that need the model list, the strategies, an artifact or the embedder. Pure apart from reading
artifacts through the port; building embedder and store is `wiring`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from routeiq.config.compound import compounds
from routeiq.config.experiments import At, experiments
from routeiq.config.load import Settings
from routeiq.config.plugins import strategies
from routeiq.config.policy import policy_filter
from routeiq.config.settings import AffinitySettings, AliasSettings
from routeiq.config.virtual_models import check_alias
from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import (
    ArtifactError,
    CandidateMismatch,
    ConfigError,
    EmbedderMismatch,
    UnknownCandidate,
    UnknownStrategy,
    nearest,
)
from routeiq.core.ports import ArtifactStore, Embedder
from routeiq.core.reward import Objective
from routeiq.routing.affinity import Stay
from routeiq.routing.compound.methods import METHODS
from routeiq.routing.filters import AllowListFilter
from routeiq.routing.snapshot import Route, Snapshot
from routeiq.routing.stages import Filter
from routeiq.routing.strategies import BUILT_IN, Recipe, Tuning, build, recipe
from routeiq.routing.table import CandidateTable

TRAINED = "trained"
"""In the place of a strategy: the one that the artifact was trained for, so that a champion may be of any family."""

_NO_PART = {"outcome_log", "decision_log", "online", "artifact_cache", "llm_candidates"}
"""Settings that no decision depends on, or only by what was read for them."""


def compile_snapshot(
    settings: Settings, candidates: Sequence[Candidate], artifacts: ArtifactStore, embedder: Embedder | None
) -> Snapshot:
    """Return the snapshot that the settings describe.

    `candidates` are all model groups that LiteLLM knows; `embedder` is the one requests will be embedded with. Raises
    ConfigError (UnknownStrategy, UnknownCandidate) or ArtifactError (digest, schema, candidates, embedder), each saying
    where the setting stands. Without a `routeiq_settings` section there are no routes.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    section = settings.routeiq
    arms = [arm.strategy for said in section.experiments.values() for arm in said.arms.values() if arm.strategy]
    others = strategies([settings.strategy(alias) for alias in section.aliases.values()] + [section.strategy, *arms])
    _check_default(settings, others)
    filters = (*_allow_list(settings, by_name), *_policy(settings, by_name))

    def route_of(name: str, alias: AliasSettings, at: At, table: CandidateTable) -> Route:
        made_of = _recipe(settings, at, alias, others)
        artifact = _artifact(settings, at, alias, made_of, artifacts)
        if made_of is None:
            made_of = _trained_for(settings, at, artifact, others)
        if artifact is not None:
            _check_fit(_names_artifact(settings, at, alias), artifact, made_of, table, embedder)
        built = _route(settings, at, name, table, made_of, artifact, _tuning(alias, filters, artifact))
        return replace(built, stay=_stay(section.affinity, alias, made_of))

    routes = {}
    for name, alias in section.aliases.items():
        table = CandidateTable(_choose(settings, name, alias, by_name))
        routes[name] = route_of(name, alias, ("aliases", name), table)
    trials = experiments(settings, routes, route_of)
    in_arms = {f"{e.plan.name}/{arm}": route for e in trials for arm, route in e.routes.items()}

    def fits(where: str, artifact: Artifact, table: CandidateTable) -> Recipe:
        trained = _named(artifact.manifest.strategy, where, others)
        _check_fit(where, artifact, trained, table, embedder)
        return trained

    several = compounds(settings, by_name, filters, artifacts, fits)
    every = {**routes, **{name: compound.route for name, compound in several.items()}}
    return Snapshot(_version(settings, {**every, **in_arms}, embedder), routes, several, trials)


def _choose(
    settings: Settings, name: str, alias: AliasSettings, by_name: Mapping[str, Candidate]
) -> tuple[Candidate, ...]:
    """Return an alias's candidates: those it lists, else those of its routing group that LiteLLM knows."""
    members = check_alias(settings, name)
    if alias.candidates is None:
        return tuple(by_name.get(member) or Candidate(member) for member in members)
    for i, candidate in enumerate(alias.candidates):
        where = settings.where("aliases", name, "candidates", i)
        if candidate not in by_name:
            raise UnknownCandidate(f"{where}: {candidate!r} is not in the model_list; {nearest(candidate, by_name)}")
        if candidate not in members:
            raise ConfigError(
                f"{where}: {candidate!r} is not in the routing group {name!r} of router_settings, so LiteLLM would "
                f"never offer it; add it to the group's models and model_priorities"
            )
        if candidate in alias.candidates[:i]:
            raise ConfigError(f"{where}: {candidate!r} is listed twice; remove one")
    return tuple(by_name[candidate] for candidate in alias.candidates)


def _check_default(settings: Settings, others: Mapping[str, Recipe]) -> None:
    """Check the default strategy even when every alias names its own: a typo must not wait for the next alias."""
    named = settings.environment.strategy
    if (named or settings.routeiq.strategy) == TRAINED:
        return
    where = "environment variable ROUTEIQ_STRATEGY" if named else settings.where("strategy")
    _named(named or settings.routeiq.strategy, where, others)


def _recipe(settings: Settings, at: At, alias: AliasSettings, others: Mapping[str, Recipe]) -> Recipe | None:
    """Return the strategy of an alias, None when it is the one that its artifact was trained for."""
    name = settings.strategy(alias)
    return None if name == TRAINED else _named(name, settings.where(*at, "strategy"), others)


def _trained_for(settings: Settings, at: At, artifact: Artifact | None, others: Mapping[str, Recipe]) -> Recipe:
    where = settings.where(*at, "strategy")
    if artifact is None:
        raise ConfigError(f"{where}: {TRAINED!r} is the strategy of an artifact; name one under `artifact`")
    return _named(artifact.manifest.strategy, where, others)


def _named(strategy: str, where: str, others: Mapping[str, Recipe]) -> Recipe:
    try:
        return recipe(strategy, others)
    except UnknownStrategy as error:
        if strategy in METHODS:
            several = f"{strategy!r} is a method of compound models; name it under `compound`, with a name of its own"
            raise UnknownStrategy(f"{where}: {several}") from None
        listed = ", ".join(sorted({**BUILT_IN, **others}))
        raise UnknownStrategy(f"{where}: {error.message} (strategies: {listed})") from None


def _artifact(
    settings: Settings, at: At, alias: AliasSettings, made_of: Recipe | None, artifacts: ArtifactStore
) -> Artifact | None:
    """Return the verified artifact of an alias whose strategy is learned; None for the others."""
    path = settings.artifact(alias)
    if path is None or (made_of is not None and not made_of.needs_artifact):
        return None
    where = _names_artifact(settings, at, alias)
    try:
        return artifacts.load(str(path))
    except ArtifactError as error:
        found = type(error)(f"{where}: {error.message}")
        found.file = path.with_suffix(".json") if isinstance(path, Path) else None
        raise found from None


def _names_artifact(settings: Settings, at: At, alias: AliasSettings) -> str:
    if alias.artifact is None and settings.environment.model_s3_uri is not None:
        return "environment variable ROUTEIQ_MODEL_S3_URI"
    return settings.where(*((*at, "artifact") if alias.artifact else ("artifact",)))


def _check_fit(
    where: str, artifact: Artifact, made_of: Recipe, table: CandidateTable, embedder: Embedder | None
) -> None:
    """Raise unless the artifact was made for this strategy, this embedder, and at least one of these candidates."""
    manifest = artifact.manifest
    if manifest.strategy != made_of.name:
        raise ArtifactError(
            f"{where}: the artifact was trained for strategy {manifest.strategy!r}, not for {made_of.name!r}"
        )
    if not set(manifest.candidates) & set(table.names):
        raise CandidateMismatch(
            f"{where}: the artifact was trained on {', '.join(manifest.candidates)}; none of them is a candidate "
            f"({', '.join(table.names)}). Train it on these, or give the model groups the names it was trained on"
        )
    used = embedder.id if embedder is not None else None
    if manifest.embedder is not None and manifest.embedder != used:
        raise EmbedderMismatch(
            f"{where}: the artifact was trained on vectors of {manifest.embedder!r}, but prompts are embedded with "
            f"{used!r}; set routeiq_settings.embedder to the former, or train again"
        )


def _tuning(alias: AliasSettings, filters: tuple[Filter, ...], artifact: Artifact | None) -> Tuning:
    """Return what an alias says; where it leaves out the cost weight, the one that the artifact was trained for."""
    said = alias.objective
    trained = None if artifact is None or "cost_weight" in said.model_fields_set else artifact.cost_weight
    objective = Objective(said.cost_weight if trained is None else trained, said.latency_weight)
    return Tuning(objective, alias.exploration.epsilon, filters)


def _stay(said: AffinitySettings, alias: AliasSettings, made_of: Recipe) -> Stay | None:
    stays = made_of.needs_artifact if alias.affinity is None else alias.affinity
    return Stay(said.margin, said.cache_ttl_s, said.cached_discount) if stays else None


def _route(
    settings: Settings,
    at: At,
    name: str,
    table: CandidateTable,
    made_of: Recipe,
    artifact: Artifact | None,
    tuning: Tuning,
) -> Route:
    try:
        return Route(name, table, build(made_of, table, artifact, tuning))
    except ArtifactError as error:
        raise type(error)(f"{settings.where(*at)}: {error.message}") from None


def _allow_list(settings: Settings, by_name: Mapping[str, Candidate]) -> tuple[Filter, ...]:
    teams = settings.routeiq.allow_list
    for team, names in teams.items():
        for i, name in enumerate(names):
            if name not in by_name:
                where = settings.where("allow_list", team, i)
                raise UnknownCandidate(f"{where}: {name!r} is not in the model_list; {nearest(name, by_name)}")
    return (AllowListFilter({team: frozenset(names) for team, names in teams.items()}),) if teams else ()


def _policy(settings: Settings, by_name: Mapping[str, Candidate]) -> tuple[Filter, ...]:
    section = settings.routeiq
    if settings.policy is None or section.policy is None:
        return ()
    aliases = {**section.aliases, **section.compound}
    found = policy_filter(settings.policy, settings.beside(section.policy), by_name, aliases)
    return () if found is None else (found,)


def _version(settings: Settings, routes: Mapping[str, Route], embedder: Embedder | None) -> str:
    """Return a short digest of what decisions depend on: settings, candidates, artifacts and embedder."""
    made_from: dict[str, Any] = {
        "settings": settings.routeiq.model_dump(mode="json", exclude=_NO_PART),
        "embedder": embedder.id if embedder is not None else None,
        "policy": None if settings.policy is None else settings.policy.model_dump(mode="json"),
        "routes": {
            name: {
                "strategy": route.profile.strategy,
                "artifact": route.profile.artifact,
                "candidates": [asdict(candidate) for candidate in route.table.candidates],
            }
            for name, route in routes.items()
        },
    }
    text = json.dumps(made_from, sort_keys=True, default=sorted)
    return sha256(text.encode()).hexdigest()[:12]
