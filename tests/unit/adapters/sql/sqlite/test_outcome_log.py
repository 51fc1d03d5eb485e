"""What the SQLite outcome log stores, and what it does not."""

import json
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routeiq.adapters.sql.rows import QueuedDecision, RowWriter
from routeiq.adapters.sql.sqlite import SqliteOutcomeLog, read_labelled
from routeiq.core.candidate import Candidate
from routeiq.core.errors import DataError
from routeiq.core.outcome import Usage
from tests.unit.adapters.records import PROMPT, SALT, WallClock, a_decision, a_request, an_outcome, some_feedback
from tests.unit.routing.scene import decide, snapshot


def opened(path: Path, **changes: Any) -> SqliteOutcomeLog:
    return SqliteOutcomeLog(path, **{"salt": SALT, "clock": WallClock(), "settle_s": 0.05, **changes})


async def stored(path: Path, **changes: Any) -> dict[str, Any]:
    """Return the row of one decision, written through the log."""
    log = opened(path, **changes)
    log.record_decision(a_request(), a_decision(), np.ones(4, dtype=np.float32))
    await log.close()
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("SELECT * FROM decisions").fetchone())
    connection.close()
    return row


async def test_a_closed_log_is_one_file(tmp_path: Path) -> None:
    """When closing returns, SQLite's journal is in the file and gone: a process may end by a signal right after."""
    log = opened(tmp_path / "a.db")
    for number in range(400):
        log.record_decision(a_request(number), a_decision(number), np.ones(256, dtype=np.float32))
    await log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


async def test_the_text_of_a_prompt_is_not_stored(tmp_path: Path) -> None:
    """Neither the file nor its journal holds the prompt; a hash does, and it depends on the salt."""
    row = await stored(tmp_path / "a.db")
    assert row["prompt"] is None
    assert all(PROMPT.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    other = await stored(tmp_path / "b.db", salt=b"another salt of the same length!")
    assert len(row["prompt_digest"]) == 64
    assert other["prompt_digest"] != row["prompt_digest"]


async def test_the_text_is_stored_when_the_operator_says_so(tmp_path: Path) -> None:
    """With `store_prompts` the text is kept and given back."""
    log = opened(tmp_path / "a.db", store_prompts=True)
    log.record_decision(a_request(), a_decision(), None)
    queued = await log.find("dec_1")
    await log.flush()
    written = await log.find("dec_1")
    await log.close()
    assert queued is not None
    assert written is not None
    assert queued.prompt.text == written.prompt.text == PROMPT
    assert queued.prompt.digest == written.prompt.digest


async def test_a_row_can_be_read_by_other_tools(tmp_path: Path) -> None:
    """Candidates are plain JSON, the embedding 16-bit floats, and the file is in WAL mode with full synchronisation."""
    row = await stored(tmp_path / "a.db")
    assert json.loads(row["ranking"]) == ["model-0", "model-1", "model-2"]
    assert json.loads(row["candidates"])[1] == {
        "name": "model-1",
        "probability": pytest.approx(1 / 3),
        "utility": 0.49,
        "expected_score": pytest.approx(0.69),
        "expected_cost_usd": 0.002,
        "expected_latency_s": 0.4,
        "evidence": 31.5,
    }
    assert np.frombuffer(row["embedding"], dtype=np.float16).tolist() == [1.0] * 4
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    connection.close()


async def test_a_decision_of_the_router_is_stored(tmp_path: Path) -> None:
    """Explanations that are built when they are read are stored like any others, what is unknown left out."""
    pool = tuple(Candidate(f"m{i}", 1e-6 * (i + 1), 2e-6, context_window=10) for i in range(20))
    made = decide(snapshot("cheapest-capable", (*pool, Candidate("roomy", 1e-6, 2e-6, context_window=99_999))))
    log = opened(tmp_path / "a.db")
    log.record_decision(a_request(), made, None)
    await log.flush()
    found = await log.find(made.id)
    await log.close()
    assert found is not None
    assert found.decision == replace(made, candidates=tuple(made.candidates))


ODD_TEXT = st.text(st.characters(), max_size=30)
ODD_NUMBER = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ODD_TEXT, name=ODD_TEXT, number=ODD_NUMBER, whole=st.integers(), error=st.none() | ODD_TEXT)
def test_whatever_came_in_has_a_row(text: str, name: str, number: float, whole: int, error: str | None) -> None:
    """Lone surrogates, numbers that are not finite or too large: everything fits, so that no batch is held up."""
    rows = RowWriter(SALT, store_prompts=True)
    connection = sqlite3.connect(":memory:")
    request = a_request(text=text, prompt_tokens=whole)
    decision = a_decision(alias=name, score=number, at=number, propensity=number, degraded=error, ranking=(name,))
    outcome = an_outcome(usage=Usage(whole, whole), cost_usd=number, at=number, error=error, model=name)
    judged = some_feedback(score=number, at=number, source=name, other=error)
    for row in (rows.decision(QueuedDecision(request, decision, None)), rows.outcome(outcome), rows.feedback(judged)):
        marks = ",".join("?" * len(row))
        assert len(connection.execute(f"SELECT {marks}", row).fetchone()) == len(row)
    connection.close()


