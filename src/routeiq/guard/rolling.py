"""A rolling restart of all replicas: one at a time, led by whichever worker has the lock, whoever that is by then.

Owns the document of a restart, its steps, and who takes them. Workers are themselves replaced on the way, so nothing of
it is in one worker's memory: the document is in shared state, every change to it is made on the version that was read,
and a leader whose lock has passed on has a lower fencing token than the document. Replacing the workers of one replica
is its supervisor's business.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from routeiq.core.errors import RestartRefused, StateUnavailable
from routeiq.core.ports import Clock
from routeiq.core.shared import SharedState
from routeiq.guard.agreement import DRAINING
from routeiq.guard.mirror import Mirror
from routeiq.guard.tasks import end

AREA: Final = "config"
KEY: Final = "restart"
LOCK: Final = "restart"

LEASE_S: Final = 10.0
TURN_S: Final = 1.0
"""How long a leader may be silent before another takes over, and how often each worker looks at a restart."""

GONE_S: Final = 20.0
"""How long nothing may be heard of a replica before it counts as gone; longer than a worker's word of itself lasts."""

ANSWER_S: Final = 10.0
"""How long the supervisor may take to say that it has begun."""

PATIENCE_S: Final = 900.0
"""How long a replica may take for its next worker before the restart is given up."""

UNDER_WAY: Final = "under way"
DONE: Final = "done"
FAILED: Final = "failed"
WAITING: Final = "waiting"
REPLACING: Final = "replacing"
GONE: Final = "gone"
REFUSED: Final = "refused"

Document = dict[str, Any]


class News(Protocol):
    """What the supervisor of a replica says of a replacement."""

    @property
    def order(self) -> str:
        """The id of the restart that it belongs to."""
        ...

    @property
    def state(self) -> str:
        """`replacing`, `done`, `failed` or `refused`."""
        ...

    @property
    def replaced(self) -> int:
        """How many workers have been replaced."""
        ...

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def why(self) -> str | None:
        """Why it failed or was refused."""
        ...


class Supervisor(Protocol):
    """The supervisor of this worker's replica."""

    @property
    def latest(self) -> News | None:
        """What was said last of a replacement that was begun."""
        ...

    def replace(self, order: str) -> None:
        """Ask for a replacement; asking again for the same one does nothing."""
        ...

    def news(self, order: str) -> News | None:
        """Return what was said last of a replacement."""
        ...

    def on_news(self, call: Callable[[], None]) -> None:
        """Have `call` called when there is news."""
        ...


def ordered(order: str, replicas: Sequence[str], by: str, at: float) -> Document:
    """Return the document of a restart that begins; `at` is for people to read."""
    rows = [{"replica": name, "state": WAITING, "replaced": 0, "count": 0, "why": None} for name in replicas]
    return {"id": order, "state": UNDER_WAY, "why": None, "by": by, "at": at, "fence": 0, "replicas": rows}


def of_one(replica: str, news: News) -> Document:
    """Return the document of a restart that only this replica knows of."""
    row = {"replica": replica, "state": news.state, "replaced": news.replaced, "count": news.count, "why": news.why}
    state = UNDER_WAY if news.state == REPLACING else news.state
    return {
        **ordered(news.order, (), "", 0.0),
        "by": None,
        "at": None,
        "state": state,
        "why": news.why,
        "replicas": [row],
    }


def noted(document: Document, replica: str, news: News) -> Document:
    """Return the document with what a replica's supervisor says; only of a replica whose turn it is."""
    state = FAILED if news.state == REFUSED else news.state
    told = {"state": state, "replaced": news.replaced, "count": news.count, "why": news.why}
    rows = [
        {**row, **told} if row["replica"] == replica and row["state"] == REPLACING else row
        for row in document["replicas"]
    ]
    return {**document, "replicas": rows}


