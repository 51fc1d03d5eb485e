"""That all workers of all replicas come to serve the same configuration: who says what of it, who tells whom to look.

Owns what a worker announces of its configuration, the area `config` as far as looking is concerned, and the questions
to the workers of the same replica where nothing is shared. Comparing is `guard.agreement`'s, reloading is
`config.reload`'s. No clock is compared with another: a digest says what is meant, an id which order is answered.
"""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from routeiq.config.reload import Reloader, SyncStatus
from routeiq.core.errors import StateUnavailable
from routeiq.guard.agreement import DRAINING, SHOWN, agreement, totals
from routeiq.guard.tasks import Errands, end
from routeiq.http.siblings import Siblings
from routeiq.sharing import Shared

AREA: Final = "config"
SEEN: Final = "seen"
ORDER: Final = "look."
"""Key `seen`: the digest that some worker has seen last. Keys `look.WORKER`: that worker's last order to look."""

STANDING: Final = "standing"
LOOK: Final = "look"
"""Topics between the workers of a replica; `seen` is one, too."""

CATCH_UP_S: Final = 5.0
"""How long a worker that was told of a version looks for it again and again before it leaves that to polling."""

LOOK_S: Final = 20.0
"""How long whoever has all look waits for their word."""

FRESH_S: Final = 2.0
"""A worker that a signal made to reload less than this ago is not ordered to again; how often siblings are asked."""

WATCHED_S: Final = 0.5
ORDERS_KEPT: Final = 16


def _nothing() -> Mapping[str, object]:
    return {}


