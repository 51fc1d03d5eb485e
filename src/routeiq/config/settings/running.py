"""Settings of how the gateway runs: embedder, logs, learning, artifacts, signatures, limits, breakers."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from routeiq.config.settings.concern import Concern, Name, empty_if_none


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
    keep_days: float | None = Field(
        default=None,
        gt=0,
        le=36_600,
        allow_inf_nan=False,
        description="Days for which decisions are kept, with their outcomes and feedback; what is older is deleted in "
        "the background. Default: for ever.",
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
        description="Megabytes of artifacts that a worker holds on to, besides those that serve: mapped ones and, once "
        "it has reloaded its configuration, those read from a path.",
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
    teams: Annotated[dict[Name, ShareSettings], BeforeValidator(empty_if_none)] = Field(
        default={}, description="Shares of teams, by team id."
    )
    keys: Annotated[dict[Name, ShareSettings], BeforeValidator(empty_if_none)] = Field(
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
