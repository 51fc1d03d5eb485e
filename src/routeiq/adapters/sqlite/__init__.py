"""The outcome log of one machine, in one SQLite file. What is recorded, and when, is the business of `flow`."""

from routeiq.adapters.sqlite.outcome_log import SqliteOutcomeLog
from routeiq.adapters.sqlite.reading import read_labelled
from routeiq.adapters.sqlite.salt import load_or_create_salt

__all__ = ["SqliteOutcomeLog", "load_or_create_salt", "read_labelled"]
