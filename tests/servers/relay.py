"""A relay in front of a server of these tests: cuts answers off, holds them back, counts what is under way.

Owns its sockets and threads; what is said is passed on as it is. It understands of HTTP only the first line of a
request, by which a test says which answers are meant.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 16_384
_FIRST = re.compile(rb"^(GET|HEAD|PUT|POST) (\S+) HTTP", re.MULTILINE)
_RANGE = re.compile(rb"^range: *bytes=(\d+)-", re.MULTILINE | re.IGNORECASE)


@dataclass
class Relay:
    """What passes to a port. `cut` has the bytes after which the next answers to GETs of `meant` are cut off."""

    to: int
    meant: str = ".npz"
    cut: list[int] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    hold_after: int | None = None
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and first byte wanted of every request."""
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reads(self) -> list[int]:
        """The first byte that was wanted by each GET of what is meant."""
        return [first for method, path, first in self.asked if method == "GET" and self.meant in path]

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.to)) as server:
            while request := client.recv(65_536):
                server.sendall(request)
                if (line := _FIRST.search(request)) is None:
                    continue
                first = _RANGE.search(request)
                method, path = line[1].decode(), line[2].decode()
                self.asked.append((method, path, int(first[1]) if first else 0))
                if not self._answer(client, server, meant=method == "GET" and self.meant in path):
                    return

    def _answer(self, client: socket.socket, server: socket.socket, *, meant: bool) -> bool:
        """Pass an answer on; False when it was cut off."""
        limit = self.cut.pop(0) if meant and self.cut else None
        with self._turn:
            self.at_once += meant
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self._passed(client, server, limit, meant)
        finally:
            with self._turn:
                self.at_once -= meant

    def _passed(self, client: socket.socket, server: socket.socket, limit: int | None, meant: bool) -> bool:
        passed, server_timeout = 0, 0.3
        server.settimeout(30.0)
        while True:
            try:
                chunk = server.recv(_CHUNK)
            except TimeoutError:
                return True  # the answer has ended, the connection stays
            server.settimeout(server_timeout)
            if not chunk:
                return False
            if limit is not None and passed + len(chunk) >= limit:
                client.sendall(chunk[: limit - passed])
                return False
            client.sendall(chunk)
            passed += len(chunk)
            if meant and self.hold_after is not None and passed > self.hold_after:
                self.holding.set()
                self.hold.wait(120)


@contextmanager
def relay(to: int, meant: str = ".npz") -> Iterator[Relay]:
    """Run a relay to a port of this machine."""
    found = Relay(to, meant)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found.port = listener.getsockname()[1]
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                with suppress(OSError):
                    client, _ = listener.accept()
                    threading.Thread(target=found._serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            found.hold.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
