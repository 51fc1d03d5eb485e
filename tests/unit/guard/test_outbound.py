"""Where the gateway may send requests, however an address is written."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeiq.core.errors import OutboundRefused
from routeiq.guard.outbound import METADATA_NAMES, OutboundRules, as_address, validate_outbound_url

OPEN = OutboundRules()
STRICT = OutboundRules(deny_private=True)
METADATA = "169.254.169.254"


def forms(address: IPv4Address) -> dict[str, str]:
    """Return ways to write an IPv4 address as the host of a URL."""
    number, parts = int(address), str(address).split(".")
    return {
        "dotted": str(address),
        "decimal": str(number),
        "hexadecimal": hex(number),
        "octal": "0" + oct(number)[2:],
        "octal parts": ".".join("0" + oct(int(part))[2:] for part in parts),
        "hexadecimal parts": ".".join(hex(int(part)) for part in parts),
        "two parts": f"{parts[0]}.{number & 0xFFFFFF}",
        "trailing dot": f"{address}.",
        "wide digits": str(address).translate({ord("0") + n: ord("\uff10") + n for n in range(10)}),
        "wide dots": str(address).replace(".", "\u3002"),
        "mapped": f"[::ffff:{address}]",
        "compatible": f"[::{number >> 16:x}:{number & 0xFFFF:x}]",
        "6to4": f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]",
        "nat64": f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]",
        "with a user": f"good.example@{address}",
    }


@pytest.mark.parametrize("form", forms(IPv4Address(METADATA)))
def test_metadata_is_refused_however_it_is_written(form: str) -> None:
    """No way to write the address gets by, and the message says what to do."""
    url = f"http://{forms(IPv4Address(METADATA))[form]}/latest/meta-data"
    with pytest.raises(
        OutboundRefused, match=r"metadata services; if it is meant, add .* to ROUTEIQ_SSRF_CIDR_ALLOWLIST"
    ):
        validate_outbound_url(url, OPEN)


@given(
    address=st.sampled_from(["169.254.0.0", "169.254.170.2", "169.254.255.255", "100.100.100.200", "168.63.129.16"]),
    form=st.sampled_from(sorted(forms(IPv4Address(METADATA)))),
    port=st.sampled_from(["", ":80", ":8443"]),
    path=st.sampled_from(["", "/", "/v1", "/latest?x=https://api.openai.com", "#@api.openai.com"]),
    scheme=st.sampled_from(["http", "https", "HTTP"]),
)
def test_no_port_path_or_scheme_changes_that(address: str, form: str, port: str, path: str, scheme: str) -> None:
    """All of a URL but its host is of no importance."""
    with pytest.raises(OutboundRefused):
        validate_outbound_url(f"{scheme}://{forms(IPv4Address(address))[form]}{port}{path}", OPEN)


@given(st.ip_addresses(v=4))
def test_every_form_is_the_same_address(address: IPv4Address) -> None:
    """What is allowed in its plain form is allowed in all of them, and the other way round."""
    refused = set()
    for form in forms(address).values():
        try:
            validate_outbound_url(f"https://{form}/", STRICT)
        except OutboundRefused:
            refused.add(True)
        else:
            refused.add(False)
    assert len(refused) == 1 or int(address) < 1 << 16, address  # ::0:0 to ::0:ffff are IPv6 addresses of their own


@pytest.mark.parametrize("name", sorted(METADATA_NAMES))
def test_metadata_services_are_refused_by_name(name: str) -> None:
    """The names that clouds give their metadata service are refused like its addresses."""
    with pytest.raises(OutboundRefused, match=r"add .* to ROUTEIQ_SSRF_HOST_ALLOWLIST"):
        validate_outbound_url(f"http://{name.upper()}./computeMetadata", OPEN)


PRIVATE = (
    "127.0.0.1",
    "localhost",
    "a.localhost",
    "10.1.2.3",
    "192.168.0.1",
    "172.31.0.1",
    "[::1]",
    "[fd12::1]",
    "127.1",
)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_if_the_operator_wants(host: str) -> None:
    """A model on this machine or in this network works, until private addresses are denied."""
    validate_outbound_url(f"http://{host}:11434/v1", OPEN)
    with pytest.raises(OutboundRefused, match=r"private addresses are denied|is a private address"):
        validate_outbound_url(f"http://{host}:11434/v1", STRICT)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "224.0.0.1", "255.255.255.255", "0"])
def test_what_no_server_has_is_refused(host: str) -> None:
    """Addresses that stand for any, many or this machine are no place to send to."""
    with pytest.raises(OutboundRefused, match="no address of a server"):
        validate_outbound_url(f"http://{host}/", OPEN)


def test_a_name_counts_by_what_it_leads_to() -> None:
    """A harmless name that leads to metadata or into the private network is refused, one that leads nowhere is not."""
    for target in (METADATA, "10.0.0.1", "::1"):
        with pytest.raises(OutboundRefused, match=rf"'nice.example' \({target}\)"):
            validate_outbound_url("https://nice.example/v1", STRICT, lambda _, to=target: ["93.184.216.34", to])  # type: ignore[misc]
    validate_outbound_url("https://nice.example/v1", STRICT, lambda _: [])
    validate_outbound_url("https://api.openai.com/v1", STRICT, lambda _: ["162.159.140.245", "2606:4700::1"])


def test_what_is_allowed_is_allowed_in_any_case() -> None:
    """Hosts, all below a domain, and networks can be exempted."""
    rules = OutboundRules.of(["Ollama.internal", "*.svc.cluster.local"], ["10.8.0.0/16", METADATA], deny_private=True)
    inside = {
        "ollama.internal": ["10.0.0.9"],
        "vllm.ml.svc.cluster.local": ["10.0.0.8"],
        "svc.cluster.local": ["10.0.0.7"],
    }
    for url in ("http://ollama.internal", "http://vllm.ml.svc.cluster.local", "http://10.8.3.1", f"http://{METADATA}"):
        validate_outbound_url(url, rules, lambda host: inside[host])
    for url in ("http://10.9.0.1", "http://svc.cluster.local", "http://127.0.0.1"):
        with pytest.raises(OutboundRefused):
            validate_outbound_url(url, rules, lambda host: inside[host])


@pytest.mark.parametrize(
    ("hosts", "networks"), [(["http://a"], []), (["*."], []), (["a b"], []), ([], ["10.0.0.0/99"])]
)
def test_a_rule_that_makes_no_sense_is_refused(hosts: list[str], networks: list[str]) -> None:
    """Neither a URL nor half a network is a rule."""
    with pytest.raises(ValueError, match="expected"):
        OutboundRules.of(hosts, networks, deny_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "file:///etc/passwd",
        "gopher://a",
        "http://",
        "http://a\n.b",
        "http://a\\@b",
        "http://%31",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    """Other schemes, no host, and what programs read differently."""
    with pytest.raises(OutboundRefused):
        validate_outbound_url(url, OPEN)


def test_a_message_shows_no_credential() -> None:
    """User and password of a refused URL are not in the message."""
    with pytest.raises(OutboundRefused) as caught:
        validate_outbound_url(f"http://user:word-4711@{METADATA}/?key=word-4712", OPEN)
    assert "word-" not in caught.value.message


def test_numbers_are_addresses_and_names_are_not() -> None:
    """What a resolver would take for a number is one."""
    assert as_address("0x7f.1") == ip_address("127.0.0.1")
    assert as_address("api.openai.com") is None
