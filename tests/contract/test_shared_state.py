"""Memory, Redis alone, behind sentinels and as a cluster keep the same promises of `core.shared.SharedState`."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from routeiq.adapters.memory import MemorySharedState
from routeiq.adapters.redis import RedisLink, RedisSharedState
from routeiq.config.redis_url import parse_redis_url
from routeiq.core.shared import SharedState
from routeiq.wiring import SystemClock
from tests.servers.redis import RedisServers, redis_servers

KINDS = ("memory", "single", "sentinel", "cluster")
CLIENTS = 100
AMPLE_S = 60.0


@dataclass
class Store:
    """One store, and as many clients of it as a test wants."""

    url: str | None
    _memory: MemorySharedState = field(default_factory=lambda: MemorySharedState(SystemClock()))
    _opened: list[RedisSharedState] = field(default_factory=list)

    def client(self) -> SharedState:
        """Another worker's access; in one process there is but one."""
        if self.url is None:
            return self._memory
        self._opened.append(RedisSharedState(RedisLink(parse_redis_url(self.url)), bound_s=AMPLE_S))
        return self._opened[-1]

    async def close(self) -> None:
        """Close every client."""
        for client in self._opened:
            await client.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    """Redis servers for this file, each started when the first test needs it."""
    with redis_servers(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, servers: RedisServers) -> str | None:
    """The address of one kind of store, None for memory."""
    if request.param == "memory":
        return None
    started: Any = {"single": servers.single, "sentinel": servers.sentinels, "cluster": servers.cluster}[request.param]
    address: str = started().url
    return address


@pytest.fixture
async def store(url: str | None) -> AsyncIterator[Store]:
    """The store of one test."""
    made = Store(url)
    yield made
    await made.close()


@pytest.fixture
def state(store: Store) -> SharedState:
    """One client."""
    return store.client()


@pytest.fixture
def name() -> str:
    """A name that no other test uses, for areas and keys."""
    return f"t-{uuid.uuid4().hex[:12]}"


async def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(AMPLE_S):
        while not done():
            await asyncio.sleep(0.01)


async def test_a_value_is_read_as_it_was_written(state: SharedState, name: str) -> None:
    """Bytes of any kind come back unchanged with a version that grows; a removed or unknown key is None."""
    assert await state.get(name, "one") is None
    first = await state.put(name, "one", b"\x00\xff{}")
    found = await state.get(name, "one")
    assert found is not None
    assert (found.value, found.version) == (b"\x00\xff{}", first)
    second = await state.put(name, "one", b"")
    assert first is not None
    assert second is not None
    assert second > first
    await state.put(name, "one", None)
    assert await state.get(name, "one") is None


async def test_an_expected_version_guards_a_write(state: SharedState, name: str) -> None:
    """A write with `expect` happens only on that version, 0 meaning that there is nothing."""
    version = await state.put(name, "one", b"a", expect=0)
    assert version is not None
    assert await state.put(name, "one", b"b", expect=0) is None
    assert await state.put(name, "one", b"b", expect=version - 1) is None
    assert await state.put(name, "one", b"b", expect=version) is not None
    found = await state.get(name, "one")
    assert found is not None
    assert found.value == b"b"


async def test_changes_are_those_since_a_version(state: SharedState, name: str) -> None:
    """From 0 everything is given as the whole; from a version, what was written and removed after it."""
    await state.put(name, "kept", b"1")
    await state.put(name, "gone", b"2")
    whole = await state.changes(name, 0)
    assert (whole.entries, whole.whole) == ({"kept": b"1", "gone": b"2"}, True)
    await state.put(name, "gone", None)
    await state.put(name, "new", b"3")
    some = await state.changes(name, whole.version)
    assert (some.entries, some.whole) == ({"gone": None, "new": b"3"}, False)
    assert (await state.changes(name, some.version)).entries == {}
    assert (await state.changes(name, 0)).entries == {"kept": b"1", "new": b"3"}


async def test_a_version_from_another_life_of_the_store_gets_everything(state: SharedState, name: str) -> None:
    """Who knows a version that the store never gave is sent the whole area, so that a lost store is noticed."""
    await state.put(name, "one", b"1")
    changes = await state.changes(name, 2**52)
    assert (changes.entries, changes.whole) == ({"one": b"1"}, True)
    assert (await state.changes(f"{name}-empty", 2**52)).whole


