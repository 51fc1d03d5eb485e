"""A configuration that would have the gateway send where it must not is refused, naming the key."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from routeiq.config.environment import read_environment
from routeiq.config.load import load
from routeiq.config.outbound import check_addresses, check_outbound
from routeiq.core.errors import ConfigError, OutboundRefused

METADATA = "http://169.254.169.254/v1"


def written(folder: Path, api_base: str = "https://api.example/v1", **sections: Any) -> Path:
    path = folder / "config.yaml"
    model = {"model_name": "a", "litellm_params": {"model": "openai/a", "api_base": api_base}}
    path.write_text(yaml.safe_dump({"model_list": [model], "routeiq_settings": {}, **sections}))
    return path


def test_the_key_and_the_line_are_named(tmp_path: Path) -> None:
    """The message says where the address stands and what to do."""
    path = written(tmp_path, METADATA)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "api_base" in text)
    with pytest.raises(OutboundRefused) as caught:
        check_outbound(load(path))
    assert caught.value.message.startswith(
        f"{path}:{line}: model_list[0].litellm_params.api_base: '169.254.169.254' is"
    )
    assert "ROUTEIQ_SSRF_CIDR_ALLOWLIST" in caught.value.message


@pytest.mark.parametrize(
    "sections",
    [
        {"general_settings": {"pass_through_endpoints": [{"path": "/x", "target": METADATA}]}},
        {"mcp_servers": {"tools": {"url": METADATA}}},
        {"litellm_settings": {"api_base": METADATA}},
    ],
)
def test_every_surface_is_looked_at(tmp_path: Path, sections: dict[str, Any]) -> None:
    """Pass-through targets and MCP servers are addresses, too; a header that holds one is not."""
    with pytest.raises(OutboundRefused):
        check_outbound(load(written(tmp_path, **sections)))
    check_outbound(load(written(tmp_path, litellm_settings={"headers": {"HTTP-Referer": METADATA}})))


@pytest.mark.parametrize(
    "name", ["OPENAI_API_BASE", "OPENAI_BASE_URL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "AWS_ENDPOINT_URL_S3"]
)
def test_addresses_of_the_environment_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Addresses that are given in variables are judged with the configuration and before there is one."""
    monkeypatch.setenv(name, METADATA)
    with pytest.raises(OutboundRefused, match=f"environment variable {name}: '169.254"):
        check_outbound(load(written(tmp_path)))
    with pytest.raises(OutboundRefused, match=name):
        check_addresses(read_environment()[0], {})


@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"])
def test_what_a_cloud_sets_for_itself_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The identity services of a platform are metadata, and in the environment of everything that runs there."""
    monkeypatch.setenv(name, METADATA)
    check_outbound(load(written(tmp_path)))


def test_references_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.environ/NAME` is judged by what it stands for."""
    monkeypatch.setenv("WHERE_MODELS_ARE", METADATA)
    with pytest.raises(OutboundRefused):
        check_outbound(load(written(tmp_path, "os.environ/WHERE_MODELS_ARE")))


def test_the_source_of_the_configuration_is_judged_before_it_is_read() -> None:
    """A place to fetch from counts, a bucket is no host."""
    environment, _ = read_environment()
    with pytest.raises(OutboundRefused, match="--source"):
        check_addresses(environment, {"--source": METADATA})
    check_addresses(environment, {"--source": "s3://metadata/config"})


def test_the_rules_are_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration cannot change the rules that it is judged by; the environment can."""
    local = load(written(tmp_path, "http://127.0.0.1:11434"))
    check_outbound(local)
    monkeypatch.setenv("ROUTEIQ_SSRF_ALLOW_PRIVATE", "false")
    with pytest.raises(OutboundRefused, match="private address"):
        check_outbound(load(local.path))
    monkeypatch.setenv("ROUTEIQ_SSRF_CIDR_ALLOWLIST", "10.0.0.0/8, 127.0.0.0/8")
    check_outbound(load(local.path))
    monkeypatch.setenv("ROUTEIQ_SSRF_HOST_ALLOWLIST", "https://no-host")
    with pytest.raises(ConfigError, match="ROUTEIQ_SSRF_HOST_ALLOWLIST"):
        check_outbound(load(local.path))


def test_names_are_looked_up_where_private_addresses_are_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads into the private network is refused; a resolver that knows nothing stops no start."""
    monkeypatch.setenv("ROUTEIQ_SSRF_ALLOW_PRIVATE", "false")
    asked = []

    def answer(host: str, _: object) -> list[Any]:
        asked.append(host)
        if host == "unknown.example":
            raise socket.gaierror
        return [(socket.AF_INET, 1, 6, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    check_outbound(load(written(tmp_path, "https://unknown.example/v1")))
    with pytest.raises(OutboundRefused, match=r"'inside.example' \(10.0.0.1\) is a private address"):
        check_outbound(load(written(tmp_path, "https://inside.example/v1")))
    assert asked == ["unknown.example", "inside.example"]
