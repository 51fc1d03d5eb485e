"""Keys that LiteLLM checked lately, for RouteIQ's own endpoints while LiteLLM's database is away.

Owns what tells "could not be checked" from "refused", and for how long a check is believed. Calls to models are
LiteLLM's: what it lets in is not decided here.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from routeiq.core.ports import Clock

KNOWN_S: Final = 600.0
"""How long a key that LiteLLM accepted is accepted here while LiteLLM cannot check keys."""

KNOWN_KEPT: Final = 1_024

_STAND_INS: Final = frozenset({"failed-to-connect-to-db", "__db_unavailable_fallback__"})
"""Whom LiteLLM takes everybody for with `allow_requests_on_db_unavailable`, whatever key they have, or none."""


def not_checked(error: Exception) -> bool:
    """Return whether LiteLLM's answer to a key means that it could not look, and not that the key is wrong.

    Where there is no database at all it says 400 with the type of a lost connection: such a key is wrong.
    """
    code = getattr(error, "code", None) or getattr(error, "status_code", None)
    return str(code).startswith("5")


def stands_in(auth: Any) -> bool:
    """Return whether an identity is the one that LiteLLM gives to all while it cannot look."""
    return not _STAND_INS.isdisjoint({getattr(auth, "token", None), getattr(auth, "user_id", None)})


class KnownKeys:
    """Identities by a hash of the credentials they were accepted with. No key is kept."""

    def __init__(self, clock: Clock, kept_s: float = KNOWN_S) -> None:
        self._clock = clock
        self._kept_s = kept_s
        self._known: OrderedDict[bytes, tuple[float, Any]] = OrderedDict()

    def accepted(self, credentials: Mapping[str, str | None], auth: Any) -> None:
        """Note that LiteLLM accepted credentials."""
        key = _hash(credentials)
        self._known[key] = (self._clock.monotonic(), auth)
        self._known.move_to_end(key)
        if len(self._known) > KNOWN_KEPT:
            self._known.popitem(last=False)

    def refused(self, credentials: Mapping[str, str | None]) -> None:
        """Note that LiteLLM refused credentials."""
        self._known.pop(_hash(credentials), None)

    def lately(self, credentials: Mapping[str, str | None]) -> Any | None:
        """Return the identity that credentials were accepted with not long ago and that has not expired, else None."""
        found = self._known.get(_hash(credentials))
        if found is None or self._clock.monotonic() - found[0] > self._kept_s or _expired(found[1], self._clock.now()):
            return None
        return found[1]


def _hash(credentials: Mapping[str, str | None]) -> bytes:
    parts = "\0".join(f"{name}={credentials[name]}" for name in sorted(credentials) if credentials[name])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()


def _expired(auth: Any, now: float) -> bool:
    """Return whether a key is past its time; one whose time cannot be read counts as past it."""
    expires = getattr(auth, "expires", None)
    if expires is None:
        return False
    try:
        end = expires if isinstance(expires, datetime) else datetime.fromisoformat(str(expires))
        return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() <= now
    except ValueError:
        return True
