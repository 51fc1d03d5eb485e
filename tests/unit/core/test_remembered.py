"""Which feedback counts."""

from hypothesis import given
from hypothesis import strategies as st

from routeiq.core.outcome import Feedback
from routeiq.core.remembered import Record, effective
from tests.unit.adapters.records import a_decision

PIECES = st.lists(
    st.builds(
        Feedback,
        id=st.uuids().map(str),
        decision_id=st.just("dec_1"),
        at=st.floats(0, 100),
        source=st.sampled_from("abc"),
        score=st.floats(0, 1),
        other=st.none() | st.sampled_from(["m1", "m2"]),
    ),
    max_size=12,
).map(lambda found: tuple(sorted(found, key=lambda piece: piece.at)))


@given(PIECES)
def test_one_of_each_source_and_partner_counts(pieces: tuple[Feedback, ...]) -> None:
    """What counts has one piece for each source and comparison partner: the last one given."""
    kept = effective(pieces)
    assert {(p.source, p.other): p for p in pieces} == {(p.source, p.other): p for p in kept}
    assert len(kept) == len({(p.source, p.other) for p in pieces})
    assert list(kept) == [p for p in pieces if p in kept]


@given(PIECES)
def test_a_score_lies_between_its_parts(pieces: tuple[Feedback, ...]) -> None:
    """The score of a record is within the scores that count, and absent when there are none."""
    record = Record(a_decision(), feedback=pieces)
    scores = [piece.score for piece in record.effective if piece.score is not None]
    if not scores:
        assert record.score is None
    else:
        assert record.score is not None
        assert min(scores) - 1e-9 <= record.score <= max(scores) + 1e-9
