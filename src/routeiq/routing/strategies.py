"""The table of built-in strategies: a name, what it is made of, and what it needs.

Owns the names that `routeiq_settings.strategy` and ROUTEIQ_STRATEGY accept. Strategies of other people come by entry
point and are named in the settings; `config.compile` adds them to this table's lookup.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from routeiq.core.artifact import Artifact
from routeiq.core.errors import ArtifactError, UnknownStrategy, nearest
from routeiq.core.reward import Objective
from routeiq.routing.filters import CapabilityFilter, ContextWindowFilter
from routeiq.routing.pickers import Best, EpsilonGreedy, EvenAmongBest, Proportional, Rotate, Thompson, UpperBound
from routeiq.routing.profile import Profile
from routeiq.routing.scorers.bandit import PosteriorScorer
from routeiq.routing.scorers.causallm import HeadScorer
from routeiq.routing.scorers.elo import RatingScorer
from routeiq.routing.scorers.ensemble import EnsembleScorer
from routeiq.routing.scorers.fixed import FixedScorer
from routeiq.routing.scorers.graph import MessageScorer
from routeiq.routing.scorers.hybrid import GapScorer
from routeiq.routing.scorers.irt import ItemResponseScorer
from routeiq.routing.scorers.kmeans import ClusterScorer
from routeiq.routing.scorers.linear import LinearScorer
from routeiq.routing.scorers.logistic import LogisticScorer
from routeiq.routing.scorers.mf import FactorScorer
from routeiq.routing.scorers.mlp import NetworkScorer
from routeiq.routing.scorers.neighbours import NeighbourScorer
from routeiq.routing.scorers.personalized import PersonalScorer, base_of
from routeiq.routing.scorers.routerdc import ContrastScorer
from routeiq.routing.scorers.static import Latency, Load, Price, Size, Uniform, Weight
from routeiq.routing.scorers.svm import MarginScorer
from routeiq.routing.stages import Filter, Picker, Scorer
from routeiq.routing.table import CandidateTable


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a strategy is made of. `needs_artifact` strategies predict quality from a trained artifact."""

    name: str
    summary: str
    scorer: Callable[[CandidateTable, Artifact | None], Scorer]
    picker: Callable[[], Picker]
    needs_artifact: bool = False


@dataclass(frozen=True, slots=True)
class Tuning:
    """The operator's choices for one alias: objective, exploration (0 for none) and further filters."""

    objective: Objective = Objective()
    epsilon: float = 0.0
    filters: tuple[Filter, ...] = ()


def _learned(
    name: str, summary: str, bind: Callable[[Artifact, CandidateTable], Scorer], picker: Callable[[], Picker] = Best
) -> Recipe:
    """Return the recipe of a strategy that predicts from an artifact; `bind` is its scorer's `from_artifact`."""

    def scorer(table: CandidateTable, artifact: Artifact | None) -> Scorer:
        if artifact is None:
            raise ArtifactError(f"strategy {name!r} needs a trained artifact")
        return bind(artifact, table)

    return Recipe(name, summary, scorer, picker, needs_artifact=True)


def _personal(artifact: Artifact, table: CandidateTable) -> Scorer:
    base = base_of(artifact)
    return PersonalScorer.over(recipe(base.manifest.strategy).scorer(table, base), artifact, table)


BUILT_IN: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("random", "any candidate, each alike", lambda table, _: Uniform(), Proportional),
        Recipe("weighted", "drawn by the operator's weights", lambda table, _: Weight(), Proportional),
        Recipe("round-robin", "each candidate in turn", lambda table, _: Uniform(), Rotate),
        Recipe("least-busy", "the fewest calls under way", lambda table, _: Load(), EvenAmongBest),
        Recipe("smallest", "the smallest model", lambda table, _: Size(largest=False), Best),
        Recipe("largest", "the largest model", lambda table, _: Size(largest=True), Best),
        Recipe("lowest-latency", "the fastest answers seen", lambda table, _: Latency(), Best),
        Recipe("cheapest-capable", "the cheapest that can serve the request", lambda table, _: Price(), Best),
        _learned("knn", "recorded scores of similar prompts", NeighbourScorer.from_artifact),
        _learned("kmeans", "recorded scores of the prompt's cluster", ClusterScorer.from_artifact),
        _learned("linear", "a ridge regression on embedding, numbers and words", LinearScorer.from_artifact),
        _learned("ensemble", "several heads averaged, believed by evidence", EnsembleScorer.from_artifact),
        _learned("fixed", "the best fixed model, whatever the prompt", FixedScorer.from_artifact),
        _learned("logistic", "a logistic regression of each score on the prompt", LogisticScorer.from_artifact),
        _learned("svm", "a calibrated support vector regression of each score", MarginScorer.from_artifact),
        _learned("mlp", "one hidden layer over the prompt, shared by all models", NetworkScorer.from_artifact),
        _learned("hybrid", "the predicted gap of each model to the best fixed one", GapScorer.from_artifact),
        _learned("mf", "prompts and models as vectors of a few dimensions", FactorScorer.from_artifact),
        _learned("irt", "abilities of models against the difficulty of the prompt", ItemResponseScorer.from_artifact),
        _learned("elo", "ratings from comparisons among similar prompts", RatingScorer.from_artifact),
        _learned("graph", "messages between prompts, tasks and models", MessageScorer.from_artifact),
        _learned("routerdc", "model embeddings learned by contrast", ContrastScorer.from_artifact),
        _learned("personalized", "another artifact, moved by what teams and users think", _personal),
        _learned(
            "thompson", "each model as often as it is likely to be the best", PosteriorScorer.from_artifact, Thompson
        ),
        _learned(
            "linucb", "the model whose expected score could be highest", PosteriorScorer.from_artifact, UpperBound
        ),
        _learned("causallm", "a language model reads the prompt, a linear head names models", HeadScorer.from_artifact),
    )
}


def recipe(name: str, others: Mapping[str, Recipe] | None = None) -> Recipe:
    """Return a strategy by name; raises UnknownStrategy naming the nearest known one."""
    known = {**BUILT_IN, **(others or {})}
    if name not in known:
        raise UnknownStrategy(f"unknown strategy {name!r}; {nearest(name, known)}")
    return known[name]


def build(made_of: Recipe, table: CandidateTable, artifact: Artifact | None, tuning: Tuning) -> Profile:
    """Return the profile of a strategy over a table; raises ArtifactError when the artifact is missing or unfit."""
    if made_of.needs_artifact and artifact is None:
        raise ArtifactError(
            f"strategy {made_of.name!r} needs a trained artifact: name one under `artifact`, "
            f"or train it with `routeiq train {made_of.name} --data DIR --suite NAME --output FILE`"
        )
    used = artifact if made_of.needs_artifact else None
    return Profile(
        strategy=made_of.name,
        filters=(CapabilityFilter(), ContextWindowFilter(), *tuning.filters),
        scorers=((made_of.scorer(table, used), 1.0),),
        picker=EpsilonGreedy(tuning.epsilon) if tuning.epsilon > 0 else made_of.picker(),
        objective=tuning.objective if made_of.needs_artifact else Objective(),
        artifact=used.manifest.version if used else None,
        embedder=used.manifest.embedder if used else None,
    )
