"""Experiments out of the settings: which arms, over which candidates, by which schedule.

Owns the checks that need the aliases and their candidates; building an arm's route is handed in, because it is the same
as an alias's (`config.compile`).
"""

import json
import math
from collections.abc import Callable, Mapping
from hashlib import sha256

from routeiq.config.load import Settings
from routeiq.config.settings import AliasSettings, ArmSettings, ExperimentSettings
from routeiq.core.errors import ConfigError, UnknownCandidate, nearest
from routeiq.core.experiment import CONTROL, Allocation, Plan, Unit
from routeiq.routing.snapshot import Arms, Route
from routeiq.routing.table import CandidateTable

At = tuple[str, ...]

RouteOf = Callable[[str, AliasSettings, At, CandidateTable], Route]
"""The route of an alias: its name, what is said of it, where that stands, its candidates."""


def arm_settings(alias: AliasSettings, arm: ArmSettings) -> AliasSettings:
    """Return an alias as one arm has it: what the arm does not say is the alias's."""
    said = {name: getattr(arm, name) for name in ("strategy", "artifact", "objective", "candidates")}
    return alias.model_copy(update={name: value for name, value in said.items() if value is not None})


def experiments(settings: Settings, routes: Mapping[str, Route], route_of: RouteOf) -> tuple[Arms, ...]:
    """Return the experiments; raises ConfigError or ArtifactError, saying where the setting stands."""
    taken: dict[str, str] = {}
    found = []
    for name, said in settings.routeiq.experiments.items():
        where = settings.where("experiments", name, "alias")
        if said.alias not in routes:
            raise ConfigError(f"{where}: {said.alias!r} is not an alias; {nearest(said.alias, routes)}")
        if said.alias in taken:
            raise ConfigError(
                f"{where}: {said.alias!r} already takes part in experiment {taken[said.alias]!r}; one at a time, "
                f"so that each request is counted for one arm"
            )
        taken[said.alias] = name
        found.append(_arms(settings, name, said, routes[said.alias], route_of))
    return tuple(found)


def _arms(settings: Settings, name: str, said: ExperimentSettings, route: Route, route_of: RouteOf) -> Arms:
    _check(settings, name, said)
    alias = settings.routeiq.aliases[said.alias]
    arms = sorted(said.arms, key=lambda arm: arm != CONTROL)
    routes = {}
    for arm in arms:
        table = _table(settings, name, arm, said.arms[arm], route.table)
        routes[arm] = route_of(
            said.alias, arm_settings(alias, said.arms[arm]), ("experiments", name, "arms", arm), table
        )
    plan = Plan(
        name=name,
        alias=said.alias,
        unit=Unit(said.unit),
        arms=tuple(arms),
        run=_run(said, alias, routes),
        stages=_stages(said, arms),
        salt=said.salt,
        starts=-math.inf if said.starts is None else said.starts.timestamp(),
        ends=math.inf if said.ends is None else said.ends.timestamp(),
    )
    return Arms(plan, routes)


def _check(settings: Settings, name: str, said: ExperimentSettings) -> None:
    """Raise unless there is a control, every set of weights is one over the arms, and time goes forward."""
    if CONTROL not in said.arms:
        where = settings.where("experiments", name, "arms")
        raise ConfigError(
            f"{where}: no arm is called {CONTROL!r}, which others are compared with; found {', '.join(said.arms)}"
        )
    _check_weights(settings.where("experiments", name, "arms"), {a: s.weight for a, s in said.arms.items()}, said)
    if said.starts is not None and said.ends is not None and said.ends <= said.starts:
        where = settings.where("experiments", name, "ends")
        raise ConfigError(f"{where}: {said.ends} is not after `starts`, {said.starts}")
    for i, step in enumerate(said.ramp):
        where = settings.where("experiments", name, "ramp", i)
        _check_weights(where, step.weights, said)
        if i and step.at <= said.ramp[i - 1].at:
            raise ConfigError(f"{where}: {step.at} is not after the step before it, {said.ramp[i - 1].at}")


def _check_weights(where: str, weights: Mapping[str, float], said: ExperimentSettings) -> None:
    for arm in weights:
        if arm not in said.arms:
            raise ConfigError(f"{where}: {arm!r} is not an arm; {nearest(arm, said.arms)}")
    missing = [arm for arm in said.arms if arm not in weights]
    if missing:
        raise ConfigError(f"{where}: no weight for {', '.join(missing)}; give each arm one, 0 for none")
    if not sum(weights.values()) > 0:
        raise ConfigError(f"{where}: the weights are all 0; expected a positive one")


def _table(settings: Settings, name: str, arm: str, said: ArmSettings, whole: CandidateTable) -> CandidateTable:
    """Return an arm's candidates. They are some of the alias's, because those are what LiteLLM offers and permits."""
    if said.candidates is None:
        return whole
    for i, candidate in enumerate(said.candidates):
        where = settings.where("experiments", name, "arms", arm, "candidates", i)
        if candidate not in whole.index:
            known = nearest(candidate, whole.names)
            raise UnknownCandidate(f"{where}: {candidate!r} is not a candidate of the alias; {known}")
        if candidate in said.candidates[:i]:
            raise ConfigError(f"{where}: {candidate!r} is listed twice; remove one")
    return CandidateTable(tuple(whole.candidates[whole.index[candidate]] for candidate in said.candidates))


def _stages(said: ExperimentSettings, arms: list[str]) -> tuple[tuple[float, Allocation], ...]:
    allocation = Allocation.of({arm: said.arms[arm].weight for arm in arms})
    stages = [(-math.inf, allocation)]
    for step in said.ramp:
        allocation = allocation.moved({arm: step.weights[arm] for arm in arms})
        stages.append((step.at.timestamp(), allocation))
    return tuple(stages)


def _run(said: ExperimentSettings, alias: AliasSettings, routes: Mapping[str, Route]) -> str:
    """Return a digest of everything that makes the counts of two arms comparable: all but weights and times."""
    made_from = {
        "alias": said.alias,
        "unit": said.unit,
        "salt": said.salt,
        "arms": {
            arm: {
                "said": arm_settings(alias, said.arms[arm]).model_dump(mode="json"),
                "strategy": route.profile.strategy,
                "artifact": route.profile.artifact,
                "candidates": route.table.names,
            }
            for arm, route in routes.items()
        },
    }
    return sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:8]