async def test_after_very_many_removals_everything_is_sent(state: SharedState, name: str) -> None:
    """Removed keys are not remembered for ever; who is behind by more gets the whole area."""
    begin = await state.put(name, "kept", b"1")
    assert begin is not None
    for number in range(1_100):
        await state.put(name, f"k{number}", None)
    changes = await state.changes(name, begin)
    assert (changes.entries, changes.whole) == ({"kept": b"1"}, True)


async def test_what_expires_is_gone_and_says_so(state: SharedState, name: str) -> None:
    """An expired value is not read, may be created anew, and shows in the changes as removed."""
    await state.put(name, "short", b"1", expires_s=0.3)
    await state.put(name, "long", b"1", expires_s=600)
    begin = (await state.changes(name, 0)).version
    assert await state.get(name, "short") is not None
    await asyncio.sleep(0.4)
    assert await state.get(name, "short") is None
    assert (await state.changes(name, begin)).entries == {"short": None}
    assert await state.put(name, "short", b"2", expect=0) is not None
    assert await state.get(name, "long") is not None


async def test_a_document_of_a_crowd_lives_and_expires_alone(state: SharedState, name: str) -> None:
    """In the area of conversations, values are written, guarded by version and expire like everywhere."""
    version = await state.put("affinity", name, b"gpt", expires_s=0.3, expect=0)
    found = await state.get("affinity", name)
    assert found is not None
    assert (found.value, found.version) == (b"gpt", version)
    assert await state.put("affinity", name, b"other", expect=0) is None
    await asyncio.sleep(0.4)
    assert await state.get("affinity", name) is None


@pytest.mark.parametrize("area", ["plain", "ab.counters"])
async def test_a_token_counts_once(state: SharedState, name: str, area: str) -> None:
    """An addition repeated after a lost answer adds nothing and returns the same sums; other keys are apart."""
    first = await state.add(area, name, {"trials": 1, "cost": 0.25}, token="a")
    assert await state.add(area, name, {"trials": 1, "cost": 0.25}, token="a") == first
    assert await state.add(area, name, {"trials": 2}, token="b") == {"trials": 3, "cost": 0.25}
    assert await state.add(area, f"{name}.2", {"trials": 7}, token="a") == {"trials": 7}
    assert await state.counters(area, name) == {"trials": 3, "cost": 0.25}
    assert await state.counters(area, f"{name}-none") == {}


async def test_sums_expire(state: SharedState, name: str) -> None:
    """Counters with an expiry begin anew after it."""
    await state.add("plain", name, {"failures": 3}, token="a", expires_s=0.3)
    assert await state.counters("plain", name) == {"failures": 3}
    await asyncio.sleep(0.4)
    assert await state.counters("plain", name) == {}


async def test_counters_are_exact_with_a_hundred_clients(store: Store, name: str) -> None:
    """A hundred clients that add at once, and repeat half of it as after a timeout, lose and double nothing."""
    clients = [store.client() for _ in range(20)]

    async def work(number: int) -> None:
        for step in range(10):
            token = f"{number}-{step}"
            await clients[number % 20].add("ab.counters", name, {"trials": 1, "tokens": number}, token=token)
            if step % 2:
                await clients[(number + 1) % 20].add("ab.counters", name, {"trials": 1, "tokens": number}, token=token)

    await asyncio.gather(*(work(number) for number in range(CLIENTS)))
    assert await clients[0].counters("ab.counters", name) == {"trials": 1_000, "tokens": 49_500}


async def test_guarded_writes_of_a_hundred_clients_lose_none(store: Store, name: str) -> None:
    """A hundred read-modify-write loops on one document, each repeated until its version was right, all count."""
    clients = [store.client() for _ in range(20)]

    async def increment(number: int) -> None:
        client = clients[number % 20]
        while True:
            found = await client.get(name, "n")
            value, version = (int(found.value), found.version) if found else (0, 0)
            if await client.put(name, "n", str(value + 1).encode(), expect=version) is not None:
                return

    await asyncio.gather(*(increment(number) for number in range(CLIENTS)))
    found = await clients[0].get(name, "n")
    assert found is not None
    assert found.value == b"100"


