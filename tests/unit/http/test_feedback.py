"""Feedback: acknowledged only when stored, refused with words that help."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from routeiq.core.errors import StoreUnavailable
from routeiq.core.outcome import Feedback
from routeiq.http import endpoints
from routeiq.testing.fakes import RecordingLog
from tests.unit.http.scene import ADMIN, ALICE, BOB, scene
from tests.unit.http.test_edge import connection
from tests.unit.http.test_endpoints import CHAT, code


async def test_a_score_is_stored_before_it_is_acknowledged() -> None:
    """The answer names the feedback that the log holds."""
    at = scene()
    decision_id = await at.decided()
    answer = await at.ask("POST", "/routeiq/feedback", json={"decision_id": decision_id, "score": 1})
    kept = at.kept.feedback[0]
    assert answer.json() == {"id": kept.id, "decision_id": decision_id, "stored": True}
    assert (kept.score, kept.source, kept.at, kept.other) == (1.0, "client", 1000.0, None)


@pytest.mark.parametrize("preferred", ["large", "small", None])
async def test_a_comparison_is_stored(preferred: str | None) -> None:
    """A comparison names the other candidate and the better one, or a tie."""
    at = scene()
    body = {"decision_id": await at.decided(), "comparison": {"other": "large", "preferred": preferred}}
    assert (await at.ask("POST", "/routeiq/feedback", json=body)).status_code == 200
    kept = at.kept.feedback[0]
    assert (kept.score, kept.other, kept.preferred) == (None, "large", preferred)


async def test_all_feedback_is_kept_in_order() -> None:
    """Several judgements of one answer are all kept."""
    at = scene()
    decision_id = await at.decided()
    for score in (0.2, 0.4, 0.9):
        await at.ask("POST", "/routeiq/feedback", json={"decision_id": decision_id, "score": score})
    assert [f.score for f in at.kept.feedback] == [0.2, 0.4, 0.9]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"score": 1.7}, "`score`: found 1.7, expected a number from 0"),
        ({"score": -0.01}, "`score`: found -0.01"),
        ({"score": True}, "`score`: found True"),
        ({"score": "0.5"}, "`score`: found '0.5'"),
        ({"score": [0.5]}, "`score`: found an array"),
        ({"scor": 0.5}, "unknown key 'scor'; did you mean 'score'?"),
        ({}, "found neither of them; expected one of `score` and `comparison`"),
        ({"score": 0.5, "comparison": {"other": "large", "preferred": None}}, "found both of them"),
        ({"comparison": {"other": "large"}}, "`comparison.preferred` is missing"),
        ({"comparison": {"other": "large", "preferred": None, "x": 1}}, "unknown key 'x'"),
        ({"comparison": {"other": "larg", "preferred": None}}, "did you mean 'large'?"),
        ({"comparison": {"other": "small", "preferred": None}}, "'small' gave the served answer"),
        ({"comparison": {"other": "large", "preferred": "medium"}}, "`comparison.preferred`: found 'medium'"),
        ({"score": 0.5, "source": "Some One"}, "`source`: found 'Some One'"),
        ({"score": 0.5, "decision_id": 7}, "`decision_id`: found 7"),
        ({"score": 0.5, "decision_id": "x" * 500}, "`decision_id`: found 'xxx"),
        ({"score": 0.5, "\ud800": 1}, "the body cannot be read"),
    ],
)
async def test_feedback_that_makes_no_sense_is_a_422(change: dict[str, Any], expected: str) -> None:
    """The message says what was found and what was expected, and nothing is stored."""
    at = scene()
    body = {"decision_id": await at.decided(), **change}
    answer = await at.ask("POST", "/routeiq/feedback", content=json.dumps(body))
    assert code(answer) == (422, "feedback_invalid")
    assert expected in answer.json()["error"]["message"]
    assert not at.kept.feedback


@pytest.mark.parametrize("key", [ALICE, ADMIN])
async def test_feedback_for_an_unknown_decision_is_a_404(key: str) -> None:
    """An id that nobody decided is unknown, also to an admin."""
    at = scene()
    answer = await at.ask("POST", "/routeiq/feedback", key=key, json={"decision_id": "dec_nope", "score": 1})
    assert code(answer) == (404, "unknown_decision")


async def test_nobody_judges_the_answers_of_others() -> None:
    """Feedback on another key's decision is refused as unknown; an admin may give it."""
    at = scene()
    body = {"decision_id": await at.decided(), "score": 0}
    assert code(await at.ask("POST", "/routeiq/feedback", key=BOB, json=body)) == (404, "unknown_decision")
    assert (await at.ask("POST", "/routeiq/feedback", key=ADMIN, json=body)).status_code == 200
    assert len(at.kept.feedback) == 1


