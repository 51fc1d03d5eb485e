"""PostgreSQL that dies, freezes, comes back, and changes its password, under a steady load on two replicas."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from routeiq.testing.load import Fate
from tests.chaos.replica import MASTER_KEY, Replica
from tests.chaos.topology import Topology, aside, lost, running, steady
from tests.servers import nginx
from tests.servers.postgres import Postgres, running_postgres

pytestmark = pytest.mark.integration

LIMIT_S = 90.0
RATE = 3.0
"""Requests per second of each team: what happens to the log is looked at here, not what a busy machine refuses."""

SETTINGS = {"outcome_log": {"kind": "postgres"}, "limits": {}}
OPTIONS = "?options=-c%20role%3Downers"
FIRST, SECOND = "first-7Gq2xV", "second-9Tb4mK"
GONE, BACK = "database does not answer", "database answers again"


class Scene:
    """The replicas, their database, and the file in which they find where it is."""

    def __init__(self, topology: Topology, server: Postgres, secret: Path) -> None:
        self.topology, self.server, self.secret = topology, server, secret

    @property
    def replicas(self) -> list[Replica]:
        """Both."""
        return self.topology.replicas

    def checks(self) -> set[str]:
        """What the replicas say of the database."""
        return {replica.ask("GET", "/_health/ready")["checks"]["database"] for replica in self.replicas}

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait for something, and return the seconds that took."""
        begun = time.monotonic()
        while not await aside(condition):
            assert time.monotonic() - begun < LIMIT_S, "waited too long"
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    def counts(self) -> tuple[int, int]:
        """Decisions and outcomes in the database."""
        found = self.server.run("SELECT (SELECT COUNT(*) FROM routeiq.decisions), COUNT(*) FROM routeiq.outcomes")
        return int(found[0][0]), int(found[0][1])

    def users(self) -> set[str]:
        """Who is connected for the log."""
        return {
            row[0] for row in self.server.run("SELECT usename FROM pg_stat_activity WHERE application_name = 'routeiq'")
        }

    def said(self, words: str) -> list[int]:
        """How often each replica has said something."""
        return [replica.said().count(words) for replica in self.replicas]


