"""The supervisor as its workers see it: they may ask it to replace all of them, and hear how that goes.

Owns the two messages beyond a signal's orders: `replace ID` from a worker, and what a replacement has come to, as JSON,
to every worker. Replacing itself is `http.supervisor`'s.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from routeiq.http.worker import Line

REPLACE: Final = b"replace "

State = Literal["replacing", "done", "failed", "refused"]
"""`refused`: another replacement was under way, and goes on."""

KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Replacement:
    """What became of the replacement of a replica's workers: `replaced` of `count` so far; `why` it failed."""

    order: str
    state: State
    replaced: int
    count: int
    why: str | None = None

    def encoded(self) -> bytes:
        """Return the message."""
        return json.dumps(asdict(self)).encode()


def order_in(message: bytes) -> str | None:
    """Return the id of the replacement that a worker asks for, None when its message is another."""
    return message[len(REPLACE) :].decode() if message.startswith(REPLACE) else None


@dataclass(slots=True)
class Foreman:
    """Belongs to one worker. `latest` is what the supervisor said last of a replacement that it began."""

    line: Line
    latest: Replacement | None = None
    _news: dict[str, Replacement] = field(default_factory=dict)
    _calls: list[Callable[[], None]] = field(default_factory=list)

    def replace(self, order: str) -> None:
        """Ask for a replacement; asking again for the same one does nothing. Raises OSError without a supervisor."""
        self.line.send_bytes(REPLACE + order.encode())

    def news(self, order: str) -> Replacement | None:
        """Return what the supervisor said last of a replacement, None when it has said nothing."""
        return self._news.get(order)

    def on_news(self, call: Callable[[], None]) -> None:
        """Have `call` called, on the event loop, whenever there is news."""
        self._calls.append(call)

    def heard(self, message: bytes) -> None:
        """Take what the supervisor said."""
        said = Replacement(**json.loads(message))
        self._news[said.order] = said
        while len(self._news) > KEPT:
            del self._news[next(iter(self._news))]
        if said.state != "refused":
            self.latest = said
        for call in self._calls:
            call()
