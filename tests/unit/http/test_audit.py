"""The endpoint of the audit: chains of several hosts as one list, filters, cursors, and malformed questions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.audit import NoAudit
from routeiq.core.errors import StateUnavailable
from routeiq.guard.audits import AREA, Audits
from routeiq.http.audit import LATE_S, SCANNED, AuditEndpoint, Wanted, page, wanted_of
from routeiq.http.table import AUDIT
from routeiq.testing.fakes import FakeClock
from tests.unit.http.scene import ADMIN, Scene, scene
from tests.unit.http.test_endpoints import code


def entry(seq: int, at: float, kind: str = "config.reloaded", actor: str = "key:a") -> dict[str, Any]:
    return {"seq": seq, "at": at, "kind": kind, "actor": actor, "prev": "p", "hash": "h"}


def chain(times: list[float], **more: Any) -> list[dict[str, Any]]:
    """Entries at these times, given in the order of writing; returned the newest first."""
    return [entry(seq, at, **more) for seq, at in enumerate(times, 1)][::-1]


class Kept(NoAudit):
    """An audit with entries."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.kept = entries

    def chain_id(self) -> str | None:
        return "aa"

    def entries(self, before: int | None = None) -> Iterator[Mapping[str, Any]]:
        return (one for one in self.kept if before is None or one["seq"] < before)

    def pseudonym(self, actor: str) -> str:
        return f"key:{actor}"


def at_house(entries: list[dict[str, Any]], *, everywhere: bool = True) -> tuple[Scene, MemorySharedState]:
    state = MemorySharedState(FakeClock())
    audits = Audits(Kept(entries), state, everywhere, lambda where, error: None)
    return scene(more={AUDIT: AuditEndpoint(audits)}), state


def pages(streams: dict[str, list[dict[str, Any]]], limit: int, **wanted: Any) -> list[tuple[str, int]]:
    """Everything, by as many questions as it takes."""
    found, seen = [], None
    while True:
        left = {
            name: [e for e in said if not seen or name not in seen or e["seq"] < seen[name]]
            for name, said in streams.items()
        }
        events, cursor = page(left, Wanted(limit=limit, seen=seen, **wanted))
        found += [(event["chain"], event["seq"]) for event in events]
        if cursor is None:
            return found
        seen = wanted_of({"cursor": cursor}, str).seen


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_chains_become_one_list_and_pages_lose_nothing(limit: int) -> None:
    """Whatever the size of a page, each event comes once, the newest first, also where clocks and queues differ."""
    streams = {"aa": chain([1.0, 4.0, 3.5, 6.0]), "bb": chain([2.0, 5.0, 6.0])}
    assert pages(streams, limit) == [
        ("aa", 4),
        ("bb", 3),
        ("bb", 2),
        ("aa", 3),
        ("aa", 2),
        ("bb", 1),
        ("aa", 1),
    ]


def test_an_event_that_was_written_late_is_found() -> None:
    """Events that waited for a disk stand behind younger ones, and are found as long as that is not over a day."""
    now = 10 * LATE_S
    streams = {"aa": chain([now, now - LATE_S / 2, now + 1])}
    assert pages(streams, 10, since=now - 1) == [("aa", 3), ("aa", 1)]
    streams["aa"] = chain([now, now - 2 * LATE_S, now + 1])
    assert pages(streams, 10, since=now - 1) == [("aa", 3)]


def test_a_question_looks_at_so_much_and_says_where_to_go_on() -> None:
    """A filter that nothing fits ends an answer after a bound, with a cursor."""
    streams = {"aa": chain([float(n) for n in range(SCANNED + 10)])}
    events, cursor = page(streams, Wanted(kind="none"))
    assert (events, cursor) == ([], "aa:11")


async def test_the_answer_has_this_host_and_what_others_told() -> None:
    """Entries come without what ties them together, each with its chain; of others it says where they begin."""
    at, state = at_house(chain([1.0, 3.0]))
    told = chain([0.5, 2.0])[:1]
    await state.put(AREA, "bb", json.dumps(told).encode())
    await state.put(AREA, "aa", b"[]")
    answer = (await at.ask("GET", "/routeiq/audit", key=ADMIN)).json()
    assert [(e["chain"], e["seq"]) for e in answer["events"]] == [("aa", 2), ("bb", 2), ("aa", 1)]
    assert "prev" not in answer["events"][0]
    assert answer["chains"] == [
        {"chain": "bb", "here": False, "from": 2, "complete": False},
        {"chain": "aa", "here": True, "from": None, "complete": True},
    ]
    assert (answer["next"], answer["others_heard"], answer["trouble"]) == (None, True, None)


async def test_filters_and_pages_work_over_http() -> None:
    """Kind, time and actor narrow; an actor is named as shown or by LiteLLM's hash; pages go on by cursor."""
    entries = [*chain([1.0, 2.0, 3.0]), *chain([0.5], kind="access.refused", actor="stranger")]
    entries = [{**one, "seq": len(entries) - i} for i, one in enumerate(entries)]
    at, _ = at_house(entries)

    async def ask(query: str) -> tuple[list[int], str | None]:
        answer = (await at.ask("GET", f"/routeiq/audit?{query}", key=ADMIN)).json()
        return [event["seq"] for event in answer["events"]], answer["next"]

    assert (await ask("kind=access.refused"))[0] == [1]
    assert (await ask("actor=a"))[0] == (await ask("actor=key:a"))[0] == [4, 3, 2]
    assert (await ask("since=2"))[0] == (await ask("since=1970-01-01T00:00:02Z"))[0] == [4, 3]
    first, cursor = await ask("limit=3")
    assert (first, cursor) == ([4, 3, 2], "aa:2")
    assert await ask(f"limit=3&cursor={cursor}") == ([1], None)


async def test_without_shared_state_this_host_is_shown() -> None:
    """An outage leaves the own entries, and the answer says that others were not heard."""
    at, state = at_house(chain([1.0]))

    async def away(*_: object) -> Any:
        raise StateUnavailable("away")

    state.changes = away  # type: ignore[method-assign]
    answer = (await at.ask("GET", "/routeiq/audit", key=ADMIN)).json()
    assert (len(answer["events"]), answer["others_heard"]) == (1, False)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("knid=x", "did you mean 'kind'"),
        ("limit=0", "from 1 to 1000"),
        ("limit=many", "from 1 to 1000"),
        ("limit=10000000000000", "from 1 to 1000"),
        ("since=yesterday", "seconds since the epoch"),
        ("since=2026-12-01", "with its zone"),
        ("cursor=xx", "a former answer"),
    ],
)
async def test_a_malformed_question_is_named(query: str, words: str) -> None:
    """What is unknown or out of range is said with what was expected."""
    at, _ = at_house([])
    answer = await at.ask("GET", f"/routeiq/audit?{query}", key=ADMIN)
    assert code(answer) == (400, "request_invalid")
    assert words in answer.json()["error"]["message"]
