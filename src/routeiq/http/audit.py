"""`GET /routeiq/audit`: what was done to this gateway and by whom, the newest first, for admins.

Owns the form of question and answer, and how the entries of several hosts become one list. Of this host all is shown
that its files have; of others what they told through shared state, and the answer says where that begins.
"""

import asyncio
import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from routeiq.core.audit import AuditLog
from routeiq.core.errors import RequestInvalid, StateUnavailable, nearest
from routeiq.core.request import Caller
from routeiq.guard.audits import Audits, Entry
from routeiq.http.answers import Json
from routeiq.http.bodies import shown

LIMIT: Final = 100
MOST: Final = 1_000
"""How many events an answer has if the question does not say, and at most."""

SCANNED: Final = 20_000
"""How many entries one question looks at; where to go on is in the answer."""

LATE_S: Final = 86_400.0
"""How much later than it happened an event may stand in a chain: as long as a disk was full, say."""

FLUSH_S: Final = 1.0
"""How long what is on its way to the files is waited for."""

PARAMETERS: Final = ("kind", "actor", "since", "limit", "cursor")

_CURSOR: Final = re.compile(r"[0-9a-f]{1,64}:\d{1,15}(,[0-9a-f]{1,64}:\d{1,15})*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `seen` is by chain the number of the last entry that a former answer looked at."""

    kind: str | None = None
    actors: frozenset[str] = frozenset()
    since: float = float("-inf")
    limit: int = LIMIT
    seen: Mapping[str, int] | None = None

    def fits(self, entry: Entry) -> bool:
        """Return whether an entry is asked for."""
        return (
            entry["at"] >= self.since
            and (self.kind is None or entry["kind"] == self.kind)
            and (not self.actors or entry["actor"] in self.actors)
        )


def wanted_of(asked: Mapping[str, str], pseudonym: Callable[[str], str]) -> Wanted:
    """Return what the parameters of a question ask for; raises RequestInvalid."""
    for name in asked:
        if name not in PARAMETERS:
            raise RequestInvalid(f"unknown parameter {shown(name)}; {nearest(name, PARAMETERS)}")
    actor = asked.get("actor")
    return Wanted(
        asked.get("kind"),
        frozenset() if actor is None else frozenset({actor, pseudonym(actor)}),
        _since(asked.get("since")),
        _limit(asked.get("limit")),
        _seen(asked.get("cursor")),
    )


def _since(text: str | None) -> float:
    if text is None:
        return float("-inf")
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestInvalid(
            f"`since`: found {shown(text)}, expected seconds since the epoch or a time with its zone, "
            "for example 2026-12-01T09:00:00Z"
        )
    return moment.timestamp()


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise RequestInvalid(f"`limit`: found {shown(text)}, expected a number from 1 to {MOST}")
    return int(text)


def _seen(text: str | None) -> Mapping[str, int] | None:
    if text is None:
        return None
    if _CURSOR.fullmatch(text) is None:
        raise RequestInvalid(f"`cursor`: found {shown(text)}, expected what a former answer has as `next`")
    return {chain: int(seq) for chain, _, seq in (part.partition(":") for part in text.split(","))}


def page(streams: Mapping[str, Iterable[Entry]], wanted: Wanted) -> tuple[list[dict[str, Any]], str | None]:
    """Return the next events of several chains in one list, and the cursor for those after them, None at the end."""

    def named(chain: str, entries: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
        for entry in entries:
            yield chain, entry

    found: list[dict[str, Any]] = []
    seen = dict(wanted.seen or {})
    merged = heapq.merge(*(named(*stream) for stream in streams.items()), key=lambda item: -float(item[1]["at"]))
    for scanned, (chain, entry) in enumerate(merged, 1):
        if entry["at"] < wanted.since - LATE_S:
            return found, None
        seen[chain] = int(entry["seq"])
        if wanted.fits(entry):
            found.append({"chain": chain, **{name: value for name, value in entry.items() if name != "prev"}})
        if len(found) == wanted.limit or scanned == SCANNED:
            return found, ",".join(f"{name}:{seq}" for name, seq in sorted(seen.items()))
    return found, None


@dataclass(frozen=True, slots=True)
class AuditEndpoint:
    """Answers admins, over this host's audit and what others told of theirs."""

    audits: Audits

    async def __call__(self, request: Request, caller: Caller, _: str) -> Response:
        """Answer one request."""
        own = self.audits.own
        wanted = await asyncio.to_thread(wanted_of, dict(request.query_params), own.pseudonym)
        await asyncio.to_thread(own.flush, FLUSH_S)
        heard = True
        try:
            others = await self.audits.elsewhere()
        except StateUnavailable:
            others, heard = {}, False
        return Json(await asyncio.to_thread(_answer, own, others, wanted, heard))


def _answer(own: AuditLog, others: Mapping[str, list[Entry]], wanted: Wanted, heard: bool) -> dict[str, Any]:
    """Return the answer; blocks while files are read."""
    here, seen = own.chain_id(), wanted.seen or {}
    streams: dict[str, Iterable[Entry]] = {
        chain: [entry for entry in said if chain not in seen or entry["seq"] < seen[chain]]
        for chain, said in others.items()
    }
    chains = [
        {"chain": chain, "here": False, "from": said[-1]["seq"], "complete": said[-1]["seq"] == 1}
        for chain, said in others.items()
        if said
    ]
    if here is not None:
        streams[here] = own.entries(seen.get(here))
        chains.append({"chain": here, "here": True, "from": None, "complete": True})
    events, following = page(streams, wanted)
    return {"events": events, "next": following, "trouble": own.trouble, "others_heard": heard, "chains": chains}
