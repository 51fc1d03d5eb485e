"""The outcome log of one machine, in one SQLite file. What is recorded, and when, is the business of `flow`."""

from routeiq.adapters.sql.salt import load_or_create_salt
from routeiq.adapters.sql.sqlite.outcome_log import SqliteOutcomeLog
from routeiq.adapters.sql.sqlite.reading import read_labelled

__all__ = ["SqliteOutcomeLog", "load_or_create_salt", "read_labelled"]
