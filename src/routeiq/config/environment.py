"""The environment variables that RouteIQ reads and writes, and what became of the old names.

The only module that touches `os.environ`. Provider keys and everything else that LiteLLM reads for itself
(`OPENAI_API_KEY`, ...) pass by unread; `REDIS_URL` and `DATABASE_URL` are read here, and LiteLLM reads them too.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from routeiq.config.addresses import checked, is_address
from routeiq.config.redis_url import RedisAddress, old_variables, parse_redis_url
from routeiq.core.errors import ConfigError, UnknownKey, nearest

DEFAULT_CONFIG = Path("/app/config/config.yaml")
"""Where the container image expects the configuration."""

PREFIX = "ROUTEIQ_"

OLD_NAMES: Mapping[str, str | None] = {
    "LLMROUTER_MODELS_PATH": "ROUTEIQ_MODELS_PATH",
    "LLMROUTER_HOT_RELOAD": "ROUTEIQ_HOT_RELOAD",
    "LLMROUTER_RELOAD_INTERVAL": "ROUTEIQ_RELOAD_INTERVAL",
    "LLMROUTER_ALLOW_PRIVATE_IPS": "ROUTEIQ_SSRF_ALLOW_PRIVATE",
    "LLMROUTER_SSRF_ALLOWLIST_HOSTS": "ROUTEIQ_SSRF_HOST_ALLOWLIST",
    "LLMROUTER_SSRF_ALLOWLIST_CIDRS": "ROUTEIQ_SSRF_CIDR_ALLOWLIST",
    "SSRF_PROTECTION_ENABLED": None,
    "MCP_GATEWAY_ENABLED": None,
    "A2A_GATEWAY_ENABLED": None,
    "MCP_HA_SYNC_ENABLED": None,
    "LLMROUTER_HA_MODE": None,
    "LLMROUTER_ROUTER_CALLBACK_ENABLED": None,
    "LLMROUTER_ENABLE_MCP_TOOL_INVOCATION": None,
}
"""Names of former versions: the present one, or None for what was removed without a successor."""

_NOT_SETTINGS = frozenset({"ROUTEIQ_NEWEST_PYTHON", "ROUTEIQ_RECORDED_DATA"})
"""Names with our prefix that tests and scripts read."""

_SERVICE_LINK = re.compile(r"ROUTEIQ_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes puts into every pod beside a Service called `routeiq` or `routeiq-...`."""

_SECRET = re.compile(
    r"\w+_(API_?KEYS?|ACCESS_KEY(_ID)?|SECRET_KEY|SECRET|SALT_KEY|MASTER_KEY|LICENSE|TOKEN|PASSWORD|HEADERS)"
    r"|(ROUTEIQ_)?REDIS_URL|(ROUTEIQ_)?DATABASE_URL|DATABASE_URL_READ_REPLICA|DIRECT_URL"
)
"""Variables whose value may stand in the file that `NAME_FILE` names."""

