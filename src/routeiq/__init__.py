"""Learned, explained and measured model routing on top of an unmodified LiteLLM proxy."""

__version__ = "0.1.0"
