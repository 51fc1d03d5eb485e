"""What an operator can set: the section `routeiq_settings` of a LiteLLM config.yaml, one class per concern.

Owns names, types, ranges, defaults and descriptions; docs/reference/settings.md is generated from here. Does not read
files or the environment (`config.load`) and does not know which strategies and candidates exist (`config.compile`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from routeiq.config.addresses import checked

SECTION = "routeiq_settings"
"""The key of RouteIQ's section at the top level of LiteLLM's config.yaml."""

DEFAULT_STRATEGY = "round-robin"


def _empty_if_none(value: Any) -> Any:
    """Read `key:` with nothing after it, which is None in YAML, as a section whose settings all have their defaults."""
    return {} if value is None else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class Concern(BaseModel):
    """One group of settings: immutable, and an unknown key in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
ArtifactName = Annotated[str, Field(min_length=1), BeforeValidator(_as_text), AfterValidator(checked)]
"""A path, or an address such as `s3://BUCKET/PATH/knn.npz`."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    objective: Annotated[ObjectiveSettings, BeforeValidator(_empty_if_none)] = ObjectiveSettings()
    exploration: Annotated[ExplorationSettings, BeforeValidator(_empty_if_none)] = ExplorationSettings()
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
    objective: Annotated[ObjectiveSettings, BeforeValidator(_empty_if_none)] = ObjectiveSettings()
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
        dict[ExperimentName, Annotated[ArmSettings, BeforeValidator(_empty_if_none)]], Field(min_length=2)
    ] = Field(description="The arms by name; `control` is the one that others are compared with.")
    ramp: list[RampSettings] = Field(default=[], description="When weights change by themselves, in order of time.")
    starts: AwareDatetime | None = Field(default=None, description="When the experiment begins. Default: at once.")
    ends: AwareDatetime | None = Field(default=None, description="When it ends. Default: when it is stopped.")
    salt: str = Field(
        default="", description="Changes who is in which arm. Default: the name; experiments are thus independent."
    )


class EmbedderSettings(Concern):
    """What turns a prompt into the vector that learned strategies look at."""

    kind: Literal["static", "onnx", "none"] = Field(
        default="static",
        description="`static`: the built-in token vectors, microseconds per prompt. `onnx`: a sentence encoder run by "
        "ONNX Runtime in a thread (needs the `onnx` extra). `none`: prompts are not embedded.",
    )
    path: Path | None = Field(
        default=None,
        description="Folder with the encoder's `model.onnx` and `vocab.txt` or `tokenizer.json`; for `onnx` only.",
    )
    deadline_ms: float = Field(
        default=30.0,
        gt=0,
        le=10_000,
        allow_inf_nan=False,
        description="How long a request waits for its vector before it is routed without one.",
    )

    @model_validator(mode="after")
    def _path_belongs_to_onnx(self) -> "EmbedderSettings":
        if self.kind == "onnx" and self.path is None:
            raise ValueError("kind 'onnx' needs `path`, the folder that holds model.onnx and its vocabulary")
        if self.kind != "onnx" and self.path is not None:
            raise ValueError(f"kind {self.kind!r} takes no `path`; remove it, or set kind to 'onnx'")
        return self


class OutcomeLogSettings(Concern):
    """What is remembered of decisions and of what came of them."""

    kind: Literal["sqlite", "postgres"] = Field(
        default="sqlite",
        description="`sqlite`: one file, for the workers of one machine. `postgres`: PostgreSQL, for any number of "
        "gateways (needs the `postgres` extra).",
    )
    path: Path | None = Field(
        default=Path("routeiq.db"),
        description="SQLite file of the outcome log; `null` keeps outcomes in memory only. For `sqlite`.",
    )
    # Left out of comparisons: a new value of the variable that it names takes effect while the gateway serves.
    url: SecretStr | None = Field(
        default=None,
        exclude=True,
        description="Where PostgreSQL is, `os.environ/NAME` or a URL. Default: `ROUTEIQ_DATABASE_URL`, else "
        "`DATABASE_URL`. For `postgres`.",
    )
    spill_path: Path = Field(
        default=Path("routeiq-spill.db"),
        description="File in which records are kept while PostgreSQL is away; one for all workers of a machine.",
    )
    spill_mb: int = Field(
        default=512, ge=1, le=1_000_000, description="How large that file may become, in MiB; then feedback is refused."
    )
    store_prompts: bool = Field(
        default=False,
        description="Whether the text of prompts is stored. Vector and salted hash are stored in any case.",
    )


class AuditSettings(Concern):
    """Where it is kept who changed what, and for how long, see [audit](../operations/audit.md)."""

    path: Path | None = Field(
        default=Path("audit"), description="Folder of the audit, the same for all workers of a host; `null` keeps none."
    )
    required: bool = Field(
        default=False, description="Whether endpoints for admins refuse changes while the audit cannot be written."
    )
    fsync: bool = Field(default=True, description="Whether each event is brought to the disk, for a loss of power.")
    file_mb: int = Field(default=16, ge=1, le=1024, description="Size at which a file is closed, in MiB.")
    file_days: float = Field(
        default=30.0, gt=0, le=3660, allow_inf_nan=False, description="Days after its first event a file is closed."
    )
    keep_days: float = Field(
        default=400.0, gt=0, le=36_600, allow_inf_nan=False, description="Days for which a closed file is kept."
    )
    total_mb: int = Field(
        default=1024, ge=2, description="Size of all files from which the oldest are removed, in MiB."
    )


class OnlineSettings(Concern):
    """How `thompson`, `linucb`, `elo` and `personalized` go on learning while they serve."""

    answered_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="What an answer that nobody judged counts as; a failure then counts as 0. `null`: only feedback "
        "is learned from.",
    )
    state_path: Path | None = Field(
        default=None, description="Folder in which what was learned is kept. Default: beside the artifact."
    )
    save_seconds: float = Field(
        default=5.0, gt=0, le=3600, allow_inf_nan=False, description="How much learning, in seconds, a crash may lose."
    )
    save_updates: int = Field(default=200, ge=1, description="How much learning, in judgements, a crash may lose.")


class ArtifactCacheSettings(Concern):
    """Where artifacts with an address are kept on this host, see [artifacts](../operations/artifacts.md)."""

    path: Path | None = Field(
        default=None,
        description="Folder that all gateways of a host share. Default: `routeiq` in the user's folder for caches "
        "(`XDG_CACHE_HOME`, else `~/.cache`).",
    )
    max_disk_mb: float = Field(
        default=4096.0,
        gt=0,
        allow_inf_nan=False,
        description="Megabytes on disk; what was not used for longest goes first. What this gateway serves with stays.",
    )
    max_memory_mb: float = Field(
        default=1024.0,
        ge=0,
        allow_inf_nan=False,
        description="Megabytes of mapped artifacts that a worker holds on to, besides those that serve.",
    )
    lease_s: float = Field(
        default=30.0,
        ge=1,
        le=600,
        allow_inf_nan=False,
        description="Seconds after which a process that fetches and stands still is replaced by another.",
    )


class SignatureSettings(Concern):
    """Whose artifacts are served."""

    trusted_keys: list[Name] = Field(
        default=[],
        description="Public keys (`ed25519:...`, as `routeiq admin keygen` prints them). With any, a signed artifact "
        "is served only if one of them signed it.",
    )
    required: bool = Field(default=False, description="Whether artifacts without a signature are refused, too.")

    @model_validator(mode="after")
    def _somebody_is_trusted(self) -> "SignatureSettings":
        if self.required and not self.trusted_keys:
            raise ValueError("`required` needs `trusted_keys`: without any, no artifact could be served")
        return self


PriorityName = Literal["low", "normal", "high"]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)]


class ShareSettings(Concern):
    """What one team or key gets of each worker while others want it too."""

    max_concurrent: Count = Field(
        default=0, description="Requests under way at once in one worker; 0: its `share` of the worker, if that is set."
    )
    max_everywhere: Count = Field(
        default=0,
        description="Requests under way at once on all workers of all replicas together, counted in shared state; "
        "0: not bounded. For teams. While shared state is away each worker has its part.",
    )
    weight: float = Field(
        default=1.0, gt=0, le=1_000, allow_inf_nan=False, description="Turns for one turn of a team with weight 1."
    )
    priority: PriorityName = Field(default="normal", description="Who waits with a higher priority goes first.")


class LimitsSettings(Concern):
    """How many calls to models each worker lets in; who waits, and who is refused. All bounds are off by default."""

    max_concurrent_requests: Count = Field(
        default=0, description="Requests under way at once in one worker; 0: not bounded."
    )
    max_queued_requests: Count | None = Field(
        default=None,
        description="Requests that may wait for one worker. Default: as many as may be under way, or 100.",
    )
    queue_timeout_s: Seconds = Field(
        default=5.0,
        description="How long a request may wait. Who would have to wait longer is refused at once.",
    )
    max_tokens_in_flight: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Prompt tokens under way at once in one worker, estimated from the length of the body; "
        "0: not bounded.",
    )
    max_p95_latency_s: Seconds | None = Field(
        default=None,
        description="95th percentile of the time until an answer begins above which fewer requests are let in.",
    )
    share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Part of `max_concurrent_requests` that one team, or one key without a team, may have at once.",
    )
    teams: Annotated[dict[Name, ShareSettings], BeforeValidator(_empty_if_none)] = Field(
        default={}, description="Shares of teams, by team id."
    )
    keys: Annotated[dict[Name, ShareSettings], BeforeValidator(_empty_if_none)] = Field(
        default={},
        description="Shares of keys, by LiteLLM's hash of the key (`/key/info` shows it). For a key of a team only "
        "`max_concurrent` counts, within the team.",
    )


class BreakerSettings(Concern):
    """When a candidate, or all of a provider, is tried last for a while because it fails or is too slow."""

    enabled: bool = Field(default=True, description="Whether open breakers change the order in which models are tried.")
    failure_threshold: int = Field(
        default=5, ge=1, le=100_000, description="Calls that must have failed, or been too slow, within the window."
    )
    failure_share: float = Field(
        default=0.5, gt=0, le=1, allow_inf_nan=False, description="Part of all calls that they must make up."
    )
    window_s: Seconds = Field(default=30.0, description="How long a call counts.")
    timeout_s: Seconds = Field(default=30.0, description="How long it stays open before a probe is let through.")
    probes: int = Field(default=1, ge=1, le=100, description="Probes that each worker has under way at once.")
    max_latency_s: Seconds | None = Field(
        default=None, description="Plain calls that take longer count as too slow. Default: none does."
    )
    max_ttft_s: Seconds | None = Field(
        default=None, description="Streams whose first token takes longer count as too slow. Default: none does."
    )


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
        dict[Name, Annotated[AliasSettings, BeforeValidator(_empty_if_none)]], BeforeValidator(_empty_if_none)
    ] = Field(default={}, description="The virtual models, by the name that clients give as `model`.")
    compound: Annotated[dict[Name, CompoundSettings], BeforeValidator(_empty_if_none)] = Field(
        default={}, description="The compound models, by the name that clients give as `model`; for `routeiq serve`."
    )
    experiments: Annotated[dict[ExperimentName, ExperimentSettings], BeforeValidator(_empty_if_none)] = Field(
        default={}, description="A/B experiments by name; an alias takes part in one at most."
    )
    affinity: Annotated[AffinitySettings, BeforeValidator(_empty_if_none)] = AffinitySettings()
    embedder: Annotated[EmbedderSettings, BeforeValidator(_empty_if_none)] = EmbedderSettings()
    outcome_log: Annotated[OutcomeLogSettings, BeforeValidator(_empty_if_none)] = OutcomeLogSettings()
    audit: Annotated[AuditSettings, BeforeValidator(_empty_if_none)] = AuditSettings()
    allow_list: Annotated[dict[Name, Annotated[list[Name], Field(min_length=1)]], BeforeValidator(_empty_if_none)] = (
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
    online: Annotated[OnlineSettings, BeforeValidator(_empty_if_none)] = OnlineSettings()
    artifact_cache: Annotated[ArtifactCacheSettings, BeforeValidator(_empty_if_none)] = ArtifactCacheSettings()
    signatures: Annotated[SignatureSettings, BeforeValidator(_empty_if_none)] = SignatureSettings()
    limits: Annotated[LimitsSettings, BeforeValidator(_empty_if_none)] = LimitsSettings()
    breakers: Annotated[BreakerSettings, BeforeValidator(_empty_if_none)] = BreakerSettings()
    decision_log: bool = Field(default=True, description="Whether each decision writes one JSON log line.")
