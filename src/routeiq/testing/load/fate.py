"""What can become of a request, told apart the way a client would."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """How a request ended."""

    OK = "ok"
    """Answered whole."""

    REFUSED = "refused"
    """429 or 503 with `Retry-After`: not taken, and the client knows when to come again."""

    FAILED = "failed"
    """Any other error status, no connection, or no answer in time."""

    CUT = "cut"
    """An answer that began with 200 and did not reach its end."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request. Seconds count from the moment it was due, so waiting in the generator counts as well.

    `at` is that moment after the start of the load, `late_s` how much later it left; `ttft_s` is None when no byte of
    content came. `reason` is the error code of the answer, or what broke; `model` is who answered.
    """

    team: str
    at: float
    streamed: bool
    fate: Fate
    status: int | None
    reason: str
    latency_s: float
    ttft_s: float | None
    late_s: float
    request_id: str
    model: str
