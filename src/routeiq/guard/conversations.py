"""Which model each conversation is on: this worker's memory of it, and the others' through shared state.

Owns how long it is remembered, how many are, and that asking never delays a request by more than a few milliseconds.
Whether a conversation stays is `routing.affinity`'s business.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from routeiq.core.conversation import Conversation, conversation_key
from routeiq.core.ports import Clock
from routeiq.core.request import RouteRequest
from routeiq.core.shared import SharedState
from routeiq.guard.behind import WriteBehind
from routeiq.guard.tasks import Errands

AREA = "affinity"

KEPT = 10_000
"""How many conversations a worker remembers; beyond that the one that was silent longest is forgotten."""

ASKED_AT_ONCE = 64
"""How many questions to the shared state may be open; a request beyond that does not ask."""


@dataclass(slots=True, eq=False)
class Conversations:
    """The conversations of one worker. `state` is None where there is nobody to share them with.

    `ttl_s` is how long a conversation is remembered after its last turn, `budget_s` how long a request waits for what
    the others know, both in seconds. `failed(where, error)` hears of an outage once.
    """

    state: SharedState | None
    clock: Clock
    failed: Callable[[str, BaseException], None]
    ttl_s: float = 3_600.0
    budget_s: float = 0.005
    _known: "OrderedDict[str, Conversation]" = field(default_factory=OrderedDict)
    _asking: Errands = field(default_factory=Errands)
    _behind: WriteBehind = field(init=False)
    _down: bool = False

    def __post_init__(self) -> None:
        self._behind = WriteBehind(AREA, self.failed)

    def known(self, request: RouteRequest) -> Conversation | None:
        """Return the last turn of a request's conversation as far as this worker knows; takes microseconds."""
        key = None if request.begins else conversation_key(request)
        found = None if key is None else self._known.get(key)
        if found is None or self.clock.now() - found.at > self.ttl_s:
            return None
        return found

    async def ask(self, request: RouteRequest) -> None:
        """Learn what the others know of a request's conversation; returns after `budget_s` at the latest.

        A conversation that this worker knows is not waited for: what the others know of it arrives when it does.
        """
        key = None if request.begins else conversation_key(request)
        if key is None or self.state is None or len(self._asking) >= ASKED_AT_ONCE:
            return
        task = self._asking.start(self._fetch(self.state, key))
        if self.known(request) is None:
            await asyncio.wait((task,), timeout=self.budget_s)

    def turn(self, request: RouteRequest, served: Conversation) -> None:
        """Remember a turn: here at once, elsewhere soon."""
        key = conversation_key(request)
        if key is None:
            return
        self._keep(key, served)
        state = self.state
        if state is None:
            return

        async def write() -> None:
            await state.put(AREA, key, served.encoded(), expires_s=self.ttl_s)

        self._behind.add(key, write)

    def __len__(self) -> int:
        return len(self._known)

    async def close(self) -> None:
        """Write what waits."""
        await self._asking.end()
        await self._behind.close()

    async def _fetch(self, state: SharedState, key: str) -> None:
        try:
            document = await state.get(AREA, key)
            self._down = False
        except Exception as error:  # noqa: BLE001 - a conversation that nobody knows of is routed like a new one
            if not self._down:
                self.failed(AREA, error)
            self._down = True
            return
        found = None if document is None else Conversation.decoded(document.value)
        here = self._known.get(key)
        # A turn of this worker that is yet to come is from before the clock was set back.
        if found is not None and (here is None or found.at > here.at or here.at > self.clock.now()):
            self._keep(key, found)

    def _keep(self, key: str, turn: Conversation) -> None:
        self._known[key] = turn
        self._known.move_to_end(key)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
