"""The address of PostgreSQL: where it is looked for, what of it is for others, and that it shows no secret."""

import sys
from pathlib import Path

import pytest

from routeiq.config.database_url import database_address, named_address, parse_database_url
from routeiq.config.load import load
from routeiq.core.errors import ConfigError
from routeiq.guard.degraded import Degraded
from routeiq.testing.fakes import FakeClock
from routeiq.wiring.remembering import outcome_log_of, place_of
from tests.unit.config.scene import LITELLM, config

POSTGRES = "outcome_log:\n  kind: postgres\n"


@pytest.mark.parametrize(
    ("url", "shown", "libpq"),
    [
        ("postgresql://u:s3cret@db/app", "postgresql://db/app", "postgresql://u:s3cret@db/app"),
        ("postgres://u:s3cret@a:1,b:2/app", "postgresql://a:1,b:2/app", "postgresql://u:s3cret@a:1,b:2/app"),
        (
            "postgresql://u:s3cret@db/app?schema=public&connection_limit=10&sslmode=require&pgbouncer=true",
            "postgresql://db/app",
            "postgresql://u:s3cret@db/app?sslmode=require",
        ),
        ("postgresql:///app?host=/run/pg&password=s3cret", "postgresql:///run/pg/app", None),
        ("postgresql://u:s3cret@db/app?options=-c%20role%3Downer", "postgresql://db/app", None),
    ],
)
def test_every_form_is_read(url: str, shown: str, libpq: str | None) -> None:
    """Hosts and database are shown and the password is not; options of another driver are left out."""
    address = parse_database_url(url)
    assert address.shown == shown
    assert "s3cret" not in repr(address)
    if libpq is not None:
        assert address.url == libpq
    elif "options" in url:
        assert address.url == url


@pytest.mark.parametrize("url", ["mysql://u:s3cret@db/app", "u:s3cret@db/app", ""])
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    """The message says what is expected, and not what was found."""
    with pytest.raises(ConfigError, match="expected postgresql://") as raised:
        parse_database_url(url)
    assert "s3cret" not in raised.value.message


def test_the_nearest_address_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings come before RouteIQ's own variable, that before LiteLLM's; each is read anew every time."""
    plain = load(config(tmp_path, POSTGRES))
    with pytest.raises(ConfigError, match="ROUTEIQ_DATABASE_URL and DATABASE_URL"):
        database_address(plain)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@litellm/app")
    assert database_address(plain).shown == "postgresql://litellm/app"
    monkeypatch.setenv("ROUTEIQ_DATABASE_URL", "postgresql://u:s3cret@own/app")
    assert database_address(plain).shown == "postgresql://own/app"
    monkeypatch.setenv("LOG_AT", "postgresql://u:s3cret@named/app")
    (tmp_path / "named").mkdir()
    named = load(config(tmp_path / "named", POSTGRES + "  url: os.environ/LOG_AT\n"))
    assert database_address(named).shown == "postgresql://named/app"
    monkeypatch.setenv("LOG_AT", "postgresql://u:other@moved/app")
    assert database_address(named).url == "postgresql://u:other@moved/app"
    assert "s3cret" not in repr(named)
    assert "s3cret" not in str(named.routeiq.model_dump())
    monkeypatch.delenv("LOG_AT")
    with pytest.raises(ConfigError, match="LOG_AT refers to an environment variable that is not set"):
        database_address(named)
    with pytest.raises(ConfigError, match="is not set"):
        named_address("os.environ/LOG_AT")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver the mistake says where it is and what to install; the place of the log needs none."""
    monkeypatch.setenv("ROUTEIQ_DATABASE_URL", "postgresql://u:s3cret@db/app")
    settings, clock = load(config(tmp_path, POSTGRES)), FakeClock()
    assert place_of(settings) == "postgresql://db/app"
    for name in [name for name in sys.modules if name.startswith("routeiq.adapters.sql.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"config.yaml:\d+.*needs psycopg.*routeiq-router\[postgres\]"):
        outcome_log_of(settings, clock, Degraded(clock))


def test_an_address_without_its_kind_is_a_mistake(tmp_path: Path) -> None:
    """A URL beside the SQLite log would be ignored in silence; it is refused, and not shown."""
    settings = load(config(tmp_path, "outcome_log:\n  url: postgresql://u:s3cret@db/app\n"))
    clock = FakeClock()
    with pytest.raises(ConfigError, match="kind: postgres") as raised:
        outcome_log_of(settings, clock, Degraded(clock))
    assert "s3cret" not in raised.value.message


@pytest.mark.parametrize("wrong", ["  kind: mysql\n", "  spill_mb: much\n", "  port: 5432\n"])
def test_a_mistake_beside_the_address_does_not_show_it(tmp_path: Path, wrong: str) -> None:
    """An error about another key of the section says nothing of the address."""
    with pytest.raises(ConfigError) as raised:
        load(config(tmp_path, "outcome_log:\n  url: postgresql://u:s3cret@db/a\n" + wrong))
    assert "s3cret" not in str(raised.value)


def test_letting_everybody_in_is_warned_about(tmp_path: Path) -> None:
    """LiteLLM's switch that lets unknown keys call models during an outage does not pass in silence."""
    litellm = LITELLM + "general_settings:\n  allow_requests_on_db_unavailable: true\n"
    assert any(
        "allow_requests_on_db_unavailable" in said for said in load(config(tmp_path, POSTGRES, litellm)).warnings
    )
    assert load(config(tmp_path, POSTGRES)).warnings == ()
