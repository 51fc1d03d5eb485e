"""Compound models out of the settings: who may answer, in which order, what is expected of them, what may be spent.

Owns the checks that need the model list or an artifact, as `config.compile` does for virtual models.
"""

from collections.abc import Callable, Mapping

from routeiq.config.load import Settings
from routeiq.config.settings import AliasSettings, CompoundSettings
from routeiq.core.artifact import Artifact
from routeiq.core.candidate import Candidate
from routeiq.core.errors import ArtifactError, ConfigError, UnknownCandidate, nearest
from routeiq.core.ports import ArtifactStore
from routeiq.core.reward import Objective
from routeiq.routing.compound.cascade import EXPECTED_SCORE, by_price
from routeiq.routing.compound.ledger import Budget
from routeiq.routing.compound.methods import METHODS, Compound, MethodEntry
from routeiq.routing.compound.steps import Plan
from routeiq.routing.profile import Profile
from routeiq.routing.snapshot import Route
from routeiq.routing.stages import Filter
from routeiq.routing.strategies import Recipe, Tuning, build, recipe
from routeiq.routing.table import CandidateTable

UNTRAINED = "cheapest-capable"
"""The strategy whose filters and prices serve where no artifact is named."""

Fits = Callable[[str, Artifact, CandidateTable], Recipe]
"""Checks an artifact against embedder and candidates, and returns its strategy; first comes where it stands."""


def compounds(
    settings: Settings,
    by_name: Mapping[str, Candidate],
    filters: tuple[Filter, ...],
    artifacts: ArtifactStore,
    fits: Fits,
) -> Mapping[str, Compound]:
    """Return the compound models; raises ConfigError or ArtifactError, saying where the setting stands."""
    return {
        name: _compound(settings, name, said, by_name, filters, artifacts, fits)
        for name, said in settings.routeiq.compound.items()
    }


def _compound(
    settings: Settings,
    name: str,
    said: CompoundSettings,
    by_name: Mapping[str, Candidate],
    filters: tuple[Filter, ...],
    artifacts: ArtifactStore,
    fits: Fits,
) -> Compound:
    _check_name(settings, name)
    method = METHODS[said.method]
    _check_keys(settings, name, said, method)
    table = CandidateTable(tuple(by_name[model] for model in _models(settings, name, said, by_name)))
    answering = CandidateTable(tuple(by_name[model] for model in said.candidates))
    found = _artifact(settings, name, said, table, artifacts, fits)
    tuning = Tuning(Objective(said.objective.cost_weight, said.objective.latency_weight), filters=filters)
    made_of, artifact = found if found is not None else (recipe(UNTRAINED), None)
    try:
        profile: Profile = build(made_of, table, artifact, tuning)
    except ArtifactError as error:
        raise type(error)(f"{settings.where('compound', name)}: {error.message}") from None
    return Compound(
        route=Route(name, table, profile),
        method=method,
        plan=Plan(_threshold(settings, name, said, artifact), said.samples, said.confidence, said.model, said.rounds),
        budget=Budget(said.max_calls, said.max_cost_usd, said.deadline_s),
        candidates=tuple(answering.names[i] for i in by_price(answering)),
    )


def _check_name(settings: Settings, name: str) -> None:
    """Refuse a name that LiteLLM or another setting gives a meaning to."""
    where = settings.where("compound", name)
    if name in settings.model_names:
        raise ConfigError(f"{where}: {name!r} is also a model_name of the model_list; give the compound model another")
    if name in settings.routeiq.aliases:
        raise ConfigError(f"{where}: {name!r} is also one of the aliases; give one of them another name")


def _check_keys(settings: Settings, name: str, said: CompoundSettings, method: MethodEntry) -> None:
    """Refuse settings that the method does not read, and the absence of those that it cannot do without."""
    own = {"model", "artifact", "confidence", "threshold", "samples", "rounds", "objective"}
    for key in sorted(own & said.model_fields_set - set(method.takes)):
        raise ConfigError(
            f"{settings.where('compound', name, key)}: {method.name} does not read {key!r}; remove it "
            f"({method.name} takes {', '.join(method.takes)})"
        )
    if "model" in method.needs and said.model is None:
        raise ConfigError(
            f"{settings.where('compound', name)}: {method.name} needs `model`, the name of the model that leads"
        )


def _models(settings: Settings, name: str, said: CompoundSettings, by_name: Mapping[str, Candidate]) -> tuple[str, ...]:
    """Return the candidates, and the model that plays the method's own part if it is none of them."""
    for i, model in enumerate(said.candidates):
        where = settings.where("compound", name, "candidates", i)
        if model not in by_name:
            raise UnknownCandidate(f"{where}: {model!r} is not in the model_list; {nearest(model, by_name)}")
        if model in said.candidates[:i]:
            raise ConfigError(f"{where}: {model!r} is listed twice; remove one")
    if said.model is not None and said.model not in by_name:
        where = settings.where("compound", name, "model")
        raise UnknownCandidate(f"{where}: {said.model!r} is not in the model_list; {nearest(said.model, by_name)}")
    return tuple(dict.fromkeys([*said.candidates, *([said.model] if said.model else [])]))


def _artifact(
    settings: Settings,
    name: str,
    said: CompoundSettings,
    table: CandidateTable,
    artifacts: ArtifactStore,
    fits: Fits,
) -> tuple[Recipe, Artifact] | None:
    needed = "artifact" in METHODS[said.method].needs or said.confidence == EXPECTED_SCORE
    path = settings.artifact(AliasSettings(artifact=said.artifact)) if said.artifact or needed else None
    if path is None:
        if needed:
            by, trainer = (" by expected_score", "cascade") if said.confidence == EXPECTED_SCORE else ("", "knn")
            raise ArtifactError(
                f"{settings.where('compound', name)}: {said.method}{by} needs a trained artifact: name one under "
                f"`artifact`, or train it with `routeiq train {trainer} --data DIR --suite NAME --output FILE`"
            )
        return None
    where = settings.where(*(("compound", name, "artifact") if said.artifact else ("artifact",)))
    try:
        artifact = artifacts.load(str(path))
    except ArtifactError as error:
        raise type(error)(f"{where}: {error.message}") from None
    return fits(where, artifact, table), artifact


def _threshold(settings: Settings, name: str, said: CompoundSettings, artifact: Artifact | None) -> float:
    """Return the operator's threshold, or else the one that was trained for just these candidates."""
    if said.threshold is not None:
        return said.threshold
    trained = artifact.threshold if artifact is not None and said.confidence == EXPECTED_SCORE else None
    if artifact is None or trained is None:
        return Plan().threshold
    facts = artifact.manifest.training.get("cascade")
    known = facts.get("candidates") if isinstance(facts, Mapping) else None
    if not isinstance(known, list) or set(known) != set(said.candidates):
        listed = ", ".join(map(str, known)) if isinstance(known, list) else "others"
        raise ConfigError(
            f"{settings.where('compound', name)}: the artifact's threshold was trained for {listed}, the candidates "
            f"here are {', '.join(said.candidates)}; train it for these (`routeiq train cascade --models "
            f"{','.join(said.candidates)}`), or set `threshold`"
        )
    return trained
