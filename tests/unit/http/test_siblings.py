"""Workers that ask one another over real sockets."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from routeiq.http.siblings import Siblings
from tests.unit.http.scene import scene


def joined(texts: Mapping[str, bytes]) -> bytes:
    """Texts with their workers, one per line."""
    return b"\n".join(worker.encode() + b"=" + text for worker, text in texts.items())


@pytest.fixture
async def three() -> AsyncIterator[list[Siblings]]:
    """Three workers, in a folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="riq-") as folder:
        workers = [Siblings(Path(folder), index, 3, joined) for index in range(3)]
        for worker in workers:
            await worker.open(lambda own=worker.index: (b"text%d" % own, "text/plain"))  # type: ignore[misc]
        yield workers
        for worker in workers:
            await worker.close()


async def test_whoever_is_asked_speaks_for_all(three: list[Siblings]) -> None:
    """The answer has every worker, in order, and the edge gives it out."""
    at = scene(metrics=three[1].metrics(lambda: (b"mine", "text/plain")))
    answer = await at.ask("GET", "/metrics", key=None)
    assert answer.text == "0=text0\n1=mine\n2=text2"


async def test_a_worker_that_is_gone_or_hangs_is_left_out(three: list[Siblings]) -> None:
    """The others are told all the same."""
    await three[0].close()
    await three[2].close()
    gate = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.close()

    server = await asyncio.start_unix_server(hang, three[2].folder / "2")
    try:
        text, _ = await three[1].metrics(lambda: (b"mine", "text/plain"))()
    finally:
        gate.set()
        server.close()
    assert text == b"1=mine"


async def test_a_successor_keeps_the_place(three: list[Siblings]) -> None:
    """When the worker that was replaced closes, its successor still answers."""
    successor = Siblings(three[0].folder, 0, 3, joined)
    await successor.open(lambda: (b"new", "text/plain"))
    await three[0].close()
    text, _ = await three[1].metrics(lambda: (b"mine", "text/plain"))()
    await successor.close()
    assert text.startswith(b"0=new\n")
