"""What is too old in the tables in PostgreSQL, deleted a batch at a time.

Owns the statements, and the advisory lock under which one worker of all deletes. When that is done, and how often, is
`adapters.sql.retention`'s.
"""

from typing import Final

from routeiq.adapters.sql.postgres.link import Connection, Link

AT_ONCE: Final = 500
"""Decisions in one transaction."""

LOCK: Final = 0x526F757465495122
"""The advisory lock of whoever deletes. It ends with the transaction, so that poolers may stand in between."""

_DECISIONS: Final = b"""
    WITH old AS (
        SELECT id FROM routeiq.decisions WHERE at < $1 ORDER BY at LIMIT $2
    ), of_outcomes AS (
        DELETE FROM routeiq.outcomes USING old WHERE decision_id = old.id
    ), of_feedback AS (
        DELETE FROM routeiq.feedback USING old WHERE decision_id = old.id
    )
    DELETE FROM routeiq.decisions USING old WHERE decisions.id = old.id
"""

_OUTCOMES: Final = b"""
    DELETE FROM routeiq.outcomes WHERE decision_id IN (
        SELECT decision_id FROM routeiq.outcomes WHERE at < $1 ORDER BY at LIMIT $2
    )
"""
"""Those that are left belong to decisions that were never written."""


class OldRows:
    """Implements `adapters.sql.retention.Old` on a link of its own."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def forget(self, before: float) -> int | None:
        """Delete a batch; returns None while another worker deletes. Raises psycopg.Error and ConfigError."""
        return self._link.run(lambda connection: _forget(connection, before))

    def release(self) -> None:
        """Close the connection: it is needed once in an hour."""
        self._link.discard()


def _forget(connection: Connection, before: float) -> int | None:
    connection.execute("BEGIN")
    # What a crash brings back is deleted at the next look: nobody's commit has to wait for the disk because of it.
    connection.execute("SET LOCAL synchronous_commit = off")
    found = connection.execute("SELECT pg_try_advisory_xact_lock($1) AS mine", (LOCK,)).fetchone()
    deleted = None
    if found is not None and found["mine"]:
        deleted = connection.execute(_DECISIONS, (before, AT_ONCE)).rowcount
        if deleted == 0:
            deleted = connection.execute(_OUTCOMES, (before, AT_ONCE)).rowcount
    connection.execute("COMMIT")
    return deleted