@dataclass(slots=True)
class Convergence:
    """One worker's part. `parts` adds to what it says of itself; `going` says that it takes no new work.

    `follows` is false where files are only looked at when somebody asks.
    """

    shared: Shared
    reloader: Reloader
    siblings: Siblings | None = None
    follows: bool = True
    supervised: bool = False
    parts: Callable[[], Mapping[str, object]] = _nothing
    going: Callable[[], bool] = lambda: False
    _errands: Errands = field(default_factory=Errands)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _looked: deque[str] = field(default_factory=lambda: deque(maxlen=ORDERS_KEPT))
    _wanted: str = ""
    _forced_at: float = float("-inf")
    _said: tuple[object, ...] = ()

    def __post_init__(self) -> None:
        self.shared.describe = self.standing

    def standing(self) -> dict[str, object]:
        """Return what this worker says of itself besides who it is."""
        status = self.reloader.status
        return {
            "worker": 0 if self.siblings is None else self.siblings.index,
            "supervised": self.supervised,
            "snapshot": status.version,
            "digest": status.digest,
            "seen": status.seen,
            "state": DRAINING if self.going() else status.state,
            "reason": status.reason,
            "since": status.since,
            "restart_needed": list(status.restart_needed),
            "looked": list(self._looked),
            **self.parts(),
        }

    def start(self) -> None:
        """Tell and hear from now on; orders of before are of no concern: this worker has just read its files."""
        self.shared.mirror.on_change(AREA, self._changed)
        self.reloader.hear(self._reported)
        if self.siblings is not None:
            self.siblings.reply(STANDING, self._answer)
            self.siblings.reply(LOOK, self._answer_look)
            self.siblings.reply(SEEN, self._answer_seen)
        self.shared.announce()
        self._tasks.append(asyncio.create_task(self._keep_watching(), name="routeiq-convergence"))

    async def close(self) -> None:
        """Stop; may be called again."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        await self._errands.end()

    async def look(self, force: bool = False) -> list[dict[str, Any]]:
        """Have every worker look, and reload with `force`; return what each says then, this one first.

        `answered` is false for those that did not say so in time.
        """
        async with self._turn:
            order = {"id": uuid.uuid4().hex, "force": force}
            if self.shared.everywhere:
                others = await self._order(order)
            else:
                others = await self._ask_siblings(order)
        mine = {**self._own(), "answered": True}
        return [_shown(one) for one in (mine, *others)]

    async def nudged(self) -> None:
        """Reload, and have all others do so: this process was sent SIGHUP.

        The workers of a replica are all sent it by their supervisor; one of them tells the other replicas.
        """
        order = {"id": uuid.uuid4().hex, "force": True}
        self._forced_at = self.shared.clock.monotonic()
        if self.shared.everywhere:
            with suppress(StateUnavailable):
                name = f"reload.{self.shared.replica}"
                if await self.shared.state.lock(name, self.shared.worker, lease_s=FRESH_S) is not None:
                    self._put_order(order)
        elif self.siblings is not None:
            self._errands.start(self.siblings.ask(LOOK, json.dumps(order).encode(), LOOK_S))
        await self.reloader.check(force=True)
        self.shared.announce()

    async def status(self) -> Mapping[str, object]:
        """Return what all workers serve, whether they agree, and what they have under way together."""
        await self._meet_siblings()
        workers = self.shared.workers()
        return {"agreement": {**agreement(workers), "reach": self.reach}, "totals": totals(workers)}

    @property
    def reach(self) -> str:
        """How far this worker can see: `all replicas` that share a store, or the workers of `this replica`."""
        return "all replicas" if self.shared.everywhere else "this replica"

    def _own(self) -> dict[str, Any]:
        return dict(self.shared.own())

    async def _order(self, order: Mapping[str, object]) -> list[dict[str, Any]]:
        """Order through shared state; those who have carried it out say its id."""
        self._put_order(order)
        await self.reloader.check(force=bool(order["force"]))
        until = self.shared.clock.monotonic() + LOOK_S
        while True:
            others = [one for one in self.shared.workers() if one["id"] != self.shared.worker]
            staying = [one for one in others if one.get("state") != DRAINING]
            heard = {one["id"] for one in staying if order["id"] in one.get("looked", ())}
            late = self.shared.clock.monotonic() >= until or not self.shared.mirror.reachable
            if len(heard) == len(staying) or late:
                return [{**one, "answered": one["id"] in heard} for one in staying]
            await asyncio.sleep(0.05)

    def _put_order(self, order: Mapping[str, object]) -> None:
        key, value = ORDER + self.shared.worker, json.dumps(order).encode()
        self.shared.mirror.put(AREA, key, value, expires_s=3 * LOOK_S)

    async def _ask_siblings(self, order: Mapping[str, object]) -> list[dict[str, Any]]:
        own = self.reloader.check(force=bool(order["force"]))
        if self.siblings is None:
            await own
            return []
        found, _ = await asyncio.gather(self.siblings.ask(LOOK, json.dumps(order).encode(), LOOK_S), own)
        absent = [place for place in range(self.siblings.count) if place != self.siblings.index and place not in found]
        silent: list[dict[str, Any]] = [
            {"worker": place, "replica": self.shared.replica, "answered": False} for place in absent
        ]
        return [{**json.loads(text), "answered": True} for _, text in sorted(found.items())] + silent

    def _reported(self, status: SyncStatus) -> None:
        """Tell the others of a version that was taken up or refused here; they have their own opinion of it."""
        self.shared.announce()
        if status.state == "rolled_back":
            return
        self._wanted = status.seen
        if self.shared.everywhere:
            told = self.shared.mirror.get(AREA, SEEN)
            if told is None or json.loads(told)["digest"] != status.seen:
                said = {"digest": status.seen, "version": status.version, "at": status.since, "by": self.shared.worker}
                self.shared.mirror.put(AREA, SEEN, json.dumps(said).encode())
        if self.siblings is not None and not (self.shared.everywhere and self.shared.mirror.reachable):
            self._errands.start(self.siblings.ask(SEEN, status.seen.encode()))

    def _changed(self, entries: Mapping[str, bytes | None]) -> None:
        for key, value in entries.items():
            if value is None:
                continue
            if key == SEEN and self.follows:
                self._errands.start(self._catch_up(str(json.loads(value)["digest"])))
            elif key.startswith(ORDER):
                self._errands.start(self._obey(json.loads(value)))

    async def _obey(self, order: Mapping[str, Any]) -> None:
        """Carry out an order; a reload that a signal forced a moment ago will do for it, too."""
        again = self.shared.clock.monotonic() - self._forced_at < FRESH_S
        await self.reloader.check(force=bool(order["force"]) and not again)
        self._looked.append(str(order["id"]))
        self.shared.announce()

    async def _catch_up(self, digest: str) -> None:
        """Look until that version is here: a volume may be late, and of the workers of a host one fetches."""
        self._wanted = digest
        until, pause = self.shared.clock.monotonic() + CATCH_UP_S, 0.1
        while self._wanted == digest and self.reloader.status.seen != digest:
            await self.reloader.check()
            if self.shared.clock.monotonic() >= until:
                return
            if self.reloader.status.seen != digest:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 1.0)

    async def _answer(self, _: bytes) -> bytes:
        return json.dumps(self._own()).encode()

    async def _answer_look(self, about: bytes) -> bytes:
        await self._obey(json.loads(about))
        return json.dumps(self._own()).encode()

    async def _answer_seen(self, about: bytes) -> bytes:
        if self.follows:
            self._errands.start(self._catch_up(about.decode()))
        return b"heard"

    async def _keep_watching(self) -> None:
        """Announce what changes without a reload, and know the siblings where they share no store."""
        asked_at = float("-inf")
        while True:
            await asyncio.sleep(WATCHED_S)
            now, said = self.shared.clock.monotonic(), (self.going(), self.reloader.status.seen)
            if said != self._said:
                self._said = said
                self.shared.announce()
            if not self.shared.everywhere and now - asked_at >= FRESH_S:
                asked_at = now
                await self._meet_siblings()

    async def _meet_siblings(self) -> None:
        if self.siblings is not None:
            texts = await self.siblings.ask(STANDING)
            self.shared.meet([json.loads(text) for text in texts.values()])


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: one.get(name) for name in SHOWN}, "answered": one["answered"]}
