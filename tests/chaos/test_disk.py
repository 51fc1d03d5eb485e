"""A disk that fills up under the outcome log, under a steady load."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from routeiq.testing.load import Fate
from tests.chaos.replica import Replica
from tests.chaos.topology import Topology, aside, lost, steady

pytestmark = pytest.mark.integration


def log_of(replica: Replica) -> dict[str, object]:
    """What a replica says of its outcome log."""
    found: dict[str, object] = replica.ask("GET", "/routeiq/status")["outcome_log"]
    return found


async def until(replica: Replica, limit_s: float = 30.0, **wanted: object) -> None:
    """Wait until a replica says so of its log."""
    deadline = time.monotonic() + limit_s
    while True:
        found = await aside(log_of, replica)
        if all(found[name] == value for name, value in wanted.items()):
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


def latest_decision(replica: Replica) -> str:
    """The id of the last decision that a replica logged."""
    lines = (json.loads(line) for line in reversed(replica.said().splitlines()) if line.startswith("{"))
    return next(line["decision_id"] for line in lines if line.get("decision_id"))


def feedback(replica: Replica, decision_id: str) -> int:
    """The status that a judgement is answered with."""
    try:
        replica.ask("POST", "/routeiq/feedback", {"decision_id": decision_id, "score": 1.0})
    except HTTPError as error:
        with error:
            return error.code
    return 200


def recorded(replica: Replica, folder: Path) -> int:
    """How many outcomes are in the file of its log."""
    copies = [replica.keep(name, folder) for name in ("outcomes.db", "outcomes.db-wal")]
    found = 0
    # The files are copied one after the other while they are in use, so a copy can be of no use.
    with closing(sqlite3.connect(copies[0])) as connection, suppress(sqlite3.DatabaseError):
        found = connection.execute("SELECT COUNT(*) FROM outcomes").fetchone()[0]
    for copy in folder.iterdir():
        copy.unlink()
    return found


async def test_a_full_disk_costs_no_request_and_no_record(
    topology: Topology, stretch: float, counted: Callable[..., None], tmp_path: Path
) -> None:
    """While the log's disk is full requests go on and feedback is refused; with space again every record is written."""
    replica = topology.replicas[1]
    load = steady(topology, 300.0, url=replica.url)
    await asyncio.sleep(1.0)
    # Written before there is no space: what only waits is known to one worker alone.
    decided = latest_decision(replica)
    await asyncio.sleep(1.0)
    await aside(replica.fill_disk)
    # The journal may have space of its own left, which has to be used up first.
    await until(replica, limit_s=90.0, healthy=False)
    await asyncio.sleep(2.0 * stretch)
    refused = await aside(feedback, replica, decided)
    await aside(replica.free_disk)
    await asyncio.sleep(2.0)
    report = await load.stop()
    counted(**lost(report), feedback_while_full=refused)
    assert report.count(Fate.OK) == len(report), report.text()
    assert refused == 503
    # Each worker tries again at a time of its own, and the status is that of whichever answers: the file has the truth.
    deadline = time.monotonic() + 60.0
    while (kept := await aside(recorded, replica, tmp_path)) < len(report):
        assert time.monotonic() < deadline, f"{kept} of {len(report)} outcomes are in the file"
        await asyncio.sleep(0.5)
