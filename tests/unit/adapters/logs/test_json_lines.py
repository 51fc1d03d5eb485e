"""Log lines as they reach a stream."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routeiq.adapters.logs import FIELDS, JsonLogging, LineHandler, PrintedLines
from routeiq.adapters.logs.json_lines import TOGETHER
from routeiq.core.trace import CURRENT, TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def handler(out: io.StringIO) -> Iterator[LineHandler]:
    made = LineHandler(out, service="gw", worker_id="w1")
    yield made
    made.close()


@pytest.fixture
def logger(handler: LineHandler, request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    made = logging.getLogger(f"test.{request.node.name}")
    made.addHandler(handler)
    made.setLevel(logging.DEBUG)
    made.propagate = False
    yield made
    made.removeHandler(handler)


@pytest.fixture
def lines(handler: LineHandler, out: io.StringIO) -> Lines:
    """What was written so far."""

    def read() -> list[dict[str, Any]]:
        handler.flush()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return read


def test_every_line_has_the_ten_fields(logger: logging.Logger, lines: Lines) -> None:
    """A line is one JSON object that begins with the ten fields, null where there is nothing to say."""
    logger.warning("disk %s is slow", "sda")
    (line,) = lines()
    assert tuple(line)[:10] == FIELDS
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    assert (line["level"], line["service"], line["worker_id"]) == ("WARNING", "gw", "w1")
    assert line["message"] == "disk sda is slow"
    assert [line[name] for name in ("trace_id", "span_id", "strategy", "model", "duration_ms")] == [None] * 5


def test_a_line_belongs_to_the_trace_of_its_task(logger: logging.Logger, lines: Lines) -> None:
    """Whoever logs while a request is served, the line carries that request's trace."""
    token = CURRENT.set(TraceContext(TRACE, SPAN))
    logger.info("served")
    CURRENT.reset(token)
    logger.info("idle")
    assert [(line["trace_id"], line["span_id"]) for line in lines()] == [(TRACE, SPAN), (None, None)]


def test_an_exception_is_told_by_type_and_place(logger: logging.Logger, lines: Lines) -> None:
    """What an exception says is left out; what it is, where it was raised and what caused it are told."""
    try:
        try:
            raise KeyError("the prompt of a customer")
        except KeyError as error:
            raise ValueError("sk-abcdefghijkl") from error
    except ValueError:
        logger.exception("it failed")
    (line,) = lines()
    assert "customer" not in json.dumps(line)
    assert "abcdefghijkl" not in json.dumps(line)
    first, second = line["exception"].split(", from ")
    assert first.startswith("ValueError at logs/test_json_lines.py:")
    assert second.startswith("KeyError at logs/test_json_lines.py:")
    assert str(Path(__file__).parent.parent) not in line["exception"]


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("line one\nline two", "line one [...]"),
        ("\x1b[92mgreen\x1b[0m", "green"),
        ("\u2028 separators \u0085 within", "separators"),
        ("x" * 50_000, "xxx"),
    ],
)
def test_a_message_is_one_line(logger: logging.Logger, out: io.StringIO, lines: Lines, message: str, kept: str) -> None:
    """Line breaks, colours and endless messages still make one short line."""
    logger.info(message)
    (line,) = lines()
    assert kept in line["message"]
    assert len(line["message"]) < 3_000
    assert len(out.getvalue().splitlines()) == 1


def test_arguments_that_do_not_fit_cost_no_line(handler: LineHandler, lines: Lines) -> None:
    """A message whose arguments do not fit is written without them."""
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "%s %s", ("too", "many", "arguments"), None))
    assert lines()[0]["message"] == "%s %s"