def advanced(document: Document, gone: Collection[str], stuck: bool) -> Document:
    """Return the document after the next step: the end, or the next replica's turn, or as it was.

    The first failure is the end: a configuration that one replica cannot start with must not reach the next. A replica
    that is gone before its turn has nothing left to restart.
    """
    if document["state"] != UNDER_WAY:
        return document
    rows = [
        {**row, "state": GONE} if row["state"] == WAITING and row["replica"] in gone else row
        for row in document["replicas"]
    ]
    document = {**document, "replicas": rows}
    for row in rows:
        if row["state"] == FAILED:
            return {**document, "state": FAILED, "why": f"{row['replica']}: {row['why']}"}
        if row["state"] == REPLACING and (row["replica"] in gone or stuck):
            why = "it is gone" if row["replica"] in gone else f"no worker was replaced for {PATIENCE_S:g} s"
            failed = [{**one, "state": FAILED, "why": why} if one is row else one for one in rows]
            return {**document, "replicas": failed, "state": FAILED, "why": f"{row['replica']}: {why}"}
        if row["state"] == REPLACING:
            return document
    following = next((row for row in rows if row["state"] == WAITING), None)
    if following is None:
        return {**document, "state": DONE}
    return {**document, "replicas": [{**row, "state": REPLACING} if row is following else row for row in rows]}


