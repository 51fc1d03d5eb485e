"""Scorers, one file per family; none imports another."""
