"""Log lines of decisions and of swallowed errors."""

import io
import json
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext

from routeiq.adapters.logs import LineHandler, LogTelemetry
from routeiq.core.decision import Reason
from routeiq.core.errors import NoCandidate
from tests.unit.adapters.records import PROMPT, a_decision, a_request, an_outcome

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Clock:
    """Time that a test moves."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Written:
    """What the logger of decisions wrote."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.handler = LineHandler(self.out, worker_id="w1")

    def lines(self) -> list[dict[str, Any]]:
        self.handler.flush()
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    made, logger = Written(), logging.getLogger("routeiq.decisions")
    before = logger.level
    logger.addHandler(made.handler)
    logger.setLevel(logging.INFO)
    yield made
    logger.removeHandler(made.handler)
    logger.setLevel(before)
    made.handler.close()


def telemetry(share: float = 1.0, clock: Clock | None = None) -> LogTelemetry:
    return LogTelemetry(clock or Clock(), random.Random(7), share)


def test_a_decision_is_one_line_without_its_prompt(written: Written) -> None:
    """The line has ids, names and numbers of the decision, and the prompt is nowhere."""
    telemetry().decided(a_request(), a_decision(), None)
    telemetry().ended(an_outcome())
    (line,) = written.lines()
    assert line["message"] == "routing decision"
    assert (line["level"], line["strategy"], line["model"], line["duration_ms"]) == ("INFO", "knn", "model-0", 0.21)
    assert (line["decision_id"], line["request_id"], line["reason"]) == ("dec_1", "req_1", "best")
    assert line["degraded"] == "embedder_timeout"
    assert PROMPT not in written.out.getvalue()


@pytest.mark.parametrize(
    "parent",
    [
        {"Traceparent": f"00-{TRACE}-{SPAN}-01"},
        {"b3": f"{TRACE}-{SPAN}-1"},
        NonRecordingSpan(SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=True)),
    ],
)
def test_the_line_names_the_trace(written: Written, parent: object) -> None:
    """The enclosing span's ids stand in the line, whether a span or headers were handed in."""
    telemetry().decided(a_request(), a_decision(), parent)
    (line,) = written.lines()
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)


@pytest.mark.parametrize("parent", [None, {}, object(), NonRecordingSpan(SpanContext(0, 0, is_remote=False))])
def test_no_trace_is_no_obstacle(written: Written, parent: object) -> None:
    """Without a valid parent the line is written all the same."""
    telemetry().decided(a_request(), a_decision(), parent)
    assert [line["trace_id"] for line in written.lines()] == [None]


def test_a_share_of_decisions_is_told(written: Written) -> None:
    """With a share of a tenth about one in ten decisions is told, with zero none."""
    some, none = telemetry(0.1), telemetry(0.0)
    for number in range(1_000):
        some.decided(a_request(number), a_decision(number), None)
        none.decided(a_request(number), a_decision(number), None)
    assert 60 < len(written.lines()) < 140


def test_a_fall_back_is_always_told(written: Written) -> None:
    """A decision by the operator's order is a warning, whatever the share."""
    telemetry(0.0).decided(a_request(), a_decision(reason=Reason.STATIC_ORDER, degraded="internal"), None)
    (line,) = written.lines()
    assert (line["level"], line["reason"], line["degraded"]) == ("WARNING", "static_order", "internal")


def test_a_swallowed_error_is_told_without_its_text(written: Written) -> None:
    """Where, which reason, which type and which place: enough to find it, nothing that a caller said."""
    try:
        raise NoCandidate(PROMPT)
    except NoCandidate as error:
        telemetry().failed("decide", error)
    (line,) = written.lines()
    assert (line["level"], line["where"], line["reason"]) == ("WARNING", "decide", "no_candidate")
    assert line["exception"].startswith("NoCandidate at logs/test_decisions.py:")
    assert PROMPT not in written.out.getvalue()


def test_the_same_error_does_not_flood_the_log(written: Written) -> None:
    """Within ten seconds an error is told once; the next line counts what was left out."""
    clock = Clock()
    lines = telemetry(clock=clock)
    for _ in range(50):
        lines.failed("decide", ValueError())
    lines.failed("decide", KeyError())
    clock.seconds = 11.0
    lines.failed("decide", ValueError())
    assert [(line["exception"], line["left_out"]) for line in written.lines()] == [
        ("ValueError", 0),
        ("KeyError", 0),
        ("ValueError", 49),
    ]
