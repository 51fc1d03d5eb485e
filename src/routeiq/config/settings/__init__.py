"""What an operator can set: the section `routeiq_settings` of a LiteLLM config.yaml, one class per concern.

Owns names, types, ranges, defaults and descriptions; docs/reference/settings.md is generated from here. Does not read
files or the environment (`config.load`) and does not know which strategies and candidates exist (`config.compile`).
"""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from routeiq.config.settings.concern import ArtifactName, Concern, Name, Names, empty_if_none
from routeiq.config.settings.routing import (
    AffinitySettings,
    AliasSettings,
    ArmSettings,
    CompoundSettings,
    ExperimentName,
    ExperimentSettings,
    ExplorationSettings,
    ObjectiveSettings,
    RampSettings,
)
from routeiq.config.settings.running import (
    ArtifactCacheSettings,
    AuditSettings,
    BreakerSettings,
    EmbedderSettings,
    LimitsSettings,
    OnlineSettings,
    OutcomeLogSettings,
    ShareSettings,
    SignatureSettings,
)

SECTION = "routeiq_settings"
"""The key of RouteIQ's section at the top level of LiteLLM's config.yaml."""

DEFAULT_STRATEGY = "round-robin"


class RouteIQSettings(Concern):
    """The section `routeiq_settings`."""

    strategy: Name = Field(
        default=DEFAULT_STRATEGY,
        description="Strategy of every alias that names none. `trained`: the one that its artifact was trained for.",
    )
    artifact: ArtifactName | None = Field(
        default=None,
        description="Trained artifact of every alias that names none: a path (`.npz`), an address "
        "(`s3://BUCKET/PATH/knn.npz`, `gs://`, `https://`, `file:///`), or that of a pointer (`.json`), see "
        "[artifacts](../operations/artifacts.md).",
    )
    aliases: Annotated[
        dict[Name, Annotated[AliasSettings, BeforeValidator(empty_if_none)]], BeforeValidator(empty_if_none)
    ] = Field(default={}, description="The virtual models, by the name that clients give as `model`.")
    compound: Annotated[dict[Name, CompoundSettings], BeforeValidator(empty_if_none)] = Field(
        default={}, description="The compound models, by the name that clients give as `model`; for `routeiq serve`."
    )
    experiments: Annotated[dict[ExperimentName, ExperimentSettings], BeforeValidator(empty_if_none)] = Field(
        default={}, description="A/B experiments by name; an alias takes part in one at most."
    )
    affinity: Annotated[AffinitySettings, BeforeValidator(empty_if_none)] = AffinitySettings()
    embedder: Annotated[EmbedderSettings, BeforeValidator(empty_if_none)] = EmbedderSettings()
    outcome_log: Annotated[OutcomeLogSettings, BeforeValidator(empty_if_none)] = OutcomeLogSettings()
    audit: Annotated[AuditSettings, BeforeValidator(empty_if_none)] = AuditSettings()
    allow_list: Annotated[dict[Name, Annotated[list[Name], Field(min_length=1)]], BeforeValidator(empty_if_none)] = (
        Field(
            default={},
            description="Team id to the candidates it may be routed to. A team that is not listed may use all.",
        )
    )
    policy: Path | None = Field(
        default=None,
        description="YAML or JSON file with rules of who may be routed to which models, see "
        "[policy](../operations/policy.md). `allow_list` holds too.",
    )
    llm_candidates: Path | None = Field(
        default=None,
        description="JSON file with facts and prices of models, as LLMRouter has it (`llm_candidates.json`), see "
        "[model facts](../operations/model-facts.md). What `model_info` says comes first.",
    )
    online: Annotated[OnlineSettings, BeforeValidator(empty_if_none)] = OnlineSettings()
    artifact_cache: Annotated[ArtifactCacheSettings, BeforeValidator(empty_if_none)] = ArtifactCacheSettings()
    signatures: Annotated[SignatureSettings, BeforeValidator(empty_if_none)] = SignatureSettings()
    limits: Annotated[LimitsSettings, BeforeValidator(empty_if_none)] = LimitsSettings()
    breakers: Annotated[BreakerSettings, BeforeValidator(empty_if_none)] = BreakerSettings()
    decision_log: bool = Field(default=True, description="Whether each decision writes one JSON log line.")


__all__ = [
    "DEFAULT_STRATEGY",
    "SECTION",
    "AffinitySettings",
    "AliasSettings",
    "ArmSettings",
    "ArtifactCacheSettings",
    "ArtifactName",
    "AuditSettings",
    "BreakerSettings",
    "CompoundSettings",
    "Concern",
    "EmbedderSettings",
    "ExperimentName",
    "ExperimentSettings",
    "ExplorationSettings",
    "LimitsSettings",
    "Name",
    "Names",
    "ObjectiveSettings",
    "OnlineSettings",
    "OutcomeLogSettings",
    "RampSettings",
    "RouteIQSettings",
    "ShareSettings",
    "SignatureSettings",
]
