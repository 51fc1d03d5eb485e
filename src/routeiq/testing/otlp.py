"""A small OTLP/HTTP receiver: keeps the spans and metrics it is sent, so that a test can look at them.

Owns decoding of the protobuf form. It listens on a free port of the loopback interface and is no collector: nothing is
stored, forwarded or bounded.
"""

import gzip
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was sent. Ids are lower-case hexadecimal, `parent_id` is empty for a root; times in nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    scope: str


@dataclass(frozen=True, slots=True)
class ReceivedPoint:
    """A data point as it was sent: `value` of a counter or gauge, `count` and `total` of a histogram."""

    name: str
    attributes: Mapping[str, Any]
    value: float | None = None
    count: int | None = None
    total: float | None = None


@dataclass(slots=True)
class OtlpReceiver:
    """A receiver to be used in a `with` statement; `endpoint` is its address without a path."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    points: list[ReceivedPoint] = field(default_factory=list)
    requests: int = 0
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Those of each request, names in lower case."""
    _server: ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        """The address to send to, without a path."""
        if self._server is None:
            raise RuntimeError("the receiver is not running; use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "OtlpReceiver":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="otlp-receiver", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name, in the order they came in."""
        return [span for span in list(self.spans) if span.name == name]

    def wait_for(self, condition: Callable[["OtlpReceiver"], bool], timeout_s: float = 15.0) -> None:
        """Wait until a condition holds; raises TimeoutError that lists what has come in."""
        deadline = time.monotonic() + timeout_s
        while not condition(self):
            if time.monotonic() > deadline:
                names = sorted({span.name for span in self.spans} | {point.name for point in self.points})
                raise TimeoutError(f"{timeout_s:g} s have passed; came in: {', '.join(names) or 'nothing'}")
            time.sleep(0.02)

    def _take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.requests += 1
        self.headers.append({name.lower(): value for name, value in headers.items()})
        if path.endswith("/v1/traces"):
            self.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
        elif path.endswith("/v1/metrics"):
            self.points.extend(_points(ExportMetricsServiceRequest.FromString(body)))


def _handler(take: Callable[[str, Mapping[str, str], bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            take(self.path, dict(self.headers), body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    return Handler


def _spans(request: ExportTraceServiceRequest) -> list[ReceivedSpan]:
    return [
        ReceivedSpan(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            resource=_attributes(resource.resource.attributes),
            scope=scope.scope.name,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _points(request: ExportMetricsServiceRequest) -> list[ReceivedPoint]:
    found: list[ReceivedPoint] = []
    metrics = [m for resource in request.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
    for metric in metrics:
        for point in (*metric.sum.data_points, *metric.gauge.data_points):
            value = point.as_int if point.HasField("as_int") else point.as_double
            found.append(ReceivedPoint(metric.name, _attributes(point.attributes), value=float(value)))
        for spread in metric.histogram.data_points:
            attributes = _attributes(spread.attributes)
            found.append(ReceivedPoint(metric.name, attributes, count=spread.count, total=spread.sum))
    return found


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
