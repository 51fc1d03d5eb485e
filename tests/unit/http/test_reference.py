"""The pages about HTTP say what the code does."""

import json
import re
from pathlib import Path

import pytest

from routeiq.core import errors, headers
from routeiq.core.decision import CandidateReport, Decision, Reason
from routeiq.http import endpoints
from routeiq.http.table import ENDPOINTS
from tests.unit.http.scene import scene

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "feedback.md").read_text(encoding="utf-8")
RAISED = (
    errors.RequestInvalid,
    errors.BodyTooLarge,
    errors.UnknownModel,
    errors.FeedbackInvalid,
    errors.UnknownDecision,
    errors.UnknownVersion,
    errors.RestartRefused,
    errors.StoreUnavailable,
    errors.QueueFull,
    errors.DeadlineTooNear,
    errors.AnswersTooSlow,
    errors.ShareExceeded,
    errors.KeyShareExceeded,
    errors.StateUnavailable,
    errors.AuditUnavailable,
)


def test_the_reference_lists_the_endpoints_of_the_table() -> None:
    """Method, path and need of a key are those of the code, and none is missing."""
    rows = re.findall(r"^\| `([A-Z]+)` \| `(/[^`]*)` \| (yes|no) \|", REFERENCE, re.MULTILINE)
    assert sorted(rows) == sorted((e.method, e.path, "yes" if e.keyed else "no") for e in ENDPOINTS)


def test_the_reference_lists_every_error_with_its_status() -> None:
    """The rows are the errors that the endpoints raise and the refusals written in the source."""
    sources = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src" / "routeiq" / "http").glob("*.py"))
    written = {(int(status), code) for status, code in re.findall(r'refusal\((\d+), "(\w+)"', sources)}
    told = {(int(status), code) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", REFERENCE, re.MULTILINE)}
    assert told == written | {(error.status, error.reason) for error in RAISED}


def test_the_reference_names_every_header_field_and_reason() -> None:
    """Decision headers, fields of a decision and reason words are all explained."""
    strings = [value for value in vars(headers).values() if isinstance(value, str)]
    names = [text for text in strings if text.startswith(headers.PREFIX) and text != headers.PREFIX]
    names += [reason.value for reason in Reason]
    names += [*Decision.__dataclass_fields__, *CandidateReport.__dataclass_fields__]
    assert [name for name in names if f"`{name}`" not in REFERENCE] == []


def test_the_reference_states_the_limits() -> None:
    """The sizes in the text are those of the code."""
    assert f"over {endpoints.FEEDBACK_LIMIT >> 10} KiB of feedback" in REFERENCE
    assert f"or {endpoints.PROMPT_LIMIT >> 20} MiB of prompt" in REFERENCE
    assert f"up to {endpoints.PROMPT_LIMIT >> 20} MiB." in REFERENCE


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)\n```", HOW_TO, re.DOTALL))
async def test_the_examples_of_feedback_are_accepted(example: str) -> None:
    """Every body in the how-to can be posted as it stands."""
    at = scene()
    body = json.loads(example.replace("DECISION_ID", await at.decided()))
    answer = await at.ask("POST", "/routeiq/feedback", json=body)
    assert (answer.status_code, answer.json()["stored"]) == (200, True)
