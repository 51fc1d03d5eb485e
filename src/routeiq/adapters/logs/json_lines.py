"""The form of a log line, and the thread that writes lines.

Owns the ten fields that every line has, and the taking over of other libraries' loggers. A stream that is read too
slowly holds up the thread, not a request: beyond a bound lines are lost, counted, and the loss is told in a line.
"""

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final, TextIO

from routeiq.adapters.logs.prints import PRINTED, PrintedLines
from routeiq.adapters.logs.redact import describe, redact
from routeiq.core.trace import CURRENT, TraceContext

FIELDS: Final = (
    "timestamp",
    "level",
    "service",
    "trace_id",
    "span_id",
    "message",
    "strategy",
    "model",
    "duration_ms",
    "worker_id",
)
"""What every line has, null where there is nothing to say. Lines may have more fields behind these."""

HOST_LOGGERS: Final = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router", "uvicorn", "uvicorn.access", "uvicorn.error")
"""Loggers of the host that bring handlers of their own."""

OWN_LOGGERS: Final = ("routeiq", PRINTED)
"""Loggers that get our level."""

FLUSH_S: Final = 2.0
GATHER_S: Final = 0.1
"""How long lines gather before they are written together; a warning is written at once, with all before it."""

TOGETHER: Final = 64
"""Most lines of one write."""


class LineHandler(logging.Handler):
    """Writes records as JSON lines from a thread of its own. At most `limit` records wait.

    `hide` takes what is known to be secret out of a text; what has the shape of a credential is found without it.
    Raises ValueError when the stream is one that makes log lines of what it is given.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        service: str = "routeiq-gateway",
        worker_id: str | None = None,
        limit: int = 10_000,
        hide: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        if isinstance(stream, PrintedLines):
            raise ValueError(
                "lines would be made of lines for ever: hand in the stream that was there before PrintedLines"
            )
        self._stream = stream
        self._service = service
        self._worker_id = worker_id or str(os.getpid())
        self._limit = limit
        self._hide = hide
        self._queue: SimpleQueue[Mapping[str, Any] | threading.Event | None] = SimpleQueue()
        self._closed = False
        self._hurry = threading.Event()
        self._refused = 0
        self._unwritten = 0
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="routeiq-log-lines", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._refused + self._unwritten

    def emit(self, record: logging.LogRecord) -> None:
        """Take what is needed of a record and hand it to the thread; arguments may change after this returns."""
        if self._queue.qsize() >= self._limit or self._closed:
            self._refused += 1
            return
        self._queue.put(self._captured(record))
        if record.levelno >= logging.WARNING:
            self._hurry.set()

    def _captured(self, record: logging.LogRecord) -> Mapping[str, Any]:
        own = getattr(record, "routeiq", None)
        fields = dict(own) if isinstance(own, Mapping) else {}
        trace: TraceContext | None = fields.pop("trace", None) or CURRENT.get()
        error = record.exc_info[1] if record.exc_info else None
        return {
            "created": record.created,
            "level": record.levelname,
            "trace": trace,
            "message": _message(record),
            "logger": record.name,
            "exception": None if error is None else describe(error),
            "fields": fields,
        }

    def _run(self) -> None:
        """Write until closed. Woken once for many lines: each hand-over between threads holds up a request."""
        closed = False
        while not closed:
            waiting = [self._queue.get()]
            if self._queue.qsize() < TOGETHER:
                self._hurry.wait(GATHER_S)
                self._hurry.clear()
            while len(waiting) < TOGETHER and not self._queue.empty():
                waiting.append(self._queue.get())
            closed = None in waiting
            self._write([line for item in waiting if isinstance(item, Mapping) for line in self._lines(item)])
            for passed in waiting:
                if isinstance(passed, threading.Event):
                    passed.set()

    def _lines(self, item: Mapping[str, Any]) -> Iterator[str]:
        """Yield the line of a record, and one about lines that were lost since the last that told of it."""
        yield self._line(item)
        if self._refused > self._told:
            self._told = self._refused
            yield self._line(_loss(self._told, item))

    def _write(self, lines: list[str]) -> None:
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):
            # The reader is gone, or the stream was closed: there is nobody left to tell but the counter.
            self._unwritten += len(lines)

    def _line(self, item: Mapping[str, Any]) -> str:
        """Return one line, ASCII only, so that no character in it can be taken for a line break."""
        trace: TraceContext | None = item["trace"]
        moment = datetime.fromtimestamp(item["created"], UTC)
        fields: dict[str, Any] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": item["level"],
            "service": self._service,
            "trace_id": trace.trace_id if trace else None,
            "span_id": trace.span_id if trace else None,
            "message": redact(self._hide(item["message"])),
            "strategy": None,
            "model": None,
            "duration_ms": None,
            "worker_id": self._worker_id,
            "logger": item["logger"],
        }
        fields |= {name: _plain(value, self._hide) for name, value in item["fields"].items()}
        if item["exception"] is not None:
            fields["exception"] = item["exception"]
        return json.dumps(fields, separators=(",", ":")) + "\n"

    def flush(self) -> None:
        """Return when what was emitted before is written, or after two seconds."""
        if self._closed or threading.current_thread() is self._thread:
            return
        passed = threading.Event()
        self._queue.put(passed)
        self._hurry.set()
        passed.wait(FLUSH_S)

    def close(self) -> None:
        """Write what waits, within two seconds, and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._hurry.set()
            self._thread.join(FLUSH_S)
        super().close()


class JsonLogging:
    """Makes one handler the only one of the process's loggers, and undoes it."""

    def __init__(self, handler: LineHandler, level: int | str = logging.INFO) -> None:
        self.handler = handler
        self._level = level
        self._before: list[tuple[logging.Logger, list[logging.Handler], bool, int]] = []

    def start(self) -> None:
        """Take over the root logger, with the loggers below it that have no handlers of their own.

        Only our own loggers get the level. The host's keep theirs: LiteLLM writes three lines a request at INFO.
        """
        root = logging.getLogger()
        self._take(root)
        root.addHandler(self.handler)
        for name in OWN_LOGGERS:
            own = logging.getLogger(name)
            self._take(own)
            own.setLevel(self._level)

    def adopt(self, names: Iterable[str] = HOST_LOGGERS) -> None:
        """Take over loggers that have handlers of their own; called again after a library has set up its logging.

        One without any that does not propagate was silenced on purpose (uvicorn's access log) and stays so.
        """
        for name in names:
            logger = logging.getLogger(name)
            if logger.handlers:
                self._take(logger)
                logger.propagate = True

    def stop(self) -> None:
        """Write what waits and give every logger back as it was."""
        for logger, handlers, propagate, level in reversed(self._before):
            logger.handlers[:] = handlers
            logger.propagate = propagate
            logger.setLevel(level)
        self._before.clear()
        self.handler.close()

    def _take(self, logger: logging.Logger) -> None:
        self._before.append((logger, logger.handlers[:], logger.propagate, logger.level))
        logger.handlers.clear()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - somebody's arguments do not fit their message; the line says what it can
        return str(record.msg)


def _plain(value: object, hide: Callable[[str], str]) -> object:
    """Return a field's value as JSON has it: names may be a caller's invention, so they are looked through too."""
    if isinstance(value, str):
        return redact(hide(value))
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return type(value).__name__


def _loss(count: int, beside: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "created": beside["created"],
        "level": "WARNING",
        "trace": None,
        "message": "log lines were lost because the stream is read too slowly",
        "logger": "routeiq.logs",
        "exception": None,
        "fields": {"lost": count},
    }
