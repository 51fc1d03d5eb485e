"""Shared state in Redis goes on when its password changes or when it moves, and loses no step by it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from routeiq.adapters.redis import RedisLink, RedisSharedState
from routeiq.config.redis_url import parse_redis_url
from routeiq.core.errors import StateUnavailable
from tests.servers.redis import RedisServer, RedisServers, redis_servers

AMPLE_S = 30.0
AT_ONCE = 8


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    """Servers of this file."""
    with redis_servers(tmp_path_factory.mktemp("redis")) as running:
        yield running


def asked(server: RedisServer, password: str, *command: str) -> str:
    return server.ask("-a", password, "--no-auth-warning", *command)


def url(server: RedisServer, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{server.port}"


def ours(server: RedisServer, password: str) -> set[str]:
    """The ids of the gateway's connections."""
    lines = asked(server, password, "client", "list").splitlines()
    return {line.split()[0] for line in lines if "name=routeiq" in line}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisSharedState]:
    state = RedisSharedState(RedisLink(parse_redis_url(url)), AMPLE_S)
    try:
        yield state
    finally:
        await state.close()


async def until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + AMPLE_S
    while not await asyncio.to_thread(seen):
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_a_changed_password_loses_no_step(servers: RedisServers) -> None:
    """Five rotations while steps are sent all the time: every step counts once, former connections are closed."""
    server = servers.single()
    server.ask("config", "set", "requirepass", "word-0")
    done, stop = [0] * AT_ONCE, asyncio.Event()

    async def steps(state: RedisSharedState, worker: int) -> None:
        for number in count():
            if stop.is_set():
                return
            await state.add("ab", "rotated", {"n": 1.0}, token=f"{worker}.{number}")
            done[worker] += 1

    async with opened(url(server, "word-0")) as state:
        running = [asyncio.create_task(steps(state, worker)) for worker in range(AT_ONCE)]
        for number in range(5):
            await until(lambda: min(done) > 20 * number)  # noqa: B023 - waited for within the iteration
            former = ours(server, f"word-{number}")
            assert former
            asked(server, f"word-{number}", "acl", "setuser", "default", f">word-{number + 1}")
            state.readdress(parse_redis_url(url(server, f"word-{number + 1}")))
            asked(server, f"word-{number + 1}", "acl", "setuser", "default", f"<word-{number}")
            await until(lambda: not former & ours(server, f"word-{number + 1}"))  # noqa: B023
        stop.set()
        await asyncio.gather(*running)
        assert (await state.counters("ab", "rotated"))["n"] == sum(done)


async def test_a_refused_password_is_only_an_outage(servers: RedisServers) -> None:
    """With a password that the server does not know the state is unavailable, and with the right one it is back."""
    server = servers.single()
    server.ask("config", "set", "requirepass", "right")
    async with opened(url(server, "right")) as state:
        await state.put("cb", "one", b"1")
        state.readdress(parse_redis_url(url(server, "wrong")))
        with pytest.raises(StateUnavailable):
            await state.get("cb", "one")
        state.readdress(parse_redis_url(url(server, "right")))
        found = await state.get("cb", "one")
        assert found is not None
        assert found.value == b"1"


async def test_whoever_listens_hears_the_new_server(servers: RedisServers) -> None:
    """A subscription follows to another address by itself; nothing is heard of the former one any more."""
    first, second = servers.single(), servers.single()
    heard = asyncio.Event()
    async with opened(first.url) as state, opened(second.url) as other:
        state.watch("cb", heard.set)
        await asyncio.wait_for(heard.wait(), AMPLE_S)
        state.readdress(parse_redis_url(second.url))
        await until(lambda: second.ask("pubsub", "channels") != "")
        heard.clear()
        await other.put("cb", "one", b"1")
        await asyncio.wait_for(heard.wait(), AMPLE_S)
        await until(lambda: first.ask("pubsub", "channels") == "")
        found = await state.get("cb", "one")
        assert found is not None