@pytest.mark.parametrize("error", [StoreUnavailable("the outcome log cannot be written (disk_full)"), None])
async def test_feedback_that_is_not_durable_is_not_acknowledged(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that refuses, or does not answer in time, gives 503 with Retry-After."""

    class Stuck(RecordingLog):
        async def add_feedback(self, feedback: Feedback) -> None:
            if error is not None:
                raise error
            await asyncio.Event().wait()

    monkeypatch.setattr(endpoints, "ACKNOWLEDGE_S", 0.01)
    at = scene(Stuck())
    answer = await at.ask("POST", "/routeiq/feedback", json={"decision_id": await at.decided(), "score": 1})
    assert code(answer) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"


NOT_OBJECTS = [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"text"', b"[" * 10_000, b"1" * 10_000]


@pytest.mark.parametrize("path", ["/routeiq/feedback", "/routeiq/route"])
@pytest.mark.parametrize("body", [*NOT_OBJECTS, b'{"score": NaN}'], ids=lambda b: repr(b[:12]))
async def test_a_body_that_is_not_a_json_object_is_a_400(path: str, body: bytes) -> None:
    """Whatever is not one JSON object is refused as such."""
    assert code(await scene().ask("POST", path, content=body)) == (400, "request_invalid")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_a_413(declared: bool) -> None:
    """A body that is too long is refused, by its stated length or while it is read."""
    at, body = scene(), b" " * (endpoints.FEEDBACK_LIMIT + 1)

    async def pieces() -> Any:
        yield body

    answer = await at.ask("POST", "/routeiq/feedback", content=body if declared else pieces())
    assert code(answer) == (413, "body_too_large")


async def test_a_prompt_of_a_megabyte_is_previewed() -> None:
    """Long prompts are a normal thing to ask about."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "word " * 200_000}]}
    answer = await scene().ask("POST", "/routeiq/route", json=body)
    assert answer.json()["choice"] == "small"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": 7}, "`model`: found a number"),
        ({"model": ""}, "`model`: found text"),
        ({"messages": "secret"}, "`messages`: found text, expected a list of objects"),
        ({"messages": ["secret"]}, "`messages`: found text, expected a list of objects"),
        ({"messages": None, "input": {"secret": 1}}, "`input`: found an object"),
        ({"messages": None}, "there is no prompt; expected one of `messages`, `input` and `prompt`"),
        ({"messages": []}, "the last one has no text"),
        ({"messages": [{"content": 5}]}, "the last one has no text"),
    ],
)
async def test_a_prompt_of_the_wrong_form_is_a_400(change: dict[str, Any], expected: str) -> None:
    """The message names the key and never repeats the prompt."""
    answer = await scene().ask("POST", "/routeiq/route", json={**CHAT, **change})
    assert code(answer) == (400, "request_invalid")
    assert expected in answer.json()["error"]["message"]
    assert "secret" not in answer.text


async def test_a_client_that_leaves_while_sending_is_no_error() -> None:
    """A body that is never finished gets no answer and counts as nothing."""
    at, said = scene(), []
    scope, receive, send = connection("/routeiq/feedback", said, [{"type": "http.request", "more_body": True}])
    await at.edge({**scope, "headers": [(b"authorization", b"Bearer sk-alice")]}, receive, send)
    assert (said, at.telemetry.failures) == ([], [])


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=8), t, max_size=3))
names = st.sampled_from(["decision_id", "score", "source", "comparison", "model", "messages", "input", "prompt"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["/routeiq/feedback", "/routeiq/route"]), st.dictionaries(names | st.text(), trees, max_size=5))
def test_no_body_breaks_an_endpoint(path: str, body: dict[str, Any]) -> None:
    """Whatever JSON is posted, the answer is never a 500."""
    said: list[Message] = []
    at = scene()
    content = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
    scope, receive, send = connection(path, said, [content])
    asyncio.run(at.edge({**scope, "headers": [(b"authorization", b"Bearer sk-alice")]}, receive, send))
    assert said[0]["status"] in {200, 400, 404, 422}
