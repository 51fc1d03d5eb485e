"""What the variables of former versions are called now, name by name."""

import pytest

from routeiq.config.environment import known_names, read_environment
from routeiq.config.migration import RENAMED, migrate

KNOWN = {*RENAMED.values()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"LITELLM_MASTER_KEY": "sk"}, {"LITELLM_MASTER_KEY": "sk"}),
        ({"LITELLM_CONFIG_PATH": "/c"}, {"LITELLM_CONFIG_PATH": "/c"}),
        ({"DATABASE_URL": "postgres://"}, {"DATABASE_URL": "postgres://"}),
        ({"STORE_MODEL_IN_DB": "True"}, {"STORE_MODEL_IN_DB": "True"}),
        ({"ROUTEIQ_MAX_CONCURRENT_REQUESTS": "9"}, {"ROUTEIQ_MAX_CONCURRENT_REQUESTS": "9"}),
        ({"ROUTEIQ_DRAIN_TIMEOUT_SECONDS": "600"}, {"ROUTEIQ_DRAIN_TIMEOUT_SECONDS": "600"}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}),
        (
            {"REDIS_HOST": "h", "REDIS_PORT": "7", "REDIS_PASSWORD": "p"},
            {"REDIS_URL": "redis://:p@h:7"},
        ),
        ({"REDIS_SENTINEL_HOSTS": "a,b"}, {"REDIS_URL": "redis+sentinel://a,b/mymaster"}),
        ({"LLMROUTER_MODELS_PATH": "/m"}, {"ROUTEIQ_MODELS_PATH": "/m"}),
        ({"LLMROUTER_HOT_RELOAD": "true"}, {"ROUTEIQ_HOT_RELOAD": "true"}),
        ({"LLMROUTER_RELOAD_INTERVAL": "5"}, {"ROUTEIQ_RELOAD_INTERVAL": "5"}),
        ({"LLMROUTER_ALLOW_PRIVATE_IPS": "1"}, {"ROUTEIQ_SSRF_ALLOW_PRIVATE": "1"}),
        ({"LLMROUTER_SSRF_ALLOWLIST_HOSTS": "a"}, {"ROUTEIQ_SSRF_HOST_ALLOWLIST": "a"}),
        ({"LLMROUTER_SSRF_ALLOWLIST_CIDRS": "10.0.0.0/8"}, {"ROUTEIQ_SSRF_CIDR_ALLOWLIST": "10.0.0.0/8"}),
        (
            {"LLMROUTER_OTEL_SAMPLE_RATE": "0.1"},
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
        ),
        ({"MCP_GATEWAY_ENABLED": "1"}, {}),
        ({"A2A_GATEWAY_ENABLED": "1"}, {}),
        ({"MCP_HA_SYNC_ENABLED": "1"}, {}),
        ({"LLMROUTER_ENABLE_MCP_TOOL_INVOCATION": "1"}, {}),
        ({"LLMROUTER_HA_MODE": "leader"}, {}),
        ({"LLMROUTER_ROUTER_CALLBACK_ENABLED": "1"}, {}),
        ({"LLMROUTER_CONFIG_SYNC_BUCKET": "b"}, {}),
    ],
    ids=lambda value: next(iter(value), "removed"),
)
def test_every_old_name_has_its_step(old: dict[str, str], new: dict[str, str]) -> None:
    """An old name keeps its value under the new one, stays as it is, or is removed with a reason."""
    (step,) = migrate(old, KNOWN)
    assert dict(step.new) == new
    assert step.changes is (old != new)
    assert step.note or new


def test_nothing_is_renamed_to_what_is_not_read() -> None:
    """A variable whose new name this version does not know is left out: an unknown name would stop the gateway."""
    (step,) = migrate({"LLMROUTER_HOT_RELOAD": "true"}, known=())
    assert (dict(step.new), step.changes) == ({}, True)
    assert "does not read" in step.note


def test_what_comes_out_is_read_without_a_warning(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The migrated environment of a former version is valid, and nothing in it is old."""
    former = {
        "LLMROUTER_MODELS_PATH": str(tmp_path),
        "LLMROUTER_HOT_RELOAD": "false",
        "LLMROUTER_RELOAD_INTERVAL": "9",
        "LLMROUTER_ALLOW_PRIVATE_IPS": "false",
        "LLMROUTER_SSRF_ALLOWLIST_HOSTS": "ollama",
        "LLMROUTER_SSRF_ALLOWLIST_CIDRS": "10.0.0.0/8",
        "SSRF_PROTECTION_ENABLED": "true",
        "LLMROUTER_HA_MODE": "leader",
        "REDIS_HOST": "cache",
        "REDIS_PASSWORD": "secret",
    }
    for step in migrate(former, known_names()):
        for name, value in step.new.items():
            monkeypatch.setenv(name, value)
    environment, warnings = read_environment()
    assert warnings == ()
    assert environment.hot_reload is False
    assert environment.ssrf_allow_private is False
    assert (environment.ssrf_host_allowlist, environment.ssrf_cidr_allowlist) == ("ollama", "10.0.0.0/8")
    assert environment.redis is not None
    assert environment.redis.shown == "redis://cache:6379"


def test_the_old_names_work_with_a_warning(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a successor that is read keeps working for a major version."""
    for name, value in {"LLMROUTER_HOT_RELOAD": "false", "MCP_GATEWAY_ENABLED": "1"}.items():
        monkeypatch.setenv(name, value)
    environment, warnings = read_environment()
    assert environment.hot_reload is False
    assert len(warnings) == 2
