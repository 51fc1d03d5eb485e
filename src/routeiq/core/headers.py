"""The names of RouteIQ's HTTP headers and what stands in them. One definition for the hook and for the edge."""

from collections.abc import Mapping

from routeiq.core.decision import SCHEMA_VERSION, Decision

PREFIX = "x-routeiq-"
MODEL = "x-routeiq-model"
STRATEGY = "x-routeiq-strategy"
SCORE = "x-routeiq-score"
REASON = "x-routeiq-reason"
DECISION_ID = "x-routeiq-decision-id"
SCHEMA = "x-routeiq-schema"
DEGRADED = "x-routeiq-degraded"
HINT = "x-routeiq-hint"
"""Request header: the model the caller would like; honoured only if it is a candidate."""

PRIORITY = "x-routeiq-priority"
"""Request header: low, normal or high; honoured for admins while requests wait (`guard.admission`)."""

ACCEPTED = frozenset({HINT, PRIORITY})
"""Request headers with our prefix that clients may send; all others are look-alikes and are stripped at the edge."""


def decision_headers(decision: Decision, served: str | None = None) -> dict[str, str]:
    """Return the response headers that name a decision.

    `served` is the candidate that answered, when it is known and differs from the choice after a retry.
    """
    headers = {
        MODEL: served or decision.choice,
        STRATEGY: decision.strategy,
        REASON: decision.reason.value,
        DECISION_ID: decision.id,
        SCHEMA: SCHEMA_VERSION,
    }
    if decision.score is not None:
        headers[SCORE] = f"{decision.score:.4f}"
    if decision.degraded is not None:
        headers[DEGRADED] = decision.degraded
    return {name: _printable(value) for name, value in headers.items()}


def hint(headers: Mapping[str, str]) -> str | None:
    """Return the model that a caller would like, or None; names of headers are lower-case."""
    return headers.get(HINT, "").strip() or None


def _printable(value: str) -> str:
    """Return the value as header text: ISO-8859-1, no line breaks; operators name models as they like."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(c if " " <= c < "\x7f" else "?" for c in value)
