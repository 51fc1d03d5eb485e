"""The line between the gateways and their object store: breaks off downloads, and has the store's clock be wrong.

Owns its sockets and threads. It knows of HTTP only how a time is written in it.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

_CHUNK = 65_536
_TIME = re.compile(rb"(?<=\n)((?:Date|Last-Modified): )([^\r\n]{29})(?=\r\n)")
_LISTED = re.compile(rb"(?<=<LastModified>)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


@dataclass
class Line:
    """A line to a port. With `cut_after` every connection breaks after that many bytes of answers.

    `skew_s` is by how many seconds the clock of the store seems to be ahead.
    """

    to: int
    port: int = 0
    cut_after: int | None = None
    skew_s: float = 0.0
    cuts: int = 0

    @property
    def url(self) -> str:
        """Where the store seems to be."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Pass one connection on until either side ends it."""
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.to), 10) as store:
            store.settimeout(None)
            asks = threading.Thread(target=self._asks, args=(client, store), daemon=True)
            asks.start()
            self._answers(store, client)

    def _asks(self, client: socket.socket, store: socket.socket) -> None:
        with suppress(OSError):
            while asked := client.recv(_CHUNK):
                store.sendall(asked)
            store.shutdown(socket.SHUT_WR)

    def _answers(self, store: socket.socket, client: socket.socket) -> None:
        passed = 0
        while answered := store.recv(_CHUNK):
            if self.skew_s:
                answered = self._skewed(answered)
            if self.cut_after is not None and passed + len(answered) > self.cut_after:
                client.sendall(answered[: self.cut_after - passed])
                self.cuts += 1
                break
            client.sendall(answered)
            passed += len(answered)
        client.shutdown(socket.SHUT_RDWR)

    def _skewed(self, answered: bytes) -> bytes:
        ahead = timedelta(seconds=self.skew_s)

        def head(found: re.Match[bytes]) -> bytes:
            return found[1] + format_datetime(parsedate_to_datetime(found[2].decode()) + ahead, usegmt=True).encode()

        def listed(found: re.Match[bytes]) -> bytes:
            return (datetime.fromisoformat(found[1].decode()) + ahead).strftime("%Y-%m-%dT%H:%M:%S").encode()

        return _LISTED.sub(listed, _TIME.sub(head, answered))


@contextmanager
def line(to: int) -> Iterator[Line]:
    """A line to a port of this machine."""
    found = Line(to)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=found.serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def skew(seconds: float) -> str:
    """A module by which Python's clock is ahead in every process that finds it as `sitecustomize`."""
    return (
        f'"""The clock of this process is wrong."""\nimport time\n'
        f"_now, _now_ns = time.time, time.time_ns\n"
        f"time.time = lambda: _now() + {seconds}\n"
        f"time.time_ns = lambda: _now_ns() + int({seconds} * 1e9)\n"
    )
