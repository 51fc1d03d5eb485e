"""How a request ended, where the host does not say: its client left, or its stream broke off.

Owns what an exchange shows of its end, and how long the host is waited for, whose word comes first. Recording it is
the flow's business.
"""

import asyncio
import re
from typing import Final

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


def follow_up(flow: RequestFlow, exchange: Exchange, passage: Passage | None) -> None:
    """See to it that an exchange that is over and went wrong has an outcome, the host's or, failing that, this."""
    if passage is None or passage.ended:
        return
    found = ending(exchange)
    if found is not None:
        asyncio.get_running_loop().call_later(WAITED_S, flow.unreported, passage, *found)