async def test_a_rate_limit_is_never_exceeded(store: Store, name: str) -> None:
    """Of a hundred clients that want a share at once, as many get one as there are; the rest are told to wait."""
    clients = [store.client() for _ in range(20)]
    taken = await asyncio.gather(
        *(clients[number % 20].take(name, 1.0, limit=30, window_s=600) for number in range(CLIENTS))
    )
    # One share comes free every 20 seconds.
    assert sum(one.granted for one in taken) in {30, 31}
    assert all(0 < one.retry_after_s <= 600 for one in taken if not one.granted)
    assert all(one.retry_after_s == 0 for one in taken if one.granted)


async def test_a_rate_limit_comes_back_evenly(state: SharedState, name: str) -> None:
    """After a burst a share comes free after its part of the window, and a cost above the limit never passes."""
    assert (await state.take(name, 4, limit=4, window_s=1.2)).granted
    refused = await state.take(name, 1, limit=4, window_s=1.2)
    assert not refused.granted
    assert 0 < refused.retry_after_s <= 0.3
    await asyncio.sleep(refused.retry_after_s + 0.02)
    assert (await state.take(name, 1, limit=4, window_s=1.2)).granted
    assert not (await state.take(f"{name}-big", 5, limit=4, window_s=1.2)).granted


async def test_places_are_never_more_than_the_limit(store: Store, name: str) -> None:
    """A hundred clients that come and go are never in more places than there are, and everyone gets one in the end."""
    clients = [store.client() for _ in range(20)]
    inside, most, served = 0, 0, 0

    async def visit(number: int) -> None:
        nonlocal inside, most, served
        client, holder = clients[number % 20], f"h{number}"
        while not await client.acquire(name, holder, limit=7, lease_s=60):
            await asyncio.sleep(0.005)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1
        served += 1
        await client.release(name, holder)

    async with asyncio.timeout(60):
        await asyncio.gather(*(visit(number) for number in range(CLIENTS)))
    assert served == CLIENTS
    assert 1 < most <= 7


async def test_a_place_is_renewed_and_ends_with_its_lease(state: SharedState, name: str) -> None:
    """A holder renews its place beside a full house; a holder that is gone loses it after its lease."""
    assert await state.acquire(name, "a", limit=1, lease_s=0.3)
    assert await state.acquire(name, "a", limit=1, lease_s=0.3)
    assert not await state.acquire(name, "b", limit=1, lease_s=0.3)
    await state.release(name, "b")
    await asyncio.sleep(0.4)
    assert await state.acquire(name, "b", limit=1, lease_s=60)


async def test_a_lock_is_exclusive_and_its_tokens_grow(store: Store, name: str) -> None:
    """Of a hundred clients one at a time holds the lock, and each new holder's fencing token is greater."""
    clients = [store.client() for _ in range(20)]
    inside: list[str] = []
    fences: list[int] = []

    async def work(number: int) -> None:
        client, holder = clients[number % 20], f"h{number}"
        while (fence := await client.lock(name, holder, lease_s=60)) is None:
            await asyncio.sleep(0.005)
        assert not inside
        inside.append(holder)
        fences.append(fence)
        assert await client.lock(name, holder, lease_s=60) == fence
        inside.remove(holder)
        await client.unlock(name, holder)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number) for number in range(CLIENTS)))
    assert len(fences) == CLIENTS
    assert fences == sorted(set(fences))


async def test_a_lock_ends_with_its_lease_only_its_holder_ends_it_before(state: SharedState, name: str) -> None:
    """Another's unlock does nothing; after the lease the next holder gets a greater token."""
    first = await state.lock(name, "a", lease_s=0.3)
    await state.unlock(name, "b")
    assert await state.lock(name, "b", lease_s=0.3) is None
    await asyncio.sleep(0.4)
    second = await state.lock(name, "b", lease_s=60)
    assert first is not None
    assert second is not None
    assert second > first


async def test_who_watches_is_told(store: Store, name: str) -> None:
    """A write from another client is announced to who watches its area until the watching ends."""
    watcher, writer = store.client(), store.client()
    told = 0

    def notify() -> None:
        nonlocal told
        told += 1

    end = watcher.watch(name, notify)
    async with asyncio.timeout(AMPLE_S):
        while not told:  # a subscription takes a moment
            await writer.put(name, "one", b"1")
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    end()
    before = told
    await writer.put(name, "one", b"2")
    await asyncio.sleep(0.2)
    assert told == before


async def test_ping_measures(state: SharedState) -> None:
    """A ping says how long it took."""
    begun = time.perf_counter()
    assert 0 <= await state.ping() <= time.perf_counter() - begun
