"""Compound models: methods that answer one request by several calls to candidates. Pure; `http` makes the calls."""