async def test_a_record_without_a_row_form_is_given_up_alone(tmp_path: Path) -> None:
    """One record that cannot be written is dropped and counted; those beside it are stored."""
    log = opened(tmp_path / "a.db")
    log.record_decision(a_request(1), a_decision(1), None)
    log.record_decision(a_request(2), a_decision(2), np.array(["not", "a", "vector"]))
    log.record_decision(a_request(3), a_decision(3), None)
    await log.flush()
    assert await log.find("dec_1") is not None
    assert await log.find("dec_2") is None
    assert await log.find("dec_3") is not None
    assert log.status().dropped == 1
    assert log.status().healthy
    await log.close()


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """The file and its journal are made for the gateway's user alone."""
    log = opened(tmp_path / "a.db")
    log.record_decision(a_request(), a_decision(), None)
    await log.flush()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    await log.close()
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}


async def test_many_are_written_in_few_transactions(tmp_path: Path) -> None:
    """Records are written in batches: two thousand take a handful of commits."""
    log = opened(tmp_path / "a.db")
    watcher = sqlite3.connect(tmp_path / "a.db")
    sizes = set()
    for number in range(2_000):
        log.record_decision(a_request(number), a_decision(number), None)
        if number % 50 == 0:
            sizes.add(watcher.execute("SELECT COUNT(*) FROM decisions").fetchone()[0])
    await log.flush()
    assert watcher.execute("SELECT COUNT(*) FROM decisions").fetchone()[0] == 2_000
    assert len(sizes) <= 6
    watcher.close()
    await log.close()


def test_reading_what_is_not_there_names_the_file(tmp_path: Path) -> None:
    """Reading for learning from a missing or broken file is an error that names it."""
    with pytest.raises(DataError, match=r"none\.db: there is no such file"):
        list(read_labelled(tmp_path / "none.db"))
    (tmp_path / "broken.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(DataError, match=r"broken\.db: "):
        list(read_labelled(tmp_path / "broken.db"))


async def test_reading_for_learning_pages_through_many(tmp_path: Path) -> None:
    """More judged decisions than fit in a page are all read, each once."""
    log = opened(tmp_path / "a.db")
    for number in range(1_203):
        log.record_decision(a_request(number), a_decision(number), None)
    await log.flush()
    connection = sqlite3.connect(tmp_path / "a.db")
    with connection:
        connection.execute(
            "INSERT INTO feedback (id, decision_id, at, source, score)"
            " SELECT 'f' || id, id, 1.0, 's', 0.5 FROM decisions"
        )
    connection.close()
    assert [record.decision.id for record in log.read_labelled()] == [f"dec_{n}" for n in range(1_203)]
    await log.close()
