"""A replica as nginx sees it: a scripted HTTP/1.1 server on a free port that counts what it is sent.

Owns the behaviours that a real gateway shows only at bad moments: to take a request and die, to drain, to be busy.
The path says which: /whole, /die, /busy, /stream (one event, then it waits for `go`). `draining` refuses all of them.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Self

DRAINING = b"x-routeiq-drain-redirect"
_END = b"\r\n\r\n"


@dataclass
class Upstream:
    """One replica; an async context manager. `calls` has every request: path, headers, body."""

    draining: bool = False
    port: int = 0
    connections: int = 0
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """What nginx is told."""
        return f"127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(_END)).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:]) if k}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.calls.append((path, headers, body))
        if self.draining:
            to = headers.get(DRAINING.decode())
            more = {"connection": "close", "x-accel-redirect": to} if to else {"connection": "close"}
            await self._answer(writer, "503 Service Unavailable", {"error": {"code": "draining"}}, more)
            return False
        if path == "/die":
            return False
        if path == "/busy":
            await self._answer(writer, "503 Service Unavailable", {"error": {"code": "busy"}}, {"retry-after": "2"})
        elif path == "/stream":
            await self._stream(reader, writer)
        else:
            said = {"port": self.port, "bytes": len(body), "headers": headers}
            await self._answer(writer, "200 OK", said, {"x-request-id": headers.get("x-request-id", "")})
        return True

    async def _answer(self, writer: asyncio.StreamWriter, status: str, body: object, more: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(data)), **more}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + data)
        await writer.drain()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        self._event(writer, b"data: first\n\n")
        gone = asyncio.create_task(reader.read(1))
        go = asyncio.create_task(self.go.wait())
        await asyncio.wait({gone, go}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left.set()
            go.cancel()
            raise ConnectionResetError
        gone.cancel()
        self._event(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    @staticmethod
    def _event(writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
