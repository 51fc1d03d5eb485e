"""A disk that fills up under the outcome log, under a steady load."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
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


def feedback(replica: Replica, decision_id: str) -> int:
    """The status that a judgement is answered with."""
    try:
        replica.ask("POST", "/routeiq/feedback", {"decision_id": decision_id, "score": 1.0})
    except HTTPError as error:
        with error:
            return error.code
    return 200


async def test_a_full_disk_costs_no_request_and_no_record(
    topology: Topology, stretch: float, counted: Callable[..., None], tmp_path: Path
) -> None:
    """While the log's disk is full requests go on and feedback is refused; with space again every record is written."""
    replica = topology.replicas[1]
    load = steady(topology, 7.0 * stretch, url=replica.url)
    await asyncio.sleep(1.5)
    await aside(replica.fill_disk)
    await until(replica, healthy=False)
    await asyncio.sleep(2.0 * stretch)
    latest = json.loads(replica.said().strip().splitlines()[-1]) if replica.said() else {}
    refused = await aside(feedback, replica, latest.get("decision_id", "dec_unknown"))
    await aside(replica.free_disk)
    report = await load.finish()
    await until(replica, healthy=True, queued=0, dropped=0)
    counted(**lost(report), feedback_while_full=refused)
    assert report.count(Fate.OK) == len(report), report.text()
    assert refused == 503
    copies = [replica.keep(name, tmp_path) for name in ("outcomes.db", "outcomes.db-wal")]
    with closing(sqlite3.connect(copies[0])) as connection:
        kept = connection.execute("SELECT COUNT(*) FROM outcomes").fetchone()[0]
    assert kept >= len(report)
