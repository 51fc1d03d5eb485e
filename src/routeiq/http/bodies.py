"""Bodies that clients send to RouteIQ's own endpoints: read within a limit, checked, refused with words that help.

Owns validation at the HTTP edge. What stands in a prompt is never repeated in a message.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from routeiq.core.errors import BodyTooLarge, FeedbackInvalid, RequestInvalid, nearest

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
SOURCE_PATTERN = r"^[a-z0-9][a-z0-9_.:-]{0,63}$"

DecisionId = Annotated[str, Field(pattern=ID_PATTERN, strict=True)]
Source = Annotated[str, Field(pattern=SOURCE_PATTERN, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=256, strict=True)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class ComparisonBody(BaseModel):
    """The served answer against another candidate's; `preferred` is the better one's name, null for a tie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other: Name
    preferred: Name | None


class FeedbackBody(BaseModel):
    """Feedback as it is posted: a score or a comparison, for one decision, by one source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision_id: DecisionId
    source: Source = "client"
    score: Score | None = None
    comparison: ComparisonBody | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.score is None) == (self.comparison is None):
            found = "neither" if self.score is None else "both"
            raise PydanticCustomError("one_of_two", "found {found} of them", {"found": found})
        return self


class RouteBody(BaseModel):
    """The outer form of a prompt; what is inside is the translation's business."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: Name
    messages: list[dict[str, Any]] | None = None
    input: str | list[Any] | None = None
    prompt: str | list[Any] | None = None

    @model_validator(mode="after")
    def _some_prompt(self) -> Self:
        if self.messages is None and self.input is None and self.prompt is None:
            raise PydanticCustomError("no_prompt", "there is no prompt")
        return self


_EXPECTED = {
    "": "one of `score` and `comparison`, not both",
    "decision_id": "the id of a decision, as in the header x-routeiq-decision-id",
    "source": "1 to 64 lower-case letters, digits and `_.:-` that say who judged",
    "score": "a number from 0 (worthless) to 1 (perfect)",
    "comparison": "an object with `other` and `preferred`",
    "comparison.other": "the name of the candidate compared with",
    "comparison.preferred": "the name of the better candidate, or null for a tie",
}
_EXPECTED_OF_PROMPT = {
    "": "one of `messages`, `input` and `prompt`",
    "model": "the name of a virtual model, 1 to 256 characters",
    "messages": "a list of objects",
    "input": "text or a list",
    "prompt": "text or a list",
}


_OWN_CHECKS = {"one_of_two", "no_prompt"}
_KINDS = {dict: "an object", list: "an array", str: "text", bool: "a boolean", int: "a number", float: "a number"}


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in the body; raises BodyTooLarge beyond `limit` bytes, else RequestInvalid."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and len(declared) < 20 and int(declared) > limit:
        _too_large(declared, limit)
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > limit:
            _too_large("more", limit)
    try:
        found = json.loads(bytes(read), parse_constant=_no_constant)
    except RecursionError:
        raise RequestInvalid("the body is nested too deeply to be read") from None
    except ValueError as error:
        where = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestInvalid(f"the body is not JSON{where}; expected one JSON object") from None
    if not isinstance(found, dict):
        raise RequestInvalid(f"the body is {_kind(found)}; expected one JSON object")
    return found


def feedback_body(found: Mapping[str, Any]) -> FeedbackBody:
    """Return the posted feedback; raises FeedbackInvalid saying what was found and what was expected."""
    try:
        return FeedbackBody.model_validate(found)
    except ValidationError as error:
        known = {"": FeedbackBody.model_fields, "comparison": ComparisonBody.model_fields}
        raise FeedbackInvalid(_told(error, _EXPECTED, known, show=True)) from None


def check_prompt(found: Mapping[str, Any]) -> None:
    """Check the outer form of a prompt; raises RequestInvalid naming the key, never the content."""
    try:
        RouteBody.model_validate(found)
    except ValidationError as error:
        raise RequestInvalid(_told(error, _EXPECTED_OF_PROMPT, {}, show=False)) from None


def shown(value: Any) -> str:
    """Return a value for a message: short text as it is, long text cut, anything deep by its kind."""
    if isinstance(value, dict | list):
        return _kind(value)
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _told(
    error: ValidationError, expected: Mapping[str, str], known: Mapping[str, Iterable[str]], *, show: bool
) -> str:
    """Return the first three problems as sentences."""
    return "; ".join(_problem(dict(e), expected, known, show) for e in error.errors(include_url=False)[:3])


def _problem(
    error: Mapping[str, Any], expected: Mapping[str, str], known: Mapping[str, Iterable[str]], show: bool
) -> str:
    where = [part for part in error["loc"] if isinstance(part, str)]
    if error["type"] == "extra_forbidden":
        parent = ".".join(where[:-1])
        return f"unknown key {shown(where[-1])}; {nearest(where[-1], known.get(parent, ()))}"
    path = ".".join(where)
    while path and path not in expected:
        path = path.rpartition(".")[0]
    if error["type"] == "missing":
        return f"`{path}` is missing; expected {expected[path]}"
    if error["type"] in _OWN_CHECKS:
        return f"{error['msg']}; expected {expected['']}"
    if not path:
        return f"the body cannot be read: {error['msg']}"
    found = shown(error["input"]) if show else _kind(error["input"])
    return f"`{path}`: found {found}, expected {expected[path]}"


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null")


def _too_large(found: str, limit: int) -> NoReturn:
    raise BodyTooLarge(f"the body has {found} bytes; at most {limit} are read here")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
