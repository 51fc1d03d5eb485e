"""Settings of which model a request goes to: aliases, compound models, conversations, experiments."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from routeiq.config.settings.concern import ArtifactName, Concern, Name, Names, Weight, empty_if_none


class ObjectiveSettings(Concern):
    """What learned strategies trade against the quality of the answer."""

    cost_weight: Weight = Field(
        default=0.0,
        description="Score points given up to save the mean cost of the candidates on a request; 0 means quality only.",
    )
    latency_weight: Weight = Field(default=0.0, description="Score points given up to save one second of latency.")


class ExplorationSettings(Concern):
    """How often a model other than the best is tried on purpose, so that something is learned about it."""

    epsilon: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of requests that go to any candidate, each alike.",
    )


class AliasSettings(Concern):
    """One virtual model: what clients name as `model`, and how its candidates are chosen from."""

    candidates: Names | None = Field(
        default=None,
        description="Model names of the model_list to choose from, in the order used when RouteIQ cannot decide. "
        "Default: the models of the routing group with the alias's name.",
    )
    strategy: Name | None = Field(
        default=None, description="Strategy of this alias. Default: the `strategy` of the section."
    )
    artifact: ArtifactName | None = Field(
        default=None, description="Trained artifact of this alias. Default: the `artifact` of the section."
    )
    objective: Annotated[ObjectiveSettings, BeforeValidator(empty_if_none)] = ObjectiveSettings()
    exploration: Annotated[ExplorationSettings, BeforeValidator(empty_if_none)] = ExplorationSettings()
    affinity: bool | None = Field(
        default=None,
        description="Whether conversations stay on their model. Default: with learned strategies they do.",
    )


CompoundMethod = Literal["automix", "cascade", "knn-multiround", "llm-multiround", "router-r1"]


class CompoundSettings(Concern):
    """One compound model: what clients name as `model`, and how it is answered by several calls to candidates."""

    method: CompoundMethod = Field(description="How the answer is come to, see [strategies](strategies/index.md).")
    candidates: Names = Field(description="Model names of the model_list that may answer. Their prices order them.")
    model: Name | None = Field(
        default=None,
        description="Model that verifies (`automix`; default: the one that answered), decomposes (`knn-multiround`; "
        "default: the cheapest) or leads (`llm-multiround`, `router-r1`; required).",
    )
    artifact: ArtifactName | None = Field(
        default=None,
        description="Trained artifact that says what to expect of each candidate. Default where one is needed "
        "(`knn-multiround`, `cascade` by `expected_score`): the `artifact` of the section.",
    )
    confidence: Literal["self_consistency", "expected_score"] = Field(
        default="self_consistency",
        description="What `cascade` believes an answer by: how many of its samples agree, or the artifact.",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Confidence from which an answer is accepted. Default: what `routeiq train cascade` wrote into the "
        "artifact, for `expected_score`; else 0.5.",
    )
    samples: int = Field(default=3, ge=1, le=16, description="How often an answer is verified, or a question sampled.")
    rounds: int = Field(default=4, ge=1, le=16, description="How many smaller questions are asked at most.")
    objective: Annotated[ObjectiveSettings, BeforeValidator(empty_if_none)] = ObjectiveSettings()
    max_calls: int = Field(default=8, ge=1, le=64, description="Calls to models for one request, at most.")
    max_cost_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="US dollars for one request: after the first call, one that is expected to go beyond is not made.",
    )
    deadline_s: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds within which the answer must have begun; then the best answer so far is given.",
    )


class AffinitySettings(Concern):
    """How long conversations stay on their model, see [affinity](../concepts/affinity.md)."""

    ttl_s: float = Field(
        default=3600.0,
        gt=0,
        le=30 * 86_400,
        allow_inf_nan=False,
        description="Seconds after its last turn for which a conversation is remembered.",
    )
    margin: Weight = Field(
        default=0.05, description="Score points by which another model must be better before anything else counts."
    )
    cache_ttl_s: float = Field(
        default=300.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds for which a provider is taken to keep a prompt in its cache after the last use.",
    )
    cached_discount: float = Field(
        default=0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of the price of input that a cached token saves, where the price list does not say.",
    )
    budget_ms: float = Field(
        default=5.0,
        ge=0,
        le=50,
        allow_inf_nan=False,
        description="How long the first turn that a worker sees of a conversation waits for what others know of it.",
    )


ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class ArmSettings(Concern):
    """One arm of an experiment: what it does differently from its alias."""

    weight: Weight = Field(default=1.0, description="Share of the units, in proportion to the weights of all arms.")
    strategy: Name | None = Field(default=None, description="Strategy of this arm. Default: the alias's.")
    artifact: ArtifactName | None = Field(
        default=None, description="Trained artifact of this arm. Default: the alias's."
    )
    objective: ObjectiveSettings | None = Field(
        default=None, description="Objective of this arm. Default: the alias's."
    )
    candidates: Names | None = Field(
        default=None, description="Candidates of this arm, out of the alias's. Default: all of them."
    )


class RampSettings(Concern):
    """One step of an experiment's schedule."""

    at: AwareDatetime = Field(description="When the step is taken, with a time zone: `2026-12-01T09:00:00Z`.")
    weights: dict[ExperimentName, Weight] = Field(description="The weight of every arm from then on.")


class ExperimentSettings(Concern):
    """One A/B experiment, see [experiments](../how-to/experiments.md)."""

    alias: Name = Field(description="The virtual model whose requests take part.")
    unit: Literal["user", "key", "session", "team"] = Field(
        default="user", description="What keeps its arm. A request without one counts as its key."
    )
    arms: Annotated[
        dict[ExperimentName, Annotated[ArmSettings, BeforeValidator(empty_if_none)]], Field(min_length=2)
    ] = Field(description="The arms by name; `control` is the one that others are compared with.")
    ramp: list[RampSettings] = Field(default=[], description="When weights change by themselves, in order of time.")
    starts: AwareDatetime | None = Field(default=None, description="When the experiment begins. Default: at once.")
    ends: AwareDatetime | None = Field(default=None, description="When it ends. Default: when it is stopped.")
    salt: str = Field(
        default="", description="Changes who is in which arm. Default: the name; experiments are thus independent."
    )
