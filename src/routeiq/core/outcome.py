"""What came of a decision: the served call, and later what somebody thought of the answer."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How the request ended for the caller."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request.

    `model` is the candidate that served it (or was tried last), which differs from the decision's choice after a
    retry or a fallback. `error` is the class name of the last error, never its text. `retries` counts attempts
    after the first one, whether on another candidate of the same alias or on another group. `delivered` are the events
    of a stream that reached the client when it did not end well, None where that is not known.
    """

    decision_id: str
    request_id: str
    at: float
    model: str
    status: Status
    usage: Usage = Usage()
    cost_usd: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    retries: int = 0
    streamed: bool = False
    cached: bool = False
    error: str | None = None
    delivered: int | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """Somebody's judgement of an answer, by decision id.

    Either `score` (0 is worthless, 1 is perfect), or a comparison: the served answer against the answer of another
    candidate `other`, where `preferred` is the name of the better one or `None` for a tie. All feedback is kept; for
    learning the latest of each `source` wins.
    """

    id: str
    decision_id: str
    at: float
    source: str
    score: float | None = None
    other: str | None = None
    preferred: str | None = None
