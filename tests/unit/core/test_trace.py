"""Trace context: what is read, what is refused, what is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeiq.core.trace import (
    TraceContext,
    new_trace,
    parse_b3,
    parse_multiple_b3,
    parse_traceparent,
    parse_tracestate,
    trace_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits).filter(lambda text: set(text) != {"0"})


contexts = st.builds(TraceContext, trace_id=ids(32), span_id=ids(16), sampled=st.booleans())


@given(contexts)
def test_traceparent_round_trip(context: TraceContext) -> None:
    """What is written as `traceparent` is read back as the same context."""
    assert parse_traceparent(context.traceparent()) == context


@given(contexts)
def test_b3_round_trip(context: TraceContext) -> None:
    """Single and multiple B3 headers give back the ids and the sampling decision they were written from."""
    single = parse_b3(context.single_b3())
    several = parse_multiple_b3(
        {
            "x-b3-traceid": context.trace_id.upper(),
            "x-b3-spanid": context.span_id,
            "x-b3-sampled": "1" if context.sampled else "0",
        }
    )
    assert single == several == TraceContext(context.trace_id, context.span_id, context.sampled, b3=True)


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-sampled"]), st.text()))
def test_any_header_text_gives_a_valid_context(headers: dict[str, str]) -> None:
    """Whatever a caller sends, the context that goes on is valid."""
    context = trace_of(headers)
    again = parse_traceparent(context.traceparent(), context.state)
    assert again is not None
    assert (again.trace_id, again.span_id, again.state) == (context.trace_id, context.span_id, context.state)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    ],
)
def test_invalid_traceparent_is_refused(text: str) -> None:
    """A `traceparent` that the standard calls invalid is as good as none."""
    assert parse_traceparent(text) is None


def test_future_version_is_read_by_its_first_four_fields() -> None:
    """A `traceparent` of a later version may have more fields, which are ignored."""
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-03-what-is-this") == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a=1,b=2", "a=1,b=2"),
        (" a=1 ,, b=2", "a=1,b=2"),
        ("vendor@tenant=x", "vendor@tenant=x"),
        ("a=1,a=2", None),
        ("a=1,B=2", None),
        ("a", None),
        ("", None),
        (",".join(f"k{i}=v" for i in range(33)), None),
        ("a=" + "x" * 5000, None),
    ],
)
def test_tracestate_is_kept_whole_or_not_at_all(text: str, kept: str | None) -> None:
    """A valid `tracestate` is kept without empty members; one bad member spoils all of it."""
    assert parse_tracestate(text) == kept


def test_w3c_goes_before_b3() -> None:
    """When a caller sends both forms, the standard one counts."""
    found = trace_of({"traceparent": f"00-{TRACE}-{SPAN}-00", "b3": f"{'a' * 32}-{'b' * 16}-1"})
    assert found == TraceContext(TRACE, SPAN, sampled=False)


def test_short_b3_trace_id_is_widened() -> None:
    """A 64-bit B3 trace id becomes a 128-bit one with zeros in front."""
    found = trace_of({"b3": f"{'a' * 16}-{'b' * 16}-d-{'c' * 16}"})
    assert found == TraceContext("0" * 16 + "a" * 16, "b" * 16, sampled=True, b3=True)


@pytest.mark.parametrize("headers", [{"b3": "0"}, {"x-b3-sampled": "0"}, {"x-b3-sampled": "false"}])
def test_b3_may_forbid_sampling_without_naming_a_trace(headers: dict[str, str]) -> None:
    """A caller that only says "do not sample" gets a new trace that is not sampled."""
    found = trace_of(headers)
    assert (found.sampled, found.b3) == (False, True)


def test_new_traces_are_sampled_by_the_ratio() -> None:
    """A ratio of 0 samples nothing, 1 everything, and one half about half."""
    assert not any(new_trace(0.0).sampled for _ in range(100))
    assert all(new_trace(1.0).sampled for _ in range(100))
    assert 300 < sum(new_trace(0.5).sampled for _ in range(1000)) < 700