_NOT_SECRET_FILES = frozenset(
    {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"}
)
"""Names of that form that mean something to others, who read the file by themselves."""

WEAK_KEY_ALLOWED = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"


class Environment(BaseSettings):
    """What the environment says. Empty variables count as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    strategy: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_STRATEGY",
        description="Takes the place of `routeiq_settings.strategy`; an alias that names a strategy keeps its own.",
    )
    models_path: Path | None = Field(
        default=None,
        validation_alias="ROUTEIQ_MODELS_PATH",
        description="Folder in which relative artifact paths are looked up. Default: the folder of the configuration.",
    )
    model_s3_uri: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_MODEL_S3_URI",
        description="Takes the place of `routeiq_settings.artifact`: the address of an artifact or of a pointer to it, "
        "`s3://BUCKET/KEY`, `gs://BUCKET/KEY` or another. An alias that names an artifact keeps its own.",
    )
    config_path: Path | None = Field(
        default=None,
        validation_alias="LITELLM_CONFIG_PATH",
        description=f"The configuration file, when no `--config` is given. Default: `{DEFAULT_CONFIG}`.",
    )
    master_key: SecretStr | None = Field(
        default=None,
        validation_alias="LITELLM_MASTER_KEY",
        description="LiteLLM's master key. Required by `routeiq serve` unless `general_settings.master_key` has it.",
    )
    otlp_endpoint: AnyHttpUrl | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OTLP/HTTP collector that decision spans are sent to; without it no spans are made.",
    )
    service_name: str = Field(
        default="routeiq-gateway",
        validation_alias="OTEL_SERVICE_NAME",
        description="The `service.name` of spans and log lines.",
    )
    workers: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_WORKERS",
        pattern=r"^(auto|\d{1,3})$",
        description="How many workers `routeiq serve` runs when no `--workers` is given: a number, or `auto` for what "
        "`routeiq workers` recommends. Default: `auto` where Redis is configured, else 1.",
    )
    drain_timeout_s: float = Field(
        default=30.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        validation_alias="ROUTEIQ_DRAIN_TIMEOUT_SECONDS",
        description="Seconds from the signal to stop until what still runs is ended with an error.",
    )
    lame_duck_s: float = Field(
        default=5.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        validation_alias="ROUTEIQ_LAME_DUCK_SECONDS",
        description="Seconds after SIGTERM for which requests are still taken while readiness says 503.",
    )

    config_source: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_CONFIG_SOURCE",
        description="Where configuration and artifacts are fetched from, at the start and when they change: "
        "`s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or a folder. They come into the folder of the configuration file.",
    )
    cache_home: Path | None = Field(
        default=None,
        validation_alias="XDG_CACHE_HOME",
        description="The user's folder for caches, in which artifacts that are named by an address are kept. "
        "Default: `~/.cache`.",
    )
    audit_path: Path | None = Field(
        default=None,
        validation_alias="ROUTEIQ_AUDIT_PATH",
        description="Takes the place of `audit.path`.",
    )
    hot_reload: bool = Field(
        default=True,
        validation_alias="ROUTEIQ_HOT_RELOAD",
        description="Whether a changed configuration or artifact takes effect while `routeiq serve` runs.",
    )
    reload_interval: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        validation_alias="ROUTEIQ_RELOAD_INTERVAL",
        description="Seconds between two looks at the files of the configuration.",
    )

    secrets_dir: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_SECRETS_DIR",
        description="Folders of files that are named like the variables whose values they hold, separated by `:`; see "
        "[secrets](../operations/secrets.md).",
    )
    secrets_interval: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        validation_alias="ROUTEIQ_SECRETS_INTERVAL",
        description="Seconds between two looks at the files of secrets while `routeiq serve` runs.",
    )

    ssrf_allow_private: bool = Field(
        default=True,
        validation_alias="ROUTEIQ_SSRF_ALLOW_PRIVATE",
        description="Whether models may be at private and loopback addresses; those of clouds' metadata never are. "
        "See [secrets](../operations/secrets.md#where-requests-may-go).",
    )
    ssrf_host_allowlist: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_SSRF_HOST_ALLOWLIST",
        description="Hosts that may be reached in any case, separated by commas; `*.DOMAIN` for all below.",
    )
    ssrf_cidr_allowlist: str | None = Field(
        default=None,
        validation_alias="ROUTEIQ_SSRF_CIDR_ALLOWLIST",
        description="Addresses and networks (`10.1.0.0/16`) that may be reached in any case, separated by commas.",
    )

    max_concurrent_requests: int | None = Field(
        default=None,
        ge=0,
        validation_alias="ROUTEIQ_MAX_CONCURRENT_REQUESTS",
        description="Takes the place of `limits.max_concurrent_requests`.",
    )
    cb_failure_threshold: int | None = Field(
        default=None,
        ge=1,
        validation_alias="ROUTEIQ_CB_FAILURE_THRESHOLD",
        description="Takes the place of `breakers.failure_threshold`.",
    )
    cb_timeout: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        validation_alias="ROUTEIQ_CB_TIMEOUT",
        description="Takes the place of `breakers.timeout_s`.",
    )

    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="Where workers and replicas keep what they share: `redis://HOST`, `rediss://HOST` (TLS), "
        "`redis+sentinel://HOST,HOST,HOST/SERVICE` or `redis+cluster://HOST,HOST,HOST`. Default: each worker's memory.",
    )
    redis_url_file: Path | None = Field(
        default=None,
        validation_alias="REDIS_URL_FILE",
        description="A file that holds the URL of Redis, as secrets are mounted.",
    )
    own_redis_url: SecretStr | None = Field(
        default=None,
        validation_alias="ROUTEIQ_REDIS_URL",
        description="Takes the place of `REDIS_URL` for RouteIQ, when LiteLLM is to use another Redis or none.",
    )

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="Where PostgreSQL is, `postgresql://USER:PASSWORD@HOST/DATABASE`: LiteLLM's database, and that of "
        "the outcome log with `outcome_log.kind: postgres`.",
    )
    own_database_url: SecretStr | None = Field(
        default=None,
        validation_alias="ROUTEIQ_DATABASE_URL",
        description="Takes the place of `DATABASE_URL` for RouteIQ, when LiteLLM is to use another database or none.",
    )
    salt_key: SecretStr | None = Field(
        default=None,
        validation_alias="LITELLM_SALT_KEY",
        description="LiteLLM's salt. With an outcome log in PostgreSQL it also salts the hashes of prompts, which are "
        "then equal in all gateways. Default: the master key.",
    )

    @property
    def cache_folder(self) -> Path:
        """The user's folder for caches; for a user without a home, as in some containers, among temporary files."""
        if self.cache_home is not None:
            return self.cache_home.absolute()
        try:
            return Path.home() / ".cache"
        except RuntimeError:
            return Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"

    @property
    def redis(self) -> RedisAddress | None:
        """Where Redis is, None when the environment names none; raises ConfigError."""
        if self.own_redis_url is None and self.redis_url_file is not None:
            return parse_redis_url(self.redis_url_file.read_text(encoding="utf-8").strip())
        given = self.own_redis_url or self.redis_url
        return None if given is None else parse_redis_url(given.get_secret_value())

    @field_validator("redis_url", "own_redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parse_redis_url(value.get_secret_value())
            except ConfigError as error:
                raise ValueError(error.message) from None
        return value

    @field_validator("redis_url_file")
    @classmethod
    def _file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"expected a file that exists, found {str(value)!r}")
        return value

    @field_validator("model_s3_uri")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not is_address(checked(value)):
            raise ValueError(f"expected an address such as s3://BUCKET/PATH/knn.npz, found {value[:80]!r}")
        return value

    @field_validator("models_path")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"expected a folder that exists, found {str(value)!r}")
        return value