@dataclass(slots=True)
class RollingRestart:
    """One worker's part. `workers` is what all workers say of themselves; `supervisor` is None in a single process.

    `everywhere` says that shared state is shared; else a restart is one of this replica only.
    """

    state: SharedState
    mirror: Mirror
    clock: Clock
    worker: str
    replica: Callable[[], str]
    workers: Callable[[], Sequence[Mapping[str, Any]]]
    supervisor: Supervisor | None
    everywhere: bool
    failed: Callable[[str, BaseException], None]
    _task: "asyncio.Task[None] | None" = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _heard_of: dict[str, float] = field(default_factory=dict)
    _last: tuple[str, float] = ("", 0.0)
    _asked: str = ""

    def start(self) -> None:
        """Take part from now on."""
        self.mirror.on_change(AREA, lambda _: self._wake.set())
        if self.supervisor is not None:
            self.supervisor.on_news(self._wake.set)
        self._task = asyncio.create_task(self._run(), name="routeiq-restart")

    async def close(self) -> None:
        """Leave the lead to another; may be called again."""
        task, self._task = self._task, None
        await end(task)
        if task is not None and self.everywhere:
            with suppress(StateUnavailable):
                await self.state.unlock(LOCK, self.worker)

    async def order(self, by: str) -> Document:
        """Begin a restart; raises RestartRefused when it cannot begin, StateUnavailable when nobody can be told."""
        supervisor = self._check()
        order = uuid.uuid4().hex[:12]
        if not self.everywhere:
            return await self._order_here(supervisor, order)
        replicas = sorted({str(one["replica"]) for one in self._staying()})
        begun = ordered(order, replicas, by, self.clock.now())
        found = await self.state.get(AREA, KEY)
        self._refuse_second(None if found is None else json.loads(found.value))
        value = json.dumps(begun).encode()
        if await self.state.put(AREA, KEY, value, expect=0 if found is None else found.version) is None:
            raise RestartRefused("another restart was ordered at the same moment; GET /routeiq/restart shows it")
        await self.mirror.refresh(AREA)
        self._wake.set()
        return begun

    def progress(self) -> Document | None:
        """Return the document of the latest restart, None when there was none."""
        if not self.everywhere:
            latest = None if self.supervisor is None else self.supervisor.latest
            return None if latest is None else of_one(self.replica(), latest)
        value = self.mirror.get(AREA, KEY)
        return None if value is None else json.loads(value)

    async def _order_here(self, supervisor: Supervisor, order: str) -> Document:
        """Have the workers of this replica replaced, when it is the only one that is known."""
        self._refuse_second(self.progress())
        supervisor.replace(order)
        until = self.clock.monotonic() + ANSWER_S
        while (news := supervisor.news(order)) is None:
            if self.clock.monotonic() >= until:
                raise StateUnavailable("the supervisor of this gateway does not answer; try again")
            await asyncio.sleep(0.02)
        if news.state == REFUSED:
            raise RestartRefused(f"{news.why}; GET /routeiq/restart shows it")
        return of_one(self.replica(), news)

    def _check(self) -> Supervisor:
        """Return the supervisor; refuse where a worker is not one of several under one."""
        single = {str(one["replica"]) for one in self._staying() if not one.get("supervised")}
        if self.supervisor is None:
            raise RestartRefused(
                "this gateway is a single process, which cannot be replaced while it serves; run `routeiq serve "
                "--workers 2` or more, or restart it by what started it"
            )
        if single:
            raise RestartRefused(
                f"{', '.join(sorted(single))}: a single process, which cannot be replaced while it serves; run "
                "`routeiq serve --workers 2` or more there, or restart each by what started it"
            )
        return self.supervisor

    def _staying(self) -> list[Mapping[str, Any]]:
        """Return the workers that are not about to end anyway."""
        return [one for one in self.workers() if one.get("state") != DRAINING]

    @staticmethod
    def _refuse_second(document: Document | None) -> None:
        if document is not None and document["state"] == UNDER_WAY:
            raise RestartRefused(f"restart {document['id']} is under way; GET /routeiq/restart shows it")

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._turn()
            except StateUnavailable:
                continue  # what is under way goes on by itself; the next turn may find the state again
            except Exception as error:  # noqa: BLE001 - a background loop must outlive whatever one turn meets
                self.failed("restart", error)

    async def _turn(self) -> None:
        document = self.progress()
        if not self.everywhere or document is None or document["state"] != UNDER_WAY:
            self._heard_of.clear()
            return
        await self._obey(document)
        token = await self.state.lock(LOCK, self.worker, lease_s=LEASE_S)
        if token is not None:
            await self._lead(token)

    async def _obey(self, document: Document) -> None:
        """Have this replica's workers replaced when it is its turn, and write down how that goes."""
        replica, order = self.replica(), str(document["id"])
        turn = any(row["replica"] == replica and row["state"] == REPLACING for row in document["replicas"])
        if not turn or self.supervisor is None:
            return
        news = self.supervisor.news(order)
        if news is None:
            if self._asked != order:
                self.supervisor.replace(order)
                self._asked = order
        else:
            await self._change(lambda found: noted(found, replica, news) if found["id"] == order else found)

    async def _lead(self, token: int) -> None:
        """Take the next step, unless somebody with a later lock has taken one."""
        gone = self._gone()

        def step(found: Document) -> Document:
            if found["fence"] > token:
                return found
            after = advanced(found, gone, self._stuck(found))
            return {**after, "fence": token} if after != found else found

        after = await self._change(step)
        if after is None or after["state"] != UNDER_WAY:
            await self.state.unlock(LOCK, self.worker)

    async def _change(self, change: Callable[[Document], Document]) -> Document | None:
        """Write what becomes of the document as it is now; return it. Whoever was faster is read and heeded."""
        while True:
            found = await self.state.get(AREA, KEY)
            if found is None:
                return None
            before = json.loads(found.value)
            after = change(before)
            if after == before:
                return after
            if await self.state.put(AREA, KEY, json.dumps(after).encode(), expect=found.version) is not None:
                await self.mirror.refresh(AREA)
                self._wake.set()
                return after

    def _gone(self) -> frozenset[str]:
        """Return the replicas that this leader has not heard of for a while, counted from its own first look."""
        now, document = self.clock.monotonic(), self.progress()
        present = {str(one["replica"]) for one in self.workers()}
        names = {str(row["replica"]) for row in document["replicas"]} if document is not None else set()
        for name in names:
            if name in present or name not in self._heard_of:
                self._heard_of[name] = now
        return frozenset(name for name in names if now - self._heard_of[name] > GONE_S)

    def _stuck(self, document: Document) -> bool:
        """Return whether nothing has changed for too long, by this leader's own clock."""
        text, now = json.dumps(document, sort_keys=True), self.clock.monotonic()
        if text != self._last[0]:
            self._last = text, now
        return now - self._last[1] > PATIENCE_S
