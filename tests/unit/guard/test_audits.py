"""What hosts tell one another of their audits."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from routeiq.adapters.memory import MemorySharedState
from routeiq.core.audit import NoAudit
from routeiq.core.errors import StateUnavailable
from routeiq.guard.audits import TOLD, TOLD_BYTES, Audits
from routeiq.testing.fakes import FakeClock


class Kept(NoAudit):
    """The audit of a host: its entries, and who wants to know of more."""

    def __init__(self, name: str) -> None:
        self.name, self.count, self.wide = name, 0, ""
        self.calls: list[Callable[[], None]] = []

    def chain_id(self) -> str | None:
        return self.name if self.count else None

    def entries(self, before: int | None = None) -> Iterator[Mapping[str, Any]]:
        return ({"seq": seq, "at": float(seq), "wide": self.wide} for seq in range(self.count, 0, -1))

    def on_written(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    async def write(self, count: int = 1) -> None:
        """Have more entries written by a thread, and wait until others were told."""
        self.count += count
        for call in self.calls:
            await asyncio.to_thread(call)


async def settled(audits: Audits) -> None:
    """Wait until nothing is being told."""
    for _ in range(1000):
        await asyncio.sleep(0.005)
        if not audits._telling:
            return
    raise AssertionError("it tells for ever")


def hosts(*names: str) -> tuple[list[Audits], MemorySharedState]:
    state = MemorySharedState(FakeClock())
    failures: list[BaseException] = []
    return [Audits(Kept(name), state, True, lambda _, error: failures.append(error)) for name in names], state


async def written(audits: Audits, count: int = 1) -> None:
    own = audits.own
    assert isinstance(own, Kept)
    await own.write(count)
    await settled(audits)


async def test_each_host_hears_of_the_others_newest() -> None:
    """What is written here is shown there, the newest first; the own chain is not heard twice."""
    (one, two), _ = hosts("aa", "bb")
    for audits in (one, two):
        audits.start()
    await written(one, 2)
    await written(two, 1)
    await written(one, 1)
    assert [entry["seq"] for entry in (await two.elsewhere())["aa"]] == [3, 2, 1]
    assert set(await one.elsewhere()) == {"bb"}
    await one.close()
    await two.close()


async def test_what_is_told_is_bounded() -> None:
    """Never more than so many entries and bytes, and always the newest."""
    (one, two), _ = hosts("aa", "bb")
    one.start()
    await written(one, 10 * TOLD)
    told = (await two.elsewhere())["aa"]
    assert (len(told), told[0]["seq"]) == (TOLD, 10 * TOLD)
    assert isinstance(one.own, Kept)
    one.own.wide = "x" * (TOLD_BYTES // 3)
    await written(one)
    told = (await two.elsewhere())["aa"]
    assert (len(told), told[0]["seq"]) == (2, 10 * TOLD + 1)


async def test_workers_of_a_host_do_not_take_back_what_another_told() -> None:
    """A worker that is late with an older picture leaves the newer one."""
    (one, other), state = hosts("aa", "bb")
    one.start()
    await written(one, 3)
    late = Audits(Kept("aa"), state, True, one.failed)
    late.start()
    await written(late, 2)
    assert [entry["seq"] for entry in (await other.elsewhere())["aa"]] == [3, 2, 1]


async def test_an_outage_is_made_up_for_by_the_next_event() -> None:
    """What could not be told is told with the next one, and nothing is reported as broken."""
    failures: list[BaseException] = []
    state = MemorySharedState(FakeClock())
    one = Audits(Kept("aa"), state, True, lambda _, error: failures.append(error))
    other = Audits(Kept("bb"), state, True, lambda _, error: failures.append(error))
    one.start()
    put = state.put

    async def away(*_: object, **__: object) -> Any:
        raise StateUnavailable("away")

    state.put = away  # type: ignore[method-assign]
    await written(one, 2)
    assert await other.elsewhere() == {}
    state.put = put  # type: ignore[method-assign]
    await written(one, 1)
    assert [entry["seq"] for entry in (await other.elsewhere())["aa"]] == [3, 2, 1]
    assert failures == []


async def test_a_gateway_that_shares_nothing_tells_nobody() -> None:
    """Without a store for all nothing is written to it and nothing is heard."""
    state = MemorySharedState(FakeClock())
    alone = Audits(Kept("aa"), state, False, lambda where, error: None)
    alone.start()
    await written(alone, 1)
    assert (await state.changes("audit", 0)).entries == {}
    assert await alone.elsewhere() == {}
