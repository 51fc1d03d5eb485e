"""The outcome log of many machines, in PostgreSQL. What is recorded, and when, is the business of `flow`."""

from routeiq.adapters.sql.postgres.outcome_log import PostgresOutcomeLog
from routeiq.adapters.sql.postgres.reading import read_labelled

__all__ = ["PostgresOutcomeLog", "read_labelled"]