def known_names() -> tuple[str, ...]:
    """Return the names of all variables that are read, in the order of their definition."""
    return tuple(str(field.validation_alias) for field in Environment.model_fields.values())


def read_environment() -> tuple[Environment, tuple[str, ...]]:
    """Return what the environment says, and warnings about old names in it.

    Raises UnknownKey for a ROUTEIQ_ name that does not exist, ConfigError for a value that cannot be used.
    """
    known = known_names()
    for name in os.environ:
        if not name.startswith(PREFIX) or name in known or name in _NOT_SETTINGS or _SERVICE_LINK.fullmatch(name):
            continue
        if name.endswith("_FILE") and name.removesuffix("_FILE") in {*known} & {*secret_files()}:
            continue
        ours = [candidate for candidate in known if candidate.startswith(PREFIX)]
        raise UnknownKey(f"environment variable {name} is not a setting of RouteIQ; {nearest(name, ours)}")
    renamed, warnings = _old_names(os.environ)
    try:
        return Environment(**renamed), warnings
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else PREFIX
        raise ConfigError(f"environment variable {name}: {first['msg'].removeprefix('Value error, ')}") from None


def _old_names(environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the values given under old names (unless the new name is set too) by new name, and the warnings."""
    renamed: dict[str, Any] = {}
    warnings = []
    for old, new in OLD_NAMES.items():
        if old not in environ:
            continue
        if new is None:
            warnings.append(f"environment variable {old} has no effect any more; remove it")
        else:
            warnings.append(f"environment variable {old} is now called {new}; the old name works in this major version")
            if environ[old] and not environ.get(new):
                renamed[new] = environ[old]
    if not any(environ.get(name) for name in ("REDIS_URL", "REDIS_URL_FILE", "ROUTEIQ_REDIS_URL")):
        found = old_variables(environ)
        if found is not None:
            renamed["REDIS_URL"], names = found
            warnings.append(f"{', '.join(names)}: set REDIS_URL instead (`routeiq config migrate-env` prints it)")
    return renamed, tuple(warnings)


def config_path(environment: Environment, given: Path | None = None) -> Path:
    """Return which configuration file is meant.

    In this order: the one given; the one LiteLLM was started with in this process (`CONFIG_FILE_PATH`, or `--config`
    of its command line, which it hands to its workers in `WORKER_CONFIG`), because both must read the same file;
    `LITELLM_CONFIG_PATH`; the container image's default.
    """
    if given is not None:
        return given
    started_with = os.environ.get("CONFIG_FILE_PATH") or _worker_config(os.environ.get("WORKER_CONFIG", ""))
    return Path(started_with) if started_with else environment.config_path or DEFAULT_CONFIG


def _worker_config(text: str) -> str | None:
    if not text.startswith("{"):
        return text or None
    try:
        config = json.loads(text).get("config")
    except ValueError:
        return None
    return config if isinstance(config, str) else None


def reference(value: str) -> str | None:
    """Return what LiteLLM would put in place of an `os.environ/NAME` reference; other text stays as it is."""
    return os.environ.get(value.removeprefix("os.environ/")) if value.startswith("os.environ/") else value


def weak_key_allowed() -> bool:
    """Return whether the operator told LiteLLM to start without a safe master key."""
    return os.environ.get(WEAK_KEY_ALLOWED, "").lower() == "true"


def export_for_litellm(config: Path) -> None:
    """Tell LiteLLM, which reads the environment of its own process, which configuration to serve and how.

    Its price list comes from the installed package unless the operator says otherwise: without that every process
    fetches one from the internet. In production mode it does not read `.env` files.
    """
    os.environ["CONFIG_FILE_PATH"] = str(config)
    os.environ["LITELLM_CONFIG_PATH"] = str(config)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")


def secret_files() -> dict[str, Path]:
    """Return the files that `NAME_FILE` variables name, by NAME, for every NAME that may be a secret."""
    found = {}
    for name, value in os.environ.items():
        base = name.removesuffix("_FILE")
        if value and base != name and name not in _NOT_SECRET_FILES and _SECRET.fullmatch(base):
            found[base] = Path(value)
    return found


def secret_folders() -> tuple[Path, ...]:
    """Return the folders of ROUTEIQ_SECRETS_DIR, in the order in which they are looked through."""
    given = os.environ.get("ROUTEIQ_SECRETS_DIR", "").split(os.pathsep)
    return tuple(Path(folder) for folder in given if folder)


def secret(name: str) -> str | None:
    """Return a variable that RouteIQ otherwise leaves to others, None when it is empty."""
    return os.environ.get(name) or None


def secrets_set() -> dict[str, str]:
    """Return the variables that are set and whose names are those of secrets."""
    return {name: value for name, value in os.environ.items() if value and _SECRET.fullmatch(name)}


def put_secrets(values: Mapping[str, str]) -> None:
    """Put values into the environment of this process, where LiteLLM and new workers find them."""
    os.environ.update(values)


def variables() -> dict[str, str]:
    """Return a copy of the environment, for commands that look at all of it."""
    return dict(os.environ)


def for_child(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child process: this one's without settings of RouteIQ, and with the changes."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}, **changes}


def is_set(name: str) -> bool:
    """Return whether a variable that RouteIQ does not read, such as a provider key, has a value."""
    return bool(os.environ.get(name))
