"""Named objects below an address, over HTTP, told apart by their ETag or, where there is none, their date and length.

Owns bounds on time and size. Redirects are not followed: an object must come from where the operator said.
"""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from routeiq.core.errors import SourceUnavailable
from routeiq.core.objects import Listed

TIMEOUT_S = 10.0
LARGEST = 2 << 30
"""Largest object in bytes."""

_CHUNK = 1 << 20
_OK, _NOT_FOUND = 200, 404


class WebFolder:
    """Implements `core.objects.ObjectFolder` for objects whose names are known."""

    def __init__(self, address: str, names: tuple[str, ...]) -> None:
        self._parts = urlsplit(address)
        self._names = names

    @property
    def location(self) -> str:
        """The address without credentials and query."""
        host = self._parts.netloc.rpartition("@")[2]
        return f"{self._parts.scheme}://{host}{self._parts.path}".rstrip("/")

    def listing(self) -> Mapping[str, Listed]:
        """Ask for the head of every object; one that does not exist is left out."""
        found = {}
        for name in self._names:
            connection = self._connection()
            try:
                answer = self._ask(connection, "HEAD", name)
                if answer.status != _NOT_FOUND:
                    found[name] = _listed(answer)
            finally:
                connection.close()
        return found

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Read one object."""
        connection = self._connection()
        try:
            answer = self._ask(connection, "GET", name)
            now, size = _listed(answer), 0
            with to.open("wb") as file:
                while chunk := answer.read(_CHUNK):
                    size += file.write(chunk)
                    if size > LARGEST:
                        raise SourceUnavailable(f"{self.location}/{name}: larger than {LARGEST >> 30} GiB")
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(f"{self.location}/{name}: came short ({type(error).__name__})") from None
        finally:
            connection.close()
        if answer.status != _OK or (now.size is not None and size != now.size):
            raise SourceUnavailable(f"{self.location}/{name}: came short, {size} of {now.size} bytes")
        if now.tag != listed.tag:
            raise SourceUnavailable(f"{self.location}/{name}: changed while it was read; it is read again")
        return Listed(now.tag, size)

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_S)

    def _ask(self, connection: HTTPConnection, method: str, name: str) -> HTTPResponse:
        query = f"?{self._parts.query}" if self._parts.query else ""
        path = f"{self._parts.path.rstrip('/')}/{quote(name)}{query}"
        try:
            connection.request(method, path)
            answer = connection.getresponse()
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(f"{self.location}/{name}: cannot be read ({type(error).__name__})") from None
        if answer.status not in (_OK, _NOT_FOUND) or (method == "GET" and answer.status != _OK):
            raise SourceUnavailable(f"{self.location}/{name}: answered {answer.status}, expected 200")
        return answer


def _listed(answer: HTTPResponse) -> Listed:
    length = answer.headers.get("content-length")
    size = int(length) if length is not None and length.isdigit() else None
    tag = answer.headers.get("etag") or f"{answer.headers.get('last-modified')}:{length}"
    return Listed(tag, size)
