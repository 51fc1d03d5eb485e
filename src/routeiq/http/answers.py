"""What RouteIQ's own endpoints answer with: errors in OpenAI's form, decisions and outcomes as JSON.

Owns the JSON form of the nouns over HTTP. Fields are named as in `core`, so that the two cannot part.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from starlette.responses import JSONResponse, Response

from routeiq.core.decision import SCHEMA_VERSION, Decision, Reason
from routeiq.core.errors import RouteIQError
from routeiq.core.outcome import Feedback, Outcome
from routeiq.core.ports import Remembered
from routeiq.routing.compound.methods import Compound

RETRY_AFTER_S = 1
"""What a 503 of ours says in Retry-After, in seconds."""

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class Json(JSONResponse):
    """JSON in ASCII, so that text which is not valid Unicode cannot break an answer; never kept by a cache.

    `reason` is our reason word of a refusal.
    """

    reason: str | None = None

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status, {"cache-control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        """Return the content as bytes; a number that is not finite has no JSON form and becomes null."""
        return json.dumps(_finite(content), allow_nan=False, separators=(",", ":")).encode()


def refusal(status: int, reason: str, message: str, headers: Mapping[str, str] | None = None) -> Json:
    """Return an error in the form of OpenAI's API; `code` is our reason word."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    if status == 503:
        headers = {"retry-after": str(RETRY_AFTER_S), **(headers or {})}
    answer = Json({"error": {"message": message, "type": kind, "param": None, "code": reason}}, status, headers)
    answer.reason = reason
    return answer


def failure(error: RouteIQError) -> Response:
    """Return the answer to an error that RouteIQ raised on purpose."""
    return refusal(error.status, error.reason, error.message)


def decision_form(decision: Decision) -> dict[str, Any]:
    """Return a decision with all its candidates."""
    form = _flat(decision)
    form["id"] = decision.id or None
    form["candidates"] = [_flat(report) for report in decision.candidates]
    form["affinity"] = None if decision.affinity is None else _flat(decision.affinity)
    form["calls"] = [_flat(call) for call in decision.calls]
    return {"schema": SCHEMA_VERSION, **form}


def preview_form(decision: Decision, compound: Compound | None) -> dict[str, Any]:
    """Return a dry run; of a compound model it says what is expected of each candidate before any is called."""
    if compound is None:
        return {**decision_form(decision), "dry_run": True}
    named = replace(decision, strategy=compound.method.name, reason=Reason.COMPOUND)
    return {**decision_form(named), "dry_run": True, "compound": compound_form(compound)}


def compound_form(compound: Compound) -> dict[str, Any]:
    """Return what a compound model is: its method, who may answer, and what one request may spend."""
    return {
        "method": compound.method.name,
        "candidates": list(compound.candidates),
        "model": compound.plan.model,
        "artifact": compound.route.profile.artifact,
        **_flat(compound.budget),
    }


def remembered_form(found: Remembered) -> dict[str, Any]:
    """Return a decision with who asked, how it ended and what was thought of it."""
    caller, outcome = found.caller, found.outcome
    return {
        **decision_form(found.decision),
        "caller": {"team": caller.team, "user": caller.user, "tags": list(caller.tags)},
        "outcome": None if outcome is None else _outcome_form(outcome),
        "feedback": [_feedback_form(feedback) for feedback in found.feedback],
    }


def _outcome_form(outcome: Outcome) -> dict[str, Any]:
    return {**_flat(outcome), "usage": _flat(outcome.usage)}


def _feedback_form(feedback: Feedback) -> dict[str, Any]:
    form: dict[str, Any] = {"id": feedback.id, "at": feedback.at, "source": feedback.source, "score": feedback.score}
    compared = feedback.other is not None
    form["comparison"] = {"other": feedback.other, "preferred": feedback.preferred} if compared else None
    return form


def _flat(noun: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, one level deep."""
    return {field.name: getattr(noun, field.name) for field in fields(noun)}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value