@pytest.fixture(scope="module")
def running_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two replicas behind nginx whose outcome log is in PostgreSQL."""
    reason = nginx.missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("database")
    with running_postgres() as server:
        server.run("CREATE ROLE owners NOLOGIN")
        server.run("GRANT CREATE ON DATABASE postgres TO owners")
        secret = folder / "url"
        secret.write_text(server.role("gateway_a", FIRST) + OPTIONS)
        secret.chmod(0o600)
        server.run("GRANT owners TO gateway_a")
        env = {"ROUTEIQ_DATABASE_URL_FILE": str(secret), "ROUTEIQ_SECRETS_INTERVAL": "0.5"}
        with running(folder, env=env, settings=SETTINGS) as topology:
            yield Scene(topology, server, secret)


@pytest.fixture
async def scene(running_scene: Scene) -> Scene:
    """The same, calm, with everything written."""
    running_scene.topology.calm()
    await running_scene.until(lambda: running_scene.checks() == {"ok"})
    await asyncio.sleep(1.0)
    return running_scene


def latest(replica: Replica) -> str:
    """The decision that a replica logged last."""
    lines = (json.loads(line) for line in reversed(replica.said().splitlines()) if line.startswith("{"))
    return next(str(line["decision_id"]) for line in lines if line.get("decision_id"))


def degraded(replica: Replica) -> tuple[str | None, bool]:
    """What the header of an answer names, and whether the metrics have counted it."""
    message = {"role": "user", "content": "good evening"}
    body = json.dumps({"model": "auto", "messages": [message]}).encode()
    headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"}
    with urlopen(Request(f"{replica.url}/v1/chat/completions", body, headers), timeout=60) as answer:
        named = answer.headers["x-routeiq-degraded"]
    with urlopen(Request(f"{replica.url}/metrics", headers=headers), timeout=60) as answer:
        text = answer.read().decode()
    counted = re.search(r'routeiq_dependency_changes_total\{[^}]*dependency="database"[^}]*state="degraded"', text)
    return named, counted is not None


async def told_by(replica: Replica) -> int:
    """Ask until header and metrics say that the database is away, and return how many requests that took."""
    begun, asked = time.monotonic(), 0
    while True:
        asked += 1
        found = await aside(degraded, replica)
        if found == ("store_unavailable", True):
            return asked
        assert time.monotonic() - begun < LIMIT_S, found


def judged(replica: Replica) -> int:
    """The status that a judgement of the decision that a replica logged last is answered with in the end."""
    decided, begun = latest(replica), time.monotonic()
    while True:
        try:
            replica.ask("POST", "/routeiq/feedback", {"decision_id": decided, "score": 1.0})
        except HTTPError as error:
            with error:
                # Another worker may have it in hand still.
                if error.code != 503 or time.monotonic() - begun > LIMIT_S:
                    return error.code
            time.sleep(0.1)
        else:
            return 200


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        pytest.param(Postgres.kill, Postgres.start, id="killed"),
        pytest.param(Postgres.freeze, Postgres.thaw, id="frozen"),
    ],
)
async def test_requests_do_without_the_database(
    scene: Scene,
    stretch: float,
    counted: Callable[..., None],
    break_it: Callable[[Postgres], None],
    mend_it: Callable[[Postgres], None],
) -> None:
    """With PostgreSQL dead or frozen requests go on and feedback is taken; afterwards each outcome is there once."""
    before, gone_before, back_before = scene.counts(), scene.said(GONE), scene.said(BACK)
    judgements = scene.server.run("SELECT COUNT(*) FROM routeiq.feedback")[0][0]
    load = steady(scene.topology, 300.0, RATE)
    await asyncio.sleep(2.0)
    await aside(break_it, scene.server)
    noticed = await scene.until(lambda: scene.checks() == {"store_unavailable"})
    await asyncio.sleep(3.0 * stretch)
    answers = [await aside(judged, replica) for replica in scene.replicas]
    asked = [await told_by(replica) for replica in scene.replicas]
    await aside(mend_it, scene.server)
    back = await scene.until(lambda: scene.checks() == {"ok"})
    await asyncio.sleep(1.0)
    report = await load.stop()
    sent = len(report) + sum(asked)
    wanted = before[0] + sent, before[1] + sent
    counted(**lost(report), noticed_s=round(noticed, 1), back_s=round(back, 1), feedback=answers)
    assert report.count(Fate.OK) == len(report), report.text()
    await scene.until(lambda: scene.counts() == wanted)
    assert answers == [200, 200]
    # Each replica explains what the other decided.
    decided = [latest(replica) for replica in scene.replicas]
    for replica, other in zip(scene.replicas, reversed(decided), strict=True):
        assert (await aside(replica.ask, "GET", f"/routeiq/decisions/{other}"))["id"] == other
    assert scene.server.run("SELECT COUNT(*) FROM routeiq.feedback")[0][0] >= judgements + 2

    def told() -> bool:
        """Whether every worker that said that it went, of which each replica has one at least, said that it is back."""
        gone = [now - then for now, then in zip(scene.said(GONE), gone_before, strict=True)]
        return min(gone) >= 1 and gone == [n - m for n, m in zip(scene.said(BACK), back_before, strict=True)]

    await scene.until(told)


async def test_a_password_is_rotated_in_five_steps(scene: Scene, stretch: float, counted: Callable[..., None]) -> None:
    """A new user, the switch, the check, the end of the old one's rights and of the old one cost nothing under load."""
    before = scene.counts()
    load = steady(scene.topology, 300.0, RATE)
    await asyncio.sleep(1.0)
    server = scene.server
    url = await aside(server.role, "gateway_b", SECOND)
    server.run("GRANT owners TO gateway_b")
    scene.secret.write_text(url + OPTIONS)
    switched = await scene.until(lambda: scene.users() == {"gateway_b"})
    server.run("ALTER ROLE gateway_a NOLOGIN")
    server.run("REVOKE owners FROM gateway_a")
    server.run("DROP OWNED BY gateway_a")
    server.run("DROP ROLE gateway_a")
    await asyncio.sleep(2.0 * stretch)
    report = await load.stop()
    wanted = before[0] + len(report), before[1] + len(report)
    counted(**lost(report), switched_s=round(switched, 1))
    assert report.count(Fate.OK) == len(report), report.text()
    await scene.until(lambda: scene.counts() == wanted)
    assert not any(secret in replica.said() for secret in (FIRST, SECOND) for replica in scene.replicas)
