"""The workers of one gateway asking one another, so that whoever answers a scrape can speak for all.

Owns a socket file per worker in a folder that only this user can enter, and the bound on the wait: a worker that hangs
is left out, not waited for. What an exposition means, and how several become one, is `adapters.prometheus`'s business.
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
"""How long a sibling may take to answer."""

logger = logging.getLogger(__name__)

Exposition = tuple[bytes, str]
Merge = Callable[[Mapping[str, bytes]], bytes]
"""Texts by worker id to one text."""


@dataclass(slots=True)
class Siblings:
    """Worker `index` of `count`, and its siblings. `folder` is the same for all, and short: sockets are in it."""

    folder: Path
    index: int
    count: int
    merge: Merge
    _server: asyncio.Server | None = None
    _inode: int = 0
    _own: Callable[[], Exposition] | None = field(default=None)

    async def open(self, own: Callable[[], Exposition]) -> None:
        """Answer siblings from now on. A worker that is replaced loses its place to its successor."""
        path = self._path(self.index)
        with suppress(FileNotFoundError):
            path.unlink()
        self._own = own
        self._server = await asyncio.start_unix_server(self._answer, path)
        self._inode = os.stat(path).st_ino

    async def close(self) -> None:
        """Answer no more; may be called again."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(OSError):
                if os.stat(self._path(self.index)).st_ino == self._inode:
                    self._path(self.index).unlink()

    def metrics(self, own: Callable[[], Exposition]) -> Callable[[], Awaitable[Exposition]]:
        """Return what gives the exposition of all workers that answer in time, this one's among them."""

        async def gathered() -> Exposition:
            others = [index for index in range(self.count) if index != self.index]
            texts = await asyncio.gather(*(self._ask(index) for index in others))
            found = {str(index): text for index, text in zip(others, texts, strict=True) if text is not None}
            mine, kind = own()
            found[str(self.index)] = mine
            return self.merge(dict(sorted(found.items()))), kind

        return gathered

    def _path(self, index: int) -> Path:
        return self.folder / str(index)

    async def _ask(self, index: int) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path(index))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._own is not None:
                writer.write(self._own()[0])
                await writer.drain()
        except Exception as error:  # noqa: BLE001 - a broken metric or a sibling that left; whoever asked goes on without
            logger.warning("a sibling was not answered (%s)", type(error).__name__)
        finally:
            writer.close()
