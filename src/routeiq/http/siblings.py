"""The workers of one gateway asking one another, so that whoever is asked can speak for all.

Owns a socket file per worker in a folder that only this user can enter, and the bound on the wait: a worker that hangs
is left out, not waited for. A question is one line, a topic and what belongs to it; the answer is everything up to the
end. What topics mean is the business of those who answer; how several expositions become one, `adapters.prometheus`'s.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ANSWER_S: Final = 1.0
"""How long a sibling may take to answer, unless whoever asks has more patience."""

METRICS: Final = "metrics"
LONGEST: Final = 1 << 16
"""Most bytes of a question."""

logger = logging.getLogger(__name__)

Exposition = tuple[bytes, str]
Merge = Callable[[Mapping[str, bytes]], bytes]
"""Texts by worker id to one text."""

Reply = Callable[[bytes], Awaitable[bytes]]
"""What belongs to a question to the answer."""


@dataclass(slots=True)
class Siblings:
    """Worker `index` of `count`, and its siblings. `folder` is the same for all, and short: sockets are in it."""

    folder: Path
    index: int
    count: int
    merge: Merge
    _server: asyncio.Server | None = None
    _inode: int = 0
    _replies: dict[str, Reply] = field(default_factory=dict)

    def reply(self, topic: str, call: Reply) -> None:
        """Have questions about a topic, which is one word, answered by `call`."""
        self._replies[topic] = call

    async def open(self, own: Callable[[], Exposition]) -> None:
        """Answer siblings from now on. A worker that is replaced loses its place to its successor."""

        async def exposition(_: bytes) -> bytes:
            return own()[0]

        self.reply(METRICS, exposition)
        path = self._path(self.index)
        with suppress(FileNotFoundError):
            path.unlink()
        self._server = await asyncio.start_unix_server(self._answer, path, limit=LONGEST)
        self._inode = os.stat(path).st_ino

    async def close(self) -> None:
        """Answer no more; may be called again."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(OSError):
                if os.stat(self._path(self.index)).st_ino == self._inode:
                    self._path(self.index).unlink()

    async def ask(self, topic: str, about: bytes = b"", limit_s: float = ANSWER_S) -> dict[int, bytes]:
        """Return what the others answer in time, by their place; `about` has no line end in it."""
        others = [index for index in range(self.count) if index != self.index]
        texts = await asyncio.gather(*(self._ask(index, topic, about, limit_s) for index in others))
        return {index: text for index, text in zip(others, texts, strict=True) if text is not None}

    def metrics(self, own: Callable[[], Exposition]) -> Callable[[], Awaitable[Exposition]]:
        """Return what gives the exposition of all workers that answer in time, this one's among them."""

        async def gathered() -> Exposition:
            found = {str(index): text for index, text in (await self.ask(METRICS)).items()}
            mine, kind = own()
            found[str(self.index)] = mine
            return self.merge(dict(sorted(found.items()))), kind

        return gathered

    def _path(self, index: int) -> Path:
        return self.folder / str(index)

    async def _ask(self, index: int, topic: str, about: bytes, limit_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(limit_s):
                reader, writer = await asyncio.open_unix_connection(self._path(index))
                try:
                    writer.write(topic.encode() + b" " + about + b"\n")
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None
        return answer or None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                topic, _, about = (await reader.readline()).rstrip(b"\n").partition(b" ")
            reply = self._replies.get(topic.decode("ascii", "replace"))
            if reply is not None:
                writer.write(await reply(about))
                await writer.drain()
        except Exception as error:  # noqa: BLE001 - a broken metric or a sibling that left; whoever asked goes on without
            logger.warning("a sibling was not answered (%s)", type(error).__name__)
        finally:
            writer.close()
