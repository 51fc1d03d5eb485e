"""Which compound model a call is made for. Set by whoever makes the call, read by the hook inside the same task."""

from contextvars import ContextVar

WITHIN: ContextVar[str | None] = ContextVar("routeiq_compound", default=None)
"""Name of the compound model whose own call this task serves; None for calls of clients, who cannot set it."""
