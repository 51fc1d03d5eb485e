"""Environment variables: which are read, which are refused, what became of the old ones."""

import json
import os
from pathlib import Path

import pytest

from routeiq.config.environment import (
    DEFAULT_CONFIG,
    config_path,
    export_for_litellm,
    known_names,
    read_environment,
)
from routeiq.core.errors import ConfigError, UnknownKey


def test_without_variables_everything_has_its_default() -> None:
    """An empty environment is valid."""
    environment, warnings = read_environment()
    assert environment.strategy is None
    assert environment.service_name == "routeiq-gateway"
    assert config_path(environment) == DEFAULT_CONFIG
    assert warnings == ()


def test_variables_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable arrives under its field."""
    values = {
        "ROUTEIQ_STRATEGY": "knn",
        "ROUTEIQ_MODELS_PATH": str(tmp_path),
        "ROUTEIQ_MODEL_S3_URI": "s3://models/champion.json",
        "LITELLM_CONFIG_PATH": "/etc/litellm.yaml",
        "LITELLM_MASTER_KEY": "sk-master",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_SERVICE_NAME": "gateway-eu",
        "ROUTEIQ_MAX_CONCURRENT_REQUESTS": "64",
        "ROUTEIQ_CB_FAILURE_THRESHOLD": "7",
        "ROUTEIQ_CB_TIMEOUT": "12.5",
        "ROUTEIQ_CONFIG_SOURCE": "s3://models/gateway",
        "REDIS_URL": "redis://:secret@redis.internal/2",
        "REDIS_URL_FILE": str(tmp_path / "redis"),
        "ROUTEIQ_REDIS_URL": "redis+cluster://one,two",
        "DATABASE_URL": "postgresql://litellm:secret@db/litellm",
        "ROUTEIQ_DATABASE_URL": "postgresql://routeiq:secret@db/routeiq",
        "LITELLM_SALT_KEY": "sk-salt",
        "XDG_CACHE_HOME": "/var/cache",
        "ROUTEIQ_HOT_RELOAD": "false",
        "ROUTEIQ_RELOAD_INTERVAL": "2.5",
        "ROUTEIQ_SECRETS_DIR": "/run/secrets:/vault/secrets",
        "ROUTEIQ_SECRETS_INTERVAL": "0.5",
        "ROUTEIQ_SSRF_ALLOW_PRIVATE": "false",
        "ROUTEIQ_SSRF_HOST_ALLOWLIST": "ollama,*.svc",
        "ROUTEIQ_SSRF_CIDR_ALLOWLIST": "10.1.0.0/16",
        "ROUTEIQ_AUDIT_PATH": "/var/audit",
        "ROUTEIQ_WORKERS": "auto",
        "ROUTEIQ_DRAIN_TIMEOUT_SECONDS": "600",
        "ROUTEIQ_LAME_DUCK_SECONDS": "0",
    }
    (tmp_path / "redis").write_text("redis://other")
    assert set(values) == set(known_names())
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    environment, _ = read_environment()
    assert environment.strategy == "knn"
    assert environment.redis is not None
    assert environment.redis.shown == "redis+cluster://one:6379,two:6379"
    assert environment.models_path == tmp_path
    assert environment.audit_path == Path("/var/audit")
    assert environment.cache_folder == Path("/var/cache")
    assert environment.model_s3_uri == "s3://models/champion.json"
    assert environment.config_path == Path("/etc/litellm.yaml")
    assert environment.master_key is not None
    assert environment.master_key.get_secret_value() == "sk-master"
    assert str(environment.otlp_endpoint) == "http://collector:4318/"
    assert environment.service_name == "gateway-eu"
    assert (environment.max_concurrent_requests, environment.cb_failure_threshold) == (64, 7)
    assert environment.cb_timeout == 12.5
    assert (environment.hot_reload, environment.reload_interval) == (False, 2.5)
    assert (environment.secrets_dir, environment.secrets_interval) == ("/run/secrets:/vault/secrets", 0.5)
    allowed = (environment.ssrf_allow_private, environment.ssrf_host_allowlist, environment.ssrf_cidr_allowlist)
    assert allowed == (False, "ollama,*.svc", "10.1.0.0/16")
    assert (environment.workers, environment.drain_timeout_s, environment.lame_duck_s) == ("auto", 600, 0)


@pytest.mark.parametrize("name", known_names())
def test_an_empty_variable_is_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is present but empty means the default."""
    default, _ = read_environment()
    monkeypatch.setenv(name, "")
    assert read_environment()[0] == default


