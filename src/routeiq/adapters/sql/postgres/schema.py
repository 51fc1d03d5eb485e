"""The tables of the outcome log in PostgreSQL and how an older database is brought up to date.

Owns the SQL of the schema, which is a schema of its own, `routeiq`, so that a database may be shared with LiteLLM. A
step is never changed once it was released; a new one is appended and only adds, because while a new version is rolled
out the one before goes on writing.
"""

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from routeiq.core.errors import ConfigError

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE routeiq.decisions (
        seq BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
        id TEXT PRIMARY KEY,
        request_id TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        alias TEXT NOT NULL,
        surface TEXT NOT NULL,
        strategy TEXT NOT NULL,
        choice TEXT NOT NULL,
        ranking JSONB NOT NULL,
        propensity DOUBLE PRECISION NOT NULL,
        reason TEXT NOT NULL,
        score DOUBLE PRECISION,
        degraded TEXT,
        artifact TEXT,
        embedder TEXT,
        snapshot TEXT NOT NULL,
        experiment TEXT,
        arm TEXT,
        duration_ms DOUBLE PRECISION NOT NULL,
        candidates JSONB NOT NULL,
        caller_key TEXT,
        caller_team TEXT,
        caller_user TEXT,
        caller_tags JSONB NOT NULL,
        caller_admin SMALLINT NOT NULL,
        prompt_tokens BIGINT NOT NULL,
        prompt_digest TEXT,
        embedding BYTEA,
        prompt TEXT,
        calls JSONB,
        unit TEXT,
        affinity JSONB
    );
    CREATE INDEX decisions_at ON routeiq.decisions (at);
    CREATE TABLE routeiq.outcomes (
        decision_id TEXT PRIMARY KEY,
        request_id TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        model TEXT NOT NULL,
        status TEXT NOT NULL,
        input_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL,
        cost_usd DOUBLE PRECISION,
        latency_s DOUBLE PRECISION,
        ttft_s DOUBLE PRECISION,
        retries BIGINT NOT NULL,
        streamed SMALLINT NOT NULL,
        cached SMALLINT NOT NULL,
        error TEXT,
        delivered BIGINT
    );
    CREATE INDEX outcomes_at ON routeiq.outcomes (at);
    CREATE TABLE routeiq.feedback (
        seq BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
        id TEXT PRIMARY KEY,
        decision_id TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        source TEXT NOT NULL,
        score DOUBLE PRECISION,
        other TEXT,
        preferred TEXT
    );
    CREATE INDEX feedback_decision ON routeiq.feedback (decision_id, at);
    """,
)

OLDEST: Final = 1
"""The oldest version of RouteIQ's schema whose writers can go on while this one is in place."""

LOCK: Final = 0x526F757465495121
"""The advisory lock under which a schema is changed: any number of workers may start at once."""


def migrate(connection: psycopg.Connection[Any], migrations: Sequence[str] = MIGRATIONS, oldest: int = OLDEST) -> None:
    """Apply the steps that a database has not seen, all or none of them, one process at a time.

    `connection` is in autocommit mode, has raw cursors and gives rows as dictionaries. Raises ConfigError when a newer
    RouteIQ changed the schema so that this one must not use it, and psycopg.Error.
    """
    if _version(connection, migrations) >= len(migrations):
        return
    connection.execute("BEGIN")
    connection.execute("SELECT pg_advisory_xact_lock($1)", (LOCK,))
    # Asking first: who may not make schemas may still use one that was made for them.
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'routeiq'").fetchone() is None:
        connection.execute("CREATE SCHEMA routeiq")
    connection.execute("CREATE TABLE IF NOT EXISTS routeiq.schema_version (version INTEGER, oldest INTEGER)")
    for step in range(_version(connection, migrations), len(migrations)):
        connection.execute(migrations[step].encode())
    connection.execute("DELETE FROM routeiq.schema_version")
    connection.execute("INSERT INTO routeiq.schema_version VALUES ($1, $2)", (len(migrations), oldest))
    connection.execute("COMMIT")


def _version(connection: psycopg.Connection[Any], migrations: Sequence[str]) -> int:
    """Return how many steps a database has seen."""
    if connection.execute("SELECT to_regclass('routeiq.schema_version') AS found").fetchone()["found"] is None:  # type: ignore[index]
        return 0
    found = connection.execute("SELECT version, oldest FROM routeiq.schema_version").fetchone()
    if found is None:
        return 0
    if found["oldest"] > len(migrations):
        raise ConfigError(
            f"the database of the outcome log has schema version {found['version']}, which needs a RouteIQ that knows "
            f"version {found['oldest']}; this one knows {len(migrations)}: upgrade, or name another database"
        )
    return int(found["version"])
