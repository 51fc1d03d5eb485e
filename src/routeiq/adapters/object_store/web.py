"""Named objects below an address, over HTTP, told apart by their ETag or, where there is none, their date and length.

Owns bounds on time and size. Redirects are not followed: an object must come from where the operator said.
"""

from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from routeiq.core.errors import SourceUnavailable
from routeiq.core.objects import Listed, beginning

TIMEOUT_S = 10.0
LARGEST = 2 << 30
"""Largest object in bytes."""

_CHUNK = 1 << 16
_OK, _PARTIAL, _NOT_FOUND = 200, 206, 404
_PLAIN: Mapping[str, str] = {}


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
        found = {name: self.head(name) for name in self._names}
        return {name: listed for name, listed in found.items() if listed is not None}

    def head(self, name: str) -> Listed | None:
        """Ask for the head of one object."""
        connection = self._connection()
        try:
            answer = self._ask(connection, "HEAD", name)
            return None if answer.status == _NOT_FOUND else _listed(answer)
        finally:
            connection.close()

    def fetch(self, name: str, listed: Listed, to: Path) -> Listed:
        """Read one object, from where the file ends if its ETag allows that."""
        have = beginning(to, listed) if listed.tag.startswith('"') else 0
        if have and have == listed.size:
            return listed
        wanted = {"Range": f"bytes={have}-", "If-Range": listed.tag} if have else {}
        connection = self._connection()
        try:
            answer = self._ask(connection, "GET", name, wanted)
            have = have if answer.status == _PARTIAL else 0
            now, size = _listed(answer), have
            if now.tag == listed.tag:
                size = self._read(answer, name, to, have)
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(f"{self.location}/{name}: came short ({type(error).__name__})") from None
        finally:
            connection.close()
        if now.tag != listed.tag:
            raise SourceUnavailable(f"{self.location}/{name}: changed while it was read; it is read again")
        if now.size is not None and size != have + now.size:
            raise SourceUnavailable(f"{self.location}/{name}: came short, {size} of {have + now.size} bytes")
        return Listed(now.tag, size)

    def _read(self, answer: HTTPResponse, name: str, to: Path, have: int) -> int:
        """Add what is answered to a file that has some bytes; return how many it has then."""
        size = have
        with to.open("ab" if have else "wb") as file:
            while chunk := answer.read(_CHUNK):
                size += file.write(chunk)
                if size > LARGEST:
                    raise SourceUnavailable(f"{self.location}/{name}: larger than {LARGEST >> 30} GiB")
        return size

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_S)

    def _credentials(self) -> Mapping[str, str]:
        """Return the header for the user and password of the address."""
        if self._parts.username is None:
            return {}
        said = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
        return {"Authorization": "Basic " + b64encode(said.encode()).decode()}

    def _ask(
        self, connection: HTTPConnection, method: str, name: str, headers: Mapping[str, str] = _PLAIN
    ) -> HTTPResponse:
        query = f"?{self._parts.query}" if self._parts.query else ""
        path = f"{self._parts.path.rstrip('/')}/{quote(name)}{query}"
        try:
            connection.request(method, path, headers={**headers, **self._credentials()})
            answer = connection.getresponse()
        except (OSError, HTTPException) as error:
            raise SourceUnavailable(f"{self.location}/{name}: cannot be read ({type(error).__name__})") from None
        if answer.status not in ((_OK, _PARTIAL) if method == "GET" else (_OK, _NOT_FOUND)):
            raise SourceUnavailable(f"{self.location}/{name}: answered {answer.status}, expected 200")
        return answer


def _listed(answer: HTTPResponse) -> Listed:
    length = answer.headers.get("content-length")
    size = int(length) if length is not None and length.isdigit() else None
    tag = answer.headers.get("etag") or f"{answer.headers.get('last-modified')}:{length}"
    return Listed(tag, size)
