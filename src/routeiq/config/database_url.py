"""The address of PostgreSQL: where it stands, what of it is meant for others, and how it is shown.

    postgresql://[user:password@]host[:5432][,host...]/database[?option=value&...]

Options are libpq's (`sslmode`, `sslrootcert`, `options`, `target_session_attrs`, ...). Those of Prisma, LiteLLM's
driver, are left out, so that one `DATABASE_URL` does for both.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from routeiq.config.environment import reference, secret
from routeiq.config.load import Settings
from routeiq.config.settings import SECTION
from routeiq.core.errors import ConfigError

VARIABLES: Final = ("ROUTEIQ_DATABASE_URL", "DATABASE_URL")
"""Where the address stands when the settings have none; the first that is set counts."""

_SCHEMES: Final = ("postgresql", "postgres")
_PRISMA: Final = frozenset(
    {
        "schema",
        "connection_limit",
        "pool_timeout",
        "pgbouncer",
        "socket_timeout",
        "statement_cache_size",
        "max_idle_connection_lifetime",
        "max_connection_lifetime",
        "sslidentity",
        "sslaccept",
    }
)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where PostgreSQL is. `shown` is for messages; `url` is for libpq, and holds secrets."""

    shown: str
    url: str = field(repr=False)


def parse_database_url(url: str, where: str = "the URL of the database") -> DatabaseAddress:
    """Return the address; raises ConfigError, which says `where` and never shows a secret."""
    scheme, found, rest = url.strip().partition("://")
    if not found or scheme.lower() not in _SCHEMES:
        raise ConfigError(f"{where}: expected postgresql://USER:PASSWORD@HOST/DATABASE")
    # Several hosts with ports are nothing that urlsplit takes apart.
    place, _, query = rest.partition("#")[0].partition("?")
    authority, _, database = place.partition("/")
    hosts = authority.rpartition("@")[2]
    options = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _PRISMA]
    kept = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in options)
    given = dict(options)
    shown = f"postgresql://{hosts or given.get('host', '')}/{unquote(database) or given.get('dbname', '')}"
    return DatabaseAddress(shown, f"postgresql://{place}" + (f"?{kept}" if kept else ""))


def database_address(settings: Settings) -> DatabaseAddress:
    """Return where the outcome log's PostgreSQL is now; the environment is asked anew each time.

    Raises ConfigError when it is named nowhere, or in a way that cannot be used.
    """
    where, url = _written(settings)
    if url is None:
        where, url = next(
            ((f"environment variable {name}", secret(name)) for name in VARIABLES if secret(name)), ("", None)
        )
    if url is None:
        raise ConfigError(
            f"{settings.where('outcome_log', 'kind')}: postgres needs an address: set `outcome_log.url` to "
            "os.environ/NAME, or one of the environment variables " + " and ".join(VARIABLES)
        )
    return parse_database_url(url, where)


def _written(settings: Settings) -> tuple[str, str | None]:
    """Return where the settings have the address, and the address; the reference in the file is what counts."""
    where = settings.where("outcome_log", "url")
    section = settings.document.data.get(SECTION) or {}
    written = (section.get("outcome_log") or {}).get("url")
    if written is None:
        return where, None
    url = reference(str(written))
    if url is None:
        raise ConfigError(f"{where}: {written} refers to an environment variable that is not set")
    return where, url


def named_address(reference_or_url: str) -> DatabaseAddress:
    """Return the address that `os.environ/NAME` stands for, as commands are given it; raises ConfigError."""
    url = reference(reference_or_url)
    if url is None:
        raise ConfigError(f"{reference_or_url} refers to an environment variable that is not set")
    return parse_database_url(url, reference_or_url if url != reference_or_url else "the URL of the database")
