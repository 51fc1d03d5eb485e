"""The address of Redis: its forms, its mistakes, and the variables of before."""

import pytest

from routeiq.config.environment import read_environment
from routeiq.config.redis_url import old_variables, parse_redis_url
from routeiq.core.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "shown", "db"),
    [
        ("redis://localhost", "redis://localhost:6379", 0),
        ("rediss://user:p%40ss@cache.internal:6380/3", "rediss://cache.internal:6380", 3),
        ("redis://[::1]:7000", "redis://::1:7000", 0),
        ("redis+sentinel://a,b:26380,c/mymaster/1", "redis+sentinel://a:26379,b:26380,c:26379/mymaster", 1),
        ("redis+cluster://:s3cret@a:7000,b:7001", "redis+cluster://a:7000,b:7001", 0),
        ("rediss+cluster://a?ssl_ca_certs=/etc/ca.pem", "rediss+cluster://a:6379", 0),
    ],
)
def test_every_form_is_read(url: str, shown: str, db: int) -> None:
    """Hosts, ports, service and database come out; a password shows nowhere."""
    address = parse_redis_url(url)
    assert (address.shown, address.db) == (shown, db)
    assert "s3cret" not in repr(address)
    assert "p@ss" not in repr(address)


def test_secrets_are_decoded() -> None:
    """User and password may be percent-encoded."""
    address = parse_redis_url("redis://us%2Fer:p%40ss@host")
    assert (address.username, address.password) == ("us/er", "p@ss")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:6379", "begins with 'localhost:6379'"),
        ("reddis://secret@host", "did you mean 'redis'"),
        ("redis://a,b", "names 2 hosts; expected one host"),
        ("redis+cluster://", "names 0 hosts"),
        ("redis+sentinel://a,b,c", "names no service"),
        ("redis://a:port", "has a host 'a:port'"),
        ("redis://a/first", "ends with 'first'; expected the number"),
        ("redis+cluster://a/2", "a cluster has only database 0"),
        ("redis://a?sentinel_pasword=x", "did you mean 'sentinel_password'"),
    ],
)
def test_a_mistake_is_named(url: str, message: str) -> None:
    """What is wrong with an address is said without the secret in it."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_redis_url(url)
    assert "secret@" not in caught.value.message


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"REDIS_PASSWORD": "x"}, None),
        ({"REDIS_HOST": "cache"}, "redis://cache:6379"),
        (
            {"REDIS_HOST": "cache", "REDIS_PORT": "7", "REDIS_PASSWORD": "p/w", "REDIS_SSL": "true"},
            "rediss://:p%2Fw@cache:7",
        ),
        ({"REDIS_SENTINEL_HOSTS": "a:1, b:2", "REDIS_HOST": "old"}, "redis+sentinel://a:1,b:2/mymaster"),
        ({"REDIS_SENTINEL_HOSTS": "a", "REDIS_SENTINEL_MASTER": "m"}, "redis+sentinel://a/m"),
    ],
)
def test_old_variables_add_up_to_a_url(variables: dict[str, str], url: str | None) -> None:
    """REDIS_HOST and its kin, or REDIS_SENTINEL_HOSTS, mean one address."""
    found = old_variables(variables)
    assert (found[0] if found else None) == url
    if url is not None:
        parse_redis_url(url)


def test_the_environment_takes_the_old_variables_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a URL the old names are used and the new one is asked for; with one they are not looked at."""
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PORT", "7000")
    environment, warnings = read_environment()
    assert environment.redis is not None
    assert environment.redis.shown == "redis://cache:7000"
    assert [warning for warning in warnings if "REDIS_HOST, REDIS_PORT: set REDIS_URL instead" in warning]
    monkeypatch.setenv("REDIS_URL", "redis://new")
    environment, warnings = read_environment()
    assert environment.redis is not None
    assert environment.redis.shown == "redis://new:6379"
    assert not [warning for warning in warnings if "REDIS" in warning]


def test_a_bad_url_names_its_variable_and_keeps_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that cannot be used stops the start with the name of the variable and without the password."""
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@a,b")
    with pytest.raises(ConfigError, match="environment variable REDIS_URL: the URL of Redis names 2 hosts") as caught:
        read_environment()
    assert "hunter2" not in caught.value.message
