"""The addresses that a configuration has the gateway send to, judged before any of it takes effect.

Owns where addresses stand: in LiteLLM's part, in ours, in the environment; and the error that names the place. Which
addresses are refused is `guard.outbound`'s business. The rules stand in the environment, not in the configuration that
they judge. Names are looked up when a configuration is read, not at every connection.
"""

import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from routeiq.config.document import KeyPath
from routeiq.config.environment import Environment, reference, variables
from routeiq.config.load import Settings
from routeiq.core.errors import ConfigError, OutboundRefused
from routeiq.guard.outbound import (
    HOSTS_ALLOWED,
    NETWORKS_ALLOWED,
    OutboundRules,
    Resolve,
    as_address,
    host_of,
    unresolved,
    validate_outbound_url,
)

KEYS: Final = frozenset(
    {
        "api_base",
        "base_url",
        "url",
        "endpoint",
        "target",
        "webhook_url",
        "azure_endpoint",
        "aws_bedrock_runtime_endpoint",
        "spec_path",
        "artifact",
    }
)
"""Keys of a configuration whose value is an address; what stands under other keys is sent nowhere."""

VARIABLES: Final = re.compile(
    r"\w+_(API_BASE|BASE_URL)|AWS_ENDPOINT_URL\w*|OTEL_EXPORTER_OTLP_(\w+_)?ENDPOINT|AZURE_OPENAI_ENDPOINT"
)
"""Variables whose value is an address that an operator chose. Those that a cloud sets for its own identity service
(`IDENTITY_ENDPOINT`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`) lead to metadata on purpose, and nothing of ours goes there.
"""

LOOKED_UP_S: Final = 2.0
"""How long all names of a configuration together may take to be looked up."""

_WEB: Final = ("http://", "https://")


def rules_of(environment: Environment) -> OutboundRules:
    """Return the rules that the environment sets; raises ConfigError."""
    hosts, networks = _entries(environment.ssrf_host_allowlist), _entries(environment.ssrf_cidr_allowlist)
    try:
        return OutboundRules.of(hosts, networks, not environment.ssrf_allow_private)
    except ValueError as error:
        raise ConfigError(f"environment variables {HOSTS_ALLOWED}, {NETWORKS_ALLOWED}: {error}") from None


def check_outbound(settings: Settings) -> None:
    """Raise OutboundRefused, naming file and key, when a configuration would have anything sent where it must not."""
    _judge([*_written(settings), *_in_environment()], rules_of(settings.environment))


def check_addresses(environment: Environment, more: Mapping[str, str]) -> None:
    """Raise OutboundRefused for an address of the environment, or for one of those given by what they are called.

    This is for what is sent to before there is a configuration, as the place that it is fetched from.
    """
    given = [(where, url) for where, url in more.items() if url.lower().startswith(_WEB)]
    _judge([*given, *_in_environment()], rules_of(environment))


def _judge(found: Sequence[tuple[str, str]], rules: OutboundRules) -> None:
    resolve = looked_up(url for _, url in found) if rules.deny_private else unresolved
    for where, url in found:
        try:
            validate_outbound_url(url, rules, resolve)
        except OutboundRefused as error:
            raise OutboundRefused(f"{where}: {error.message}") from None


def _written(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the addresses of the file, each with the place where it stands."""
    for path, value in _walk(settings.document.data):
        found = reference(value)
        if found is not None and path[-1] in KEYS and found.lower().startswith(_WEB):
            yield settings.document.where(path), found


def _in_environment() -> Iterator[tuple[str, str]]:
    for name, value in sorted(variables().items()):
        if VARIABLES.fullmatch(name) and value.lower().startswith(_WEB):
            yield f"environment variable {name}", value


def _walk(value: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, (*at, str(key)))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _walk(item, (*at, i))
    elif isinstance(value, str) and at:
        yield at, value


def _entries(text: str | None) -> list[str]:
    return [entry.strip() for entry in (text or "").split(",") if entry.strip()]


def looked_up(urls: Iterable[str]) -> Resolve:
    """Look up the hosts of URLs all at once, within `LOOKED_UP_S`; one that is not known by then counts as unknown."""
    known: dict[str, list[str]] = {}

    def look_up(host: str) -> None:
        try:
            known[host] = sorted({str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)})
        except (OSError, UnicodeError):
            known[host] = []

    hosts = {host for host in map(host_of, urls) if host is not None and as_address(host) is None}
    threads = [threading.Thread(target=partial(look_up, host), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    until = time.monotonic() + LOOKED_UP_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return lambda host: known.get(host, ())
