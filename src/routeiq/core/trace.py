"""The trace that a request belongs to: read from W3C or B3 headers, written in either form, current for log lines.

Owns the syntax of the headers and the context variable. It opens no spans: those are `adapters.otel`'s, and LiteLLM's.
"""

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

TRACE_HEADERS = frozenset(
    {
        "traceparent",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
    }
)
"""Every header that carries trace context, lower case."""

MAX_TRACESTATE = 4096
"""Longest `tracestate` handed on, in characters; a longer one is dropped, as the standard allows."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_B3 = re.compile(r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?")
_MEMBER = re.compile(r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_TRACE_ID = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in a trace a request stands.

    `trace_id` is 32 and `span_id` 16 lower-case hexadecimal digits; the span is the one that encloses the request: the
    caller's, or a new one when the request came without. `state` is the caller's `tracestate`. `b3` says that the
    caller spoke B3 and is to be answered in it.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str | None = None
    b3: bool = False

    def traceparent(self) -> str:
        """Return the context as a W3C `traceparent` of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def single_b3(self) -> str:
        """Return the context as a single B3 header."""
        return f"{self.trace_id}-{self.span_id}-{'1' if self.sampled else '0'}"


CURRENT: ContextVar[TraceContext | None] = ContextVar("routeiq_trace", default=None)
"""The trace of the request that this task serves; set by the edge, read by log lines and spans."""


def trace_of(headers: Mapping[str, str], sample_ratio: float = 1.0) -> TraceContext:
    """Return the context a request came with, or a new one.

    `headers` has lower-case names; several `traceparent` headers count as none. A new trace is sampled with
    `sample_ratio`, unless the caller's B3 says otherwise.
    """
    found = carried(headers)
    if found is not None:
        return found
    wish = headers.get("b3", "").strip().lower() or _multiple_sampling(headers)
    return new_trace(sample_ratio, {"0": False, "1": True, "d": True}.get(wish), b3=bool(wish))


def carried(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the context that headers with lower-case names carry, or None.

    W3C goes before single B3, and that before multiple B3 headers.
    """
    w3c = parse_traceparent(headers.get("traceparent", ""), headers.get("tracestate"))
    return w3c or parse_b3(headers.get("b3", "").strip().lower()) or parse_multiple_b3(headers)


def new_trace(sample_ratio: float = 1.0, sampled: bool | None = None, b3: bool = False) -> TraceContext:
    """Return the context of a trace that begins here.

    Sampling follows OpenTelemetry's TraceIdRatioBased: the lower 8 bytes of the id against the ratio, so that every
    service that knows the ratio comes to the same answer.
    """
    trace_id = _nonzero(16)
    if sampled is None:
        sampled = int(trace_id[16:], 16) < round(sample_ratio * 2**64)
    return TraceContext(trace_id, _nonzero(8), sampled, b3=b3)


def parse_traceparent(text: str, state: str | None = None) -> TraceContext | None:
    """Return the context of a `traceparent` and its `tracestate`, or None when the former is not valid."""
    match = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1), parse_tracestate(state))


def parse_tracestate(text: str | None) -> str | None:
    """Return a valid `tracestate` without empty members, or None: one bad member spoils all, as the standard has it."""
    if text is None or len(text) > MAX_TRACESTATE:
        return None
    members = [member for member in (part.strip(" \t") for part in text.split(",")) if member]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match["key"] for match in found if match is not None}
    if not members or len(members) > 32 or len(keys) < len(members):
        return None
    return ",".join(members)


def parse_b3(text: str) -> TraceContext | None:
    """Return the context of a single `b3` header, 64-bit trace ids widened, or None when it carries no valid ids."""
    match = _B3.fullmatch(text)
    if match is None:
        return None
    trace_id, span_id, sampled = match.groups()
    return _from_b3(trace_id, span_id, sampled != "0")


def parse_multiple_b3(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the context of `x-b3-*` headers, or None when they carry no valid ids."""
    trace_id = headers.get("x-b3-traceid", "").strip().lower()
    span_id = headers.get("x-b3-spanid", "").strip().lower()
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    return _from_b3(trace_id, span_id, _multiple_sampling(headers) != "0")


def _from_b3(trace_id: str, span_id: str, sampled: bool) -> TraceContext | None:
    wide = trace_id.rjust(32, "0")
    if wide == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(wide, span_id, sampled, b3=True)


def _multiple_sampling(headers: Mapping[str, str]) -> str:
    """Return "0", "1", "d" (debug) or "" from the B3 headers that only say whether to sample."""
    if headers.get("x-b3-flags", "").strip() == "1":
        return "d"
    said = headers.get("x-b3-sampled", "").strip().lower()
    return {"0": "0", "false": "0", "1": "1", "true": "1"}.get(said, "")


def _nonzero(size: int) -> str:
    """Return random bytes as hexadecimal digits; all zeros would mean "no id"."""
    drawn = secrets.token_bytes(size)
    return (drawn if any(drawn) else b"\x01" * size).hex()
