"""Where the gateway may send requests: the judgement of one address.

Owns which hosts are refused and every way to write them: decimal, octal and hexadecimal numbers, IPv4 inside IPv6, wide
digits. Addresses of cloud metadata services are refused always, since whoever reads them has the machine's credentials;
private ones only if the operator wants. Which addresses a configuration names is `config.outbound`'s business.
"""

import re
import socket
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from routeiq.core.errors import OutboundRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str], Sequence[str]]

HOSTS_ALLOWED: Final = "ROUTEIQ_SSRF_HOST_ALLOWLIST"
NETWORKS_ALLOWED: Final = "ROUTEIQ_SSRF_CIDR_ALLOWLIST"
"""What the operator completes to allow an address that is refused."""

SCHEMES: Final = frozenset({"http", "https"})

METADATA_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
    }
)
_METADATA: Final = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: AWS, Google, Azure, Oracle, DigitalOcean, and the credentials of ECS tasks
        "fe80::/10",
        "fd00:ec2::/32",
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
        "168.63.129.16/32",  # Azure's wire server
    )
)
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "198.18.0.0/15",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    )
)
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NAT64: Final = ip_network("64:ff9b::/96")
_NOWHERE: Final = tuple(ip_network(text) for text in ("0.0.0.0/8", "::/128", "224.0.0.0/3", "ff00::/8"))
"""Addresses that no server has; many systems take 0.0.0.0 for their own."""


def unresolved(_: str) -> Sequence[str]:
    """Return no address for a name: only what is written is judged."""
    return ()


@dataclass(frozen=True, slots=True)
class OutboundRules:
    """What is refused. `hosts` (`*.example.com` for all below) and `networks` may be reached whatever else is said.

    With `deny_private`, private, shared and loopback addresses and names that `resolve` to them are refused, too.
    """

    deny_private: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, hosts: Iterable[str], networks: Iterable[str], deny_private: bool) -> "OutboundRules":
        """Return the rules for hosts and networks as people write them; raises ValueError for one that is neither."""
        named = frozenset(host.strip().lower().rstrip(".") for host in hosts)
        for host in named:
            if not _NAME.fullmatch(host):
                raise ValueError(f"expected a host or *.DOMAIN, found {host!r}")
        try:
            found = tuple(ip_network(text.strip().strip("[]"), strict=False) for text in networks)
        except ValueError as error:
            raise ValueError(f"expected an address or a network such as 10.0.0.0/8: {error}") from None
        return cls(deny_private, named, found)

    def names(self, host: str) -> bool:
        """Return whether a host is allowed by its name."""
        labels = host.split(".")
        return host in self.hosts or any(f"*.{'.'.join(labels[i:])}" in self.hosts for i in range(1, len(labels)))


def validate_outbound_url(url: str, rules: OutboundRules, resolve: Resolve = unresolved) -> None:
    """Raise OutboundRefused when nothing may be sent to a URL; the message names the host and never a credential.

    A name that `resolve` knows nothing of is allowed: then nothing can be sent to it either.
    """
    host = _host(url)
    if rules.names(host):
        return
    written = as_address(host)
    if written is None and host in METADATA_NAMES:
        raise OutboundRefused(f"{host!r} is a cloud's metadata service; {_allow(host)}")
    if written is None and rules.deny_private and (host == "localhost" or host.endswith(".localhost")):
        raise OutboundRefused(f"{host!r} is this machine, and private addresses are denied; {_allow(host)}")
    for address in (written,) if written is not None else tuple(map(ip_address, resolve(host))):
        _judge(host, address, rules)


def host_of(url: str) -> str | None:
    """Return the host of a URL in its plain form, None for what is no URL."""
    try:
        return _host(url)
    except OutboundRefused:
        return None


def as_address(host: str) -> Address | None:
    """Return the address that a host is, however it is written, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _judge(host: str, address: Address, rules: OutboundRules) -> None:
    inside = (address, *_embedded(address))
    if any(one in network for one in inside for network in rules.networks):
        return
    shown = f"{host!r}" if str(address) == host else f"{host!r} ({inside[-1]})"
    if _within(inside, _METADATA):
        raise OutboundRefused(f"{shown} is an address of clouds' metadata services; {_allow(host)}")
    if _within(inside, _NOWHERE):
        raise OutboundRefused(f"{shown} is no address of a server")
    if rules.deny_private and _within(inside, _PRIVATE):
        raise OutboundRefused(f"{shown} is a private address, and these are denied; {_allow(host)}")


def _within(addresses: Iterable[Address], networks: Iterable[Network]) -> bool:
    return any(address in network for address in addresses for network in networks)


def _embedded(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that packets to an IPv6 address end up at."""
    if isinstance(address, IPv4Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(one for one in found if one is not None)


def _host(url: str) -> str:
    """Return the host of a URL in its plain form; raises OutboundRefused for what is none, or read differently."""
    if any(letter.isspace() or letter == "\\" or not letter.isprintable() for letter in url):
        raise OutboundRefused("a URL holds spaces, line breaks or backslashes, which programs read differently")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise OutboundRefused("expected a URL such as https://HOST/PATH") from None
    if parts.scheme.lower() not in SCHEMES or not host:
        raise OutboundRefused(f"expected https:// or http:// and a host, found {parts.scheme[:20]!r}")
    if "%" in host:
        raise OutboundRefused("the host of a URL holds %, which programs read differently")
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().rstrip(".")
    return plain


def _allow(host: str) -> str:
    name = HOSTS_ALLOWED if as_address(host) is None else NETWORKS_ALLOWED
    return f"if it is meant, add {host} to {name}"