SECRETS = st.one_of(
    st.from_regex(r"sk-[A-Za-z0-9_\-]{8,40}", fullmatch=True),
    st.from_regex(r"sk-ant-api03-[A-Za-z0-9_\-]{20,40}", fullmatch=True),
    st.from_regex(r"AIza[A-Za-z0-9_\-]{35}", fullmatch=True),
    st.from_regex(r"ghp_[A-Za-z0-9]{36}", fullmatch=True),
    st.from_regex(r"hf_[A-Za-z0-9]{34}", fullmatch=True),
    st.from_regex(r"AKIA[0-9A-Z]{16}", fullmatch=True),
    st.from_regex(r"xoxb-[0-9]{10,12}-[A-Za-z0-9]{20}", fullmatch=True),
    st.from_regex(r"eyJ[A-Za-z0-9_\-]{10,20}\.[A-Za-z0-9_\-]{10,20}\.[A-Za-z0-9_\-]{10,20}", fullmatch=True),
)
PLAIN = st.from_regex(r"[A-Za-z0-9]{12,40}", fullmatch=True)
NAMED = st.sampled_from(
    [
        "api_key={}",
        "api-key: {}",
        "apikey='{}'",
        '{{"api_key": "{}"}}',
        "{{'x-api-key': '{}'}}",
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        "'Authorization': 'Bearer {}'",
        "bearer {}",
        "password={}&user=a",
        "client_secret: {}",
        "LITELLM_MASTER_KEY={}",
        "LITELLM_SALT_KEY = {}",
        "aws_secret_access_key={}",
        "access_token={}",
        "postgresql://user:{}@db:5432/x",
        "redis://:{}@cache:6379",
        "GET https://host/v1/models?key={} failed",
        'headers={{"Cookie": "{}"}}',
        '{{\\"api_key\\": \\"{}\\"}}',
    ]
)
AROUND = st.sampled_from(["{}", "failed: {}", "({})", "a {} b", "url?x={}", '"{}"', "before,{};after", "é{}ü"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.one_of(SECRETS, st.tuples(NAMED, PLAIN).map(lambda pair: pair)),
    around=AROUND,
    place=st.sampled_from(["message", "argument", "exception", "field"]),
)
def test_no_credential_is_ever_written(
    secret: str | tuple[str, str],
    around: str,
    place: str,
    logger: logging.Logger,
    handler: LineHandler,
    out: io.StringIO,
) -> None:
    """Keys, tokens and passwords do not reach the stream, wherever in a record they stand."""
    value, text = (secret, secret) if isinstance(secret, str) else (secret[1], secret[0].format(secret[1]))
    said = around.replace("{}", text)
    match place:
        case "message":
            logger.info(said.replace("%", "%%"))
        case "argument":
            logger.info("%s", said)
        case "field":
            logger.info("x", extra={"routeiq": {"model": said, "strategy": text}})
        case _:
            try:
                raise RuntimeError(said)
            except RuntimeError:
                logger.exception("it failed")
    handler.flush()
    written = out.getvalue()
    out.truncate(0)
    out.seek(0)
    assert written
    assert value not in written
    assert value not in json.loads(written)["message"]


def test_ordinary_words_are_left_alone(logger: logging.Logger, lines: Lines) -> None:
    """Counts of tokens, names of models and identifiers are not taken for credentials."""
    said = "model gpt-4o: prompt_tokens=12, max_tokens: 100, keys: 3, request_id=req_1, task-runner, monkey=1"
    logger.info(said)
    assert lines()[0]["message"] == said


class Slow(io.StringIO):
    """A stream whose reader has stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def write(self, text: str) -> int:
        self.open.wait(30)
        return super().write(text)


def test_a_stalled_reader_holds_up_nobody_and_is_told_of() -> None:
    """Beyond the bound lines are lost and counted, the caller goes on, and the loss is told when there is a reader."""
    stream = Slow()
    handler = LineHandler(stream, limit=100)
    for number in range(1_000):
        handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "line %d", (number,), None))
    kept = 100 + TOGETHER  # those that wait, and those that the thread holds already
    assert handler.dropped >= 1_000 - kept
    stream.open.set()
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "line %d", (0,), None))
    handler.close()
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(written) >= 100
    assert any(line["message"].startswith("log lines were lost") and line["lost"] >= 1_000 - kept for line in written)


def test_a_closed_stream_is_survived() -> None:
    """A stream that went away is counted, not raised."""
    stream = io.StringIO()
    handler = LineHandler(stream)
    stream.close()
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "line", (), None))
    handler.flush()
    assert handler.dropped == 1
    handler.close()


def test_other_libraries_loggers_are_taken_over_and_given_back(out: io.StringIO) -> None:
    """Loggers that bring their own handlers write JSON lines too, once each and at their own levels, until put back."""
    theirs = io.StringIO()
    litellm, own = logging.getLogger("LiteLLM Proxy"), logging.StreamHandler(theirs)
    before = (litellm.handlers[:], litellm.propagate)
    root_before = logging.getLogger().handlers[:]
    litellm.handlers[:] = [own]
    litellm.propagate = False
    taken = JsonLogging(LineHandler(out), logging.INFO)
    taken.start()
    taken.adopt()
    litellm.warning("hello from the proxy")
    logging.getLogger("uvicorn.error").warning("slow to start")
    logging.getLogger("httpx").info("a call")
    logging.getLogger("routeiq.wiring").info("our own")
    taken.stop()
    assert litellm.handlers == [own]
    assert litellm.propagate is False
    assert logging.getLogger().handlers == root_before
    litellm.handlers[:], litellm.propagate = before
    written = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["logger"], line["message"]) for line in written] == [
        ("LiteLLM Proxy", "hello from the proxy"),
        ("uvicorn.error", "slow to start"),
        ("routeiq.wiring", "our own"),
    ]
    assert theirs.getvalue() == ""


def test_what_is_printed_becomes_lines(logger: logging.Logger, lines: Lines) -> None:
    """Prints of a library are logged line by line, blank lines left out."""
    with redirect_stdout(PrintedLines(logger)):
        print("LiteLLM: Proxy initialized\n\n  small", "large")
        print("no end", end="")
        print(" yet")
    assert [line["message"] for line in lines()] == ["LiteLLM: Proxy initialized", "small large", "no end yet"]


def test_lines_are_not_made_of_lines() -> None:
    """A handler on a stream that logs what it is given would never come to an end, and is refused."""
    with pytest.raises(ValueError, match="for ever"):
        LineHandler(PrintedLines())


def test_everything_on_standard_output_is_json() -> None:
    """A process that logs, prints and ends leaves nothing but JSON objects on its standard output, all of it."""
    program = """
import logging, sys
from contextlib import redirect_stdout
from routeiq.adapters.logs import JsonLogging, LineHandler, PrintedLines
taken = JsonLogging(LineHandler(sys.stdout))
taken.start()
with redirect_stdout(PrintedLines()):
    print("printed")
    for number in range(500):
        logging.getLogger("routeiq.test").info("line %d", number)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    written = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in written] == ["printed", *(f"line {n}" for n in range(500))]
    assert len({line["worker_id"] for line in written}) == 1
    assert done.stderr == ""
