"""The address of Redis in all its forms, and the deprecated variables that add up to one.

    redis://[user:password@]host[:6379][/db]                 one server
    redis+sentinel://[...]host[:26379],host,.../service[/db]  the primary that sentinels name
    redis+cluster://[...]host[:6379],host,...                 a cluster, found through any of these nodes

`rediss` in place of `redis` speaks TLS; `?ssl_ca_certs=FILE` names the authority, `?ssl_cert_reqs=none` trusts any. A
user and password go to the data servers; sentinels take theirs from `?sentinel_username=` and `?sentinel_password=`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from routeiq.core.errors import ConfigError, nearest

Kind = Literal["single", "sentinel", "cluster"]

_KINDS: Mapping[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs", "sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is. `service` is what sentinels call the primary; secrets stay out of the representation."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address without secrets, for messages."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        form = f"redis{'s' if self.tls else ''}" + ("" if self.kind == "single" else f"+{self.kind}")
        return f"{form}://{hosts}" + (f"/{self.service}" if self.service else "")


def parse_redis_url(url: str) -> RedisAddress:
    """Return the address; raises ConfigError, which never shows the password."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in _KINDS:
        raise ConfigError(f"the URL of Redis begins with {scheme.split('@')[-1][:20]!r}; {nearest(scheme, _KINDS)}")
    kind, tls = _KINDS[scheme.lower()]
    # Several hosts with ports are nothing that urlsplit takes apart.
    before = rest.partition("?")[0].partition("/")[0]
    parts = urlsplit("//x" + rest[len(before) :])
    credentials, _, hosts = before.rpartition("@")
    username, _, password = credentials.partition(":")
    service, db = _path(kind, parts.path.strip("/"))
    options = dict(parse_qsl(parts.query))
    for option in options:
        if option not in _OPTIONS:
            raise ConfigError(f"the URL of Redis has an unknown option {option!r}; {nearest(option, _OPTIONS)}")
    places = tuple(_host(host, 26379 if kind == "sentinel" else 6379) for host in hosts.split(",") if host)
    if not places or (kind == "single" and len(places) > 1):
        expected = "one host; several are redis+sentinel:// or redis+cluster://" if kind == "single" else "hosts"
        raise ConfigError(f"the URL of Redis names {len(places)} hosts; expected {expected}")
    return RedisAddress(
        kind=kind,
        hosts=places,
        tls=tls,
        service=service,
        db=db,
        username=unquote(username) or None,
        password=unquote(password) or None,
        options=options,
    )


def _path(kind: Kind, path: str) -> tuple[str, int]:
    service, db = ("", path)
    if kind == "sentinel":
        service, _, db = path.partition("/")
        if not service:
            raise ConfigError("the URL of Redis names no service; expected redis+sentinel://HOST,HOST,HOST/SERVICE")
    if db and not db.isdigit():
        raise ConfigError(f"the URL of Redis ends with {db[:20]!r}; expected the number of a database")
    if kind == "cluster" and db not in {"", "0"}:
        raise ConfigError(f"the URL of Redis asks for database {db}; a cluster has only database 0")
    return service, int(db or 0)


def _host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        given = rest.removeprefix(":")
    else:
        name, _, given = text.partition(":")
    if not name or (given and not (given.isdigit() and 0 < int(given) < 65_536)):
        raise ConfigError(f"the URL of Redis has a host {text[:60]!r}; expected NAME or NAME:PORT")
    return name, int(given or port)


def old_variables(environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the URL that REDIS_HOST and its kin, or REDIS_SENTINEL_HOSTS, add up to, and which of them were read.

    None when neither is set.
    """
    sentinels, host = environ.get("REDIS_SENTINEL_HOSTS"), environ.get("REDIS_HOST")
    if not sentinels and not host:
        return None
    tls = "s" if environ.get("REDIS_SSL", "").lower() in {"1", "true", "yes"} else ""
    user, password = (
        quote(environ.get("REDIS_USERNAME", ""), safe=""),
        quote(environ.get("REDIS_PASSWORD", ""), safe=""),
    )
    secret = f"{user}:{password}@" if user or password else ""
    db = f"/{environ['REDIS_DB']}" if environ.get("REDIS_DB") else ""
    if sentinels:
        service = environ.get("REDIS_SENTINEL_MASTER") or environ.get("REDIS_SERVICE_NAME") or "mymaster"
        names: tuple[str, ...] = ("REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_MASTER", "REDIS_SERVICE_NAME")
        hosts = ",".join(part.strip() for part in sentinels.split(","))
        url = f"redis{tls}+sentinel://{secret}{hosts}/{service}{db}"
    else:
        names = ("REDIS_HOST", "REDIS_PORT")
        url = f"redis{tls}://{secret}{host}:{environ.get('REDIS_PORT') or 6379}{db}"
    read = (*names, "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_SSL", "REDIS_DB")
    return url, tuple(name for name in read if environ.get(name))
