"""The tables of the outcome log and how an older file is brought up to date.

Owns the SQL of the schema. `PRAGMA user_version` counts the steps of `MIGRATIONS` that a file has seen; a step is never
changed once it was released, a new one is appended.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from routeiq.adapters.sql.sqlite.transaction import writing
from routeiq.core.errors import ConfigError

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE decisions (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        request_id TEXT NOT NULL,
        at REAL NOT NULL,
        alias TEXT NOT NULL,
        surface TEXT NOT NULL,
        strategy TEXT NOT NULL,
        choice TEXT NOT NULL,
        ranking TEXT NOT NULL,
        propensity REAL NOT NULL,
        reason TEXT NOT NULL,
        score REAL,
        degraded TEXT,
        artifact TEXT,
        embedder TEXT,
        snapshot TEXT NOT NULL,
        experiment TEXT,
        arm TEXT,
        duration_ms REAL NOT NULL,
        candidates TEXT NOT NULL,
        caller_key TEXT,
        caller_team TEXT,
        caller_user TEXT,
        caller_tags TEXT NOT NULL,
        caller_admin INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        prompt_digest TEXT,
        embedding BLOB,
        prompt TEXT
    );
    CREATE INDEX decisions_at ON decisions (at);
    CREATE TABLE outcomes (
        decision_id TEXT PRIMARY KEY,
        request_id TEXT NOT NULL,
        at REAL NOT NULL,
        model TEXT NOT NULL,
        status TEXT NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cost_usd REAL,
        latency_s REAL,
        ttft_s REAL,
        retries INTEGER NOT NULL,
        streamed INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        error TEXT
    ) WITHOUT ROWID;
    CREATE TABLE feedback (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        decision_id TEXT NOT NULL,
        at REAL NOT NULL,
        source TEXT NOT NULL,
        score REAL,
        other TEXT,
        preferred TEXT
    );
    CREATE INDEX feedback_decision ON feedback (decision_id, at);
    """,
    "ALTER TABLE decisions ADD COLUMN calls TEXT",
    "ALTER TABLE decisions ADD COLUMN unit TEXT; ALTER TABLE decisions ADD COLUMN affinity TEXT",
    "ALTER TABLE outcomes ADD COLUMN delivered INTEGER",
)


def migrate(connection: sqlite3.Connection, name: str, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Apply the steps that a file has not seen, each in its own transaction; two processes may do so at once.

    `name` is the file's name for messages. Raises ConfigError when the file was written by a newer RouteIQ, and
    sqlite3.Error.
    """
    for step in range(_version(connection, name, migrations), len(migrations)):
        with writing(connection):
            if _version(connection, name, migrations) == step:
                for statement in filter(str.strip, migrations[step].split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step + 1}")


def _version(connection: sqlite3.Connection, name: str, migrations: Sequence[str]) -> int:
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(migrations):
        raise ConfigError(
            f"outcome log {name}: its schema is version {found}, this RouteIQ reads up to {len(migrations)}; "
            "a newer RouteIQ wrote it, so upgrade, or name another file"
        )
    return found
