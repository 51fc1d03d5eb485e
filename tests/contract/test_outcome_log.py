"""What every outcome log promises, whatever it stores in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from routeiq.adapters.memory import MemoryOutcomeLog
from routeiq.adapters.sql.outcome_log import Pace
from routeiq.adapters.sql.postgres import PostgresOutcomeLog
from routeiq.adapters.sql.sqlite import SqliteOutcomeLog
from routeiq.core.errors import UnknownDecision
from routeiq.core.outcome import Status
from tests.servers.postgres import Postgres, running_postgres
from tests.unit.adapters.records import SALT, WallClock, a_decision, a_request, an_outcome, some_feedback

OutcomeLogs = MemoryOutcomeLog | SqliteOutcomeLog | PostgresOutcomeLog


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with running_postgres() as started:
        yield started


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OutcomeLogs]:
    """Each implementation in turn, with nothing in it."""
    opened: OutcomeLogs
    if request.param == "memory":
        opened = MemoryOutcomeLog()
    elif request.param == "sqlite":
        opened = SqliteOutcomeLog(tmp_path / "log.db", salt=SALT, clock=WallClock(), settle_s=0.1)
    else:
        server: Postgres = request.getfixturevalue("server")
        server.run("DROP SCHEMA IF EXISTS routeiq CASCADE")
        pace = Pace(settle_s=0.1, answer_s=20.0)
        opened = PostgresOutcomeLog(
            lambda: server.url, tmp_path / "spill.db", salt=SALT, clock=WallClock(), pace=pace, bound_s=15.0
        )
    yield opened
    await opened.close()


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_decision_is_given_back_as_it_was_made(log: OutcomeLogs, flushed: bool) -> None:
    """Everything a decision explains is found again, queued or written."""
    vector = np.linspace(-0.1, 0.1, 384, dtype=np.float32)
    log.record_decision(a_request(), a_decision(), vector)
    if flushed:
        await log.flush()
    found = await log.find("dec_1")
    assert found is not None
    assert found.decision == a_decision()
    assert found.caller == a_request().caller
    assert found.outcome is None
    assert found.feedback == ()
    assert (found.prompt.tokens, found.prompt.surface, found.prompt.text) == (9, a_request().surface, None)
    assert found.prompt.embedding is not None
    assert np.abs(found.prompt.embedding - vector).max() < 1e-4


@pytest.mark.parametrize("flushed", [False, True])
async def test_an_outcome_joins_its_decision(log: OutcomeLogs, flushed: bool) -> None:
    """An outcome is found with the decision it belongs to, queued or written."""
    log.record_decision(a_request(), a_decision(), None)
    log.record_outcome(an_outcome())
    if flushed:
        await log.flush()
    found = await log.find("dec_1")
    assert found is not None
    assert found.outcome == an_outcome()


async def test_only_the_first_outcome_counts(log: OutcomeLogs) -> None:
    """A second outcome of the same decision does not replace the first."""
    log.record_decision(a_request(), a_decision(), None)
    log.record_outcome(an_outcome())
    log.record_outcome(an_outcome(status=Status.FAILURE, model="model-2"))
    await log.flush()
    found = await log.find("dec_1")
    assert found is not None
    assert found.outcome == an_outcome()


async def test_an_unknown_decision_is_none(log: OutcomeLogs) -> None:
    """Looking for a decision that was never made finds nothing."""
    assert await log.find("dec_404") is None


async def test_feedback_for_an_unknown_decision_is_refused(log: OutcomeLogs) -> None:
    """Feedback on a decision that was never made is an error that names it."""
    with pytest.raises(UnknownDecision, match="dec_404"):
        await log.add_feedback(some_feedback(404))


async def test_all_feedback_is_kept_and_the_latest_of_each_source_counts(log: OutcomeLogs) -> None:
    """Every judgement is kept, oldest first; a source's later score replaces its earlier one, sources are averaged."""
    log.record_decision(a_request(), a_decision(), None)
    first = some_feedback(1, 0.0, source="judge", at=2_001.0)
    second = some_feedback(1, 1.0, source="judge", at=2_002.0)
    other = some_feedback(1, 0.5, source="user", at=2_000.0)
    for given in (first, second, other):
        await log.add_feedback(given)
    found = await log.find("dec_1")
    assert found is not None
    assert found.feedback == (other, first, second)
    assert found.effective == (other, second)
    assert found.score == pytest.approx(0.75)


async def test_a_comparison_does_not_replace_a_score(log: OutcomeLogs) -> None:
    """A source may score an answer and compare it with others; each comparison partner counts once."""
    log.record_decision(a_request(), a_decision(), None)
    score = some_feedback(1, 0.25, at=2_001.0)
    against_1 = some_feedback(1, None, other="model-1", preferred="model-0", at=2_002.0)
    changed_mind = some_feedback(1, None, other="model-1", preferred=None, at=2_003.0)
    against_2 = some_feedback(1, None, other="model-2", preferred="model-2", at=2_004.0)
    for given in (score, against_1, changed_mind, against_2):
        await log.add_feedback(given)
    found = await log.find("dec_1")
    assert found is not None
    assert found.effective == (score, changed_mind, against_2)
    assert found.score == pytest.approx(0.25)


async def test_feedback_sent_twice_is_kept_once(log: OutcomeLogs) -> None:
    """Sending the same feedback again, as after an answer that was lost, changes nothing."""
    log.record_decision(a_request(), a_decision(), None)
    given = some_feedback()
    await log.add_feedback(given)
    await log.add_feedback(replace(given, score=0.0))
    found = await log.find("dec_1")
    assert found is not None
    assert found.feedback == (given,)


async def test_what_was_judged_is_read_for_learning(log: OutcomeLogs) -> None:
    """Reading for learning gives judged decisions only, in the order they were made, and can be narrowed."""
    for number in range(6):
        alias = "auto" if number % 2 else "cheap"
        log.record_decision(a_request(number, alias=alias), a_decision(number, alias=alias), None)
        log.record_outcome(an_outcome(number))
    for number in (5, 4, 1):
        await log.add_feedback(some_feedback(number, number / 10))
    await log.flush()
    assert [(r.decision.id, r.score) for r in log.read_labelled()] == [("dec_1", 0.1), ("dec_4", 0.4), ("dec_5", 0.5)]
    assert [r.decision.id for r in log.read_labelled(alias="auto")] == ["dec_1", "dec_5"]
    assert [r.decision.id for r in log.read_labelled(since=1_004.0)] == ["dec_4", "dec_5"]
    assert all(r.outcome == an_outcome(int(r.decision.id[4:])) for r in log.read_labelled())


async def test_many_tasks_may_judge_at_once(log: OutcomeLogs) -> None:
    """A hundred judgements sent together are all kept."""
    for number in range(10):
        log.record_decision(a_request(number), a_decision(number), None)
    await asyncio.gather(*(log.add_feedback(some_feedback(n % 10, source=f"s{n}")) for n in range(100)))
    found = [await log.find(f"dec_{number}") for number in range(10)]
    assert [len(record.feedback) for record in found if record] == [10] * 10


async def test_closing_twice_is_harmless(log: OutcomeLogs) -> None:
    """A log may be closed more than once, and recording afterwards does not raise."""
    await log.close()
    await log.close()
    log.record_decision(a_request(), a_decision(), None)
    log.record_outcome(an_outcome())
