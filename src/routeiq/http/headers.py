"""Headers on their way in and out: ids, trace context, and the names that only RouteIQ may use.

Owns what a request may bring through the edge and what an answer carries back. It never looks at a body.
"""

import re
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from routeiq.core.headers import ACCEPTED, DECISION_ID, DEGRADED, PREFIX, decision_headers
from routeiq.core.trace import TRACE_HEADERS, TraceContext, trace_of
from routeiq.flow import Passage

REQUEST_ID = "x-request-id"
TRACE_ID = "x-trace-id"
CALL_ID = "x-litellm-call-id"
"""LiteLLM names a call by this request header when it is present; `flow` keeps a passage under that id."""

Pairs = list[tuple[bytes, bytes]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_PREFIX = PREFIX.encode()
_ACCEPTED = frozenset(name.encode() for name in ACCEPTED)
_TRACE = frozenset(name.encode() for name in TRACE_HEADERS)
_REPLACED_IN = frozenset({REQUEST_ID.encode(), CALL_ID.encode()}) | _TRACE
_REPLACED_OUT = frozenset({REQUEST_ID.encode(), TRACE_ID.encode(), b"traceparent", b"b3"})
_DECISION_ID = DECISION_ID.encode()
_DEGRADED = DEGRADED.encode()
_NGINX = b"x-accel-"
"""Orders to nginx: a provider whose headers LiteLLM passes through must not give any, except this one."""
_UNBUFFERED = (b"x-accel-buffering", b"no")
"""LiteLLM's own order for streams: without it an nginx with its usual settings holds pieces back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it goes on inside: its ids, its place in a trace, and the headers it goes on with."""

    request_id: str
    call_id: str
    trace: TraceContext
    headers: Pairs


def arrive(headers: Iterable[tuple[bytes, bytes]], sample_ratio: float = 1.0) -> Arrival:
    """Return what is known of a request from its headers alone.

    The caller's request id is kept when it is 1 to 128 letters, digits and `._:-`. The call id is always new: ids of
    LiteLLM's calls are keys of ours, so a client must not choose them. Headers with our prefix that clients may not
    send are left out. A new trace is sampled with `sample_ratio`.
    """
    kept: Pairs = []
    trace_headers: dict[str, str] = {}
    request_id = ""
    for pair in headers:
        name = pair[0].lower()
        if name in _REPLACED_IN:
            if name in _TRACE:
                text, value = name.decode(), pair[1].decode("latin-1")
                trace_headers[text] = f"{trace_headers[text]},{value}" if text in trace_headers else value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(pair[1]):
                request_id = pair[1].decode()
        elif not name.startswith(_PREFIX) or name in _ACCEPTED:
            kept.append(pair)
    request_id = request_id or "req_" + secrets.token_hex(12)
    call_id = str(uuid.uuid4())
    trace = trace_of(trace_headers, sample_ratio)
    kept += [(b"x-request-id", request_id.encode()), (b"x-litellm-call-id", call_id.encode()), *_trace_pairs(trace)]
    if trace.state is not None:
        kept.append((b"tracestate", trace.state.encode()))
    return Arrival(request_id, call_id, trace, kept)


def depart(headers: Iterable[tuple[bytes, bytes]], arrival: Arrival, passage: Passage | None) -> Pairs:
    """Return the headers of the answer to a request; `passage` is its way through the flow, if RouteIQ was asked."""
    kept: Pairs = []
    named: dict[bytes, bytes] = {}
    for pair in headers:
        name = pair[0].lower()
        if name.startswith(_PREFIX):
            named[name] = pair[1]
        elif name not in _REPLACED_OUT and (not name.startswith(_NGINX) or (name, pair[1]) == _UNBUFFERED):
            kept.append(pair)
    if passage is not None:
        kept += _of_decision(passage, named)
    kept += [
        (b"x-request-id", arrival.request_id.encode()),
        (b"x-trace-id", arrival.trace.trace_id.encode()),
        *_trace_pairs(arrival.trace),
    ]
    return kept


def _of_decision(passage: Passage, named: dict[bytes, bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Return the headers that name a decision, or say that there should have been one.

    `named` are those the inner application set. They stay if they name this very decision, as then the hook has set
    them; what it did not set is added.
    """
    decision = passage.decision
    if decision is None:
        return [(_DEGRADED, named[_DEGRADED])] if _DEGRADED in named else []
    served = passage.tried[-1] if passage.tried else None
    ours = {name.encode(): value.encode() for name, value in decision_headers(decision, served).items()}
    if named.get(_DECISION_ID) == ours[_DECISION_ID]:
        ours.update(named)
    return ours.items()


def _trace_pairs(trace: TraceContext) -> Pairs:
    pairs = [(b"traceparent", trace.traceparent().encode())]
    if trace.b3:
        pairs.append((b"b3", trace.single_b3().encode()))
    return pairs
