"""How a request ended, where the host does not say: its client left, its stream broke off, its session was closed.

Owns what an exchange or a session over a WebSocket shows of its end, and how long the host is waited for, whose word
comes first. Recording it is the flow's business.
"""

import asyncio
import re
from typing import Final

from starlette.types import Message

from routeiq.core.outcome import Status
from routeiq.flow import Passage, RequestFlow
from routeiq.http.traffic import Exchange

WAITED_S: Final = 3.0
"""How long the host has to report an end by itself: it does so in the background, a moment after the answer."""

CLIENT_LEFT: Final = "ClientLeft"
STREAM_BROKEN: Final = "StreamBroken"
CUT: Final = "Cut"
"""These stand for an error's class name in outcomes."""

CLIENT_CLOSED: Final = 499
"""The status that the host gives to a call whose client has left, though nobody reads it."""

WELL_CLOSED: Final = 1000
"""The code of a WebSocket that is closed because all is said."""

_ERROR: Final = re.compile(
    rb'(?:^|\n)(?:event: ?error|data: ?\{"error"|data: ?\{"type": ?"(?:error|response\.failed)")'
)


def ending(exchange: Exchange) -> tuple[Status, str] | None:
    """Return how an exchange that is over went wrong, None for one that did not."""
    if exchange.cut:
        return Status.FAILURE, CUT
    if not exchange.complete or exchange.status == CLIENT_CLOSED:
        return Status.CANCELLED, CLIENT_LEFT
    if exchange.stream and _ERROR.search(exchange.last):
        return Status.FAILURE, STREAM_BROKEN
    return None


class Session:
    """A session over a WebSocket, which the host closes for a reason or its client leaves."""

    code: int | None = None

    def note(self, message: Message) -> None:
        """Look at what is sent to the client."""
        if message["type"] == "websocket.close":
            self.code = message.get("code", WELL_CLOSED)

    def follow_up(self, flow: RequestFlow, passage: Passage | None, broken: bool) -> None:
        """See to it that the session, which is over, has an outcome; `broken` is whether the host raised."""
        if passage is None or passage.ended:
            return
        failed = broken or self.code not in (None, WELL_CLOSED)
        found = (Status.FAILURE, STREAM_BROKEN) if failed else (Status.CANCELLED, CLIENT_LEFT)
        asyncio.get_running_loop().call_later(WAITED_S, flow.unreported, passage, *found)


def follow_up(flow: RequestFlow, exchange: Exchange, passage: Passage | None) -> None:
    """See to it that an exchange that is over and went wrong has an outcome, the host's or, failing that, this."""
    if passage is None or passage.ended:
        return
    found = ending(exchange)
    if found is not None:
        asyncio.get_running_loop().call_later(WAITED_S, flow.unreported, passage, *found)