def test_an_unknown_name_of_ours_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ROUTEIQ_ variable that does not exist is an error, never ignored."""
    monkeypatch.setenv("ROUTEIQ_STRATGY", "knn")
    with pytest.raises(
        UnknownKey, match="ROUTEIQ_STRATGY is not a setting of RouteIQ; did you mean 'ROUTEIQ_STRATEGY'"
    ):
        read_environment()


@pytest.mark.parametrize(
    "name",
    [
        "ROUTEIQ_SERVICE_HOST",
        "ROUTEIQ_PORT",
        "ROUTEIQ_PORT_4000_TCP_ADDR",
        "ROUTEIQ_GATEWAY_SERVICE_PORT_HTTP",
        "ROUTEIQ_GATEWAY_PORT_4000_TCP",
    ],
)
def test_what_kubernetes_adds_is_not_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The links that Kubernetes sets for a Service named routeiq do not stop the gateway."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:4000")
    read_environment()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "ROUTEIQ_MODELS_PATH",
            "/no/such/folder",
            "_MODELS_PATH: expected a folder that exists, found '/no/such/folder'",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "variable OTEL_EXPORTER_OTLP_ENDPOINT: .*valid URL"),
    ],
)
def test_a_bad_value_names_the_variable(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be used is an error that names its variable."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        read_environment()


def test_an_old_name_works_and_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed variable is read under its old name with a warning, unless the new name is set too."""
    monkeypatch.setenv("LLMROUTER_MODELS_PATH", str(tmp_path))
    environment, warnings = read_environment()
    assert environment.models_path == tmp_path
    assert warnings == (
        "environment variable LLMROUTER_MODELS_PATH is now called ROUTEIQ_MODELS_PATH; "
        "the old name works in this major version",
    )
    newer = tmp_path / "newer"
    newer.mkdir()
    monkeypatch.setenv("ROUTEIQ_MODELS_PATH", str(newer))
    assert read_environment()[0].models_path == newer


def test_a_removed_name_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that has no successor is reported, so that nobody relies on it."""
    monkeypatch.setenv("LLMROUTER_HA_MODE", "leader")
    assert read_environment()[1] == ("environment variable LLMROUTER_HA_MODE has no effect any more; remove it",)


def test_the_file_is_the_one_litellm_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path given comes first, then what LiteLLM of this process was started with, then LITELLM_CONFIG_PATH."""
    monkeypatch.setenv("LITELLM_CONFIG_PATH", "/named.yaml")
    environment, _ = read_environment()
    assert config_path(environment) == Path("/named.yaml")
    monkeypatch.setenv("WORKER_CONFIG", json.dumps({"model": None, "config": "/worker.yaml"}))
    assert config_path(environment) == Path("/worker.yaml")
    monkeypatch.setenv("CONFIG_FILE_PATH", "/served.yaml")
    assert config_path(environment) == Path("/served.yaml")
    assert config_path(environment, Path("/given.yaml")) == Path("/given.yaml")


@pytest.mark.parametrize("worker_config", ["{not json", "{}", '{"config": null}'])
def test_a_worker_without_a_file_falls_back(worker_config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What LiteLLM hands to its workers without a configuration file is passed over."""
    monkeypatch.setenv("WORKER_CONFIG", worker_config)
    environment, _ = read_environment()
    assert config_path(environment) == DEFAULT_CONFIG


def test_litellm_is_told_what_to_serve_and_the_operator_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serving sets the file and two defaults; what the operator set stays."""
    for name in ("CONFIG_FILE_PATH", "LITELLM_CONFIG_PATH", "LITELLM_LOCAL_MODEL_COST_MAP"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("LITELLM_MODE", "DEV")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "False")
    export_for_litellm(Path("/served.yaml"))
    assert os.environ["CONFIG_FILE_PATH"] == os.environ["LITELLM_CONFIG_PATH"] == "/served.yaml"
    assert os.environ["LITELLM_MODE"] == "DEV"
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "False"


def test_a_user_without_a_home_has_a_place_for_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that nobody has heard of; they are to serve all the same."""

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert read_environment()[0].cache_folder == Path.home() / ".cache"
    monkeypatch.setattr(Path, "home", nowhere)
    assert read_environment()[0].cache_folder.is_absolute()
