"""What this process knows to be secret, so that it can be taken out of whatever is about to be written down.

Owns where secrets stand (variables and files of secrets, credentials in URLs, keys of the configuration whose names say
so) and the forms in which one turns up again: in JSON, in URLs, in a header of basic authentication. What has the shape
of a credential is found without knowing it, by `adapters.logs.redact`.
"""

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

from routeiq.config.environment import secrets_set
from routeiq.config.load import Settings

HIDDEN: Final = "[redacted]"

SHORTEST: Final = 6
"""Characters of a secret below which it is not looked for: it would be found in innocent words."""

SHORTEST_LINE: Final = 16
MOST: Final = 1_000
"""Secrets that are remembered; the former ones too, since calls that run still use them."""

_TELLING: Final = re.compile(
    r"(?i)(^|[_-])(api[_-]?key|apikey|key|secret|token|password|passwd|pwd|passphrase|credentials?|authorization|cookie|"
    r"connection_string|private_key|license)s?$"
)
"""Names of keys whose value is a secret."""

_URL_USER: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#\s]*)@")
_URL_QUERY: Final = re.compile(r"[?&]([A-Za-z0-9_.-]+)=([^&#\s]+)")

PLACEHOLDERS: Final = frozenset(
    {"anything", "api-key", "api_key", "dummy-key", "dummy_key", "fake-key", "fake_key", "no-key", "no-key-required"}
    | {"not-needed", "not_needed", "notneeded", "not-used", "nothing", "optional", "password", "required", "secret"}
    | {"string", "unused", "your-api-key", "ollama", "lm-studio", "localhost"}
)
"""What people write where a key is demanded and none is needed."""


class Concealed:
    """The secrets of one process. Learning may happen in any thread; `hide` sees all of what was learned before."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """Take values for secrets, and what is secret in those that are URLs."""
        found = [part for value in values for part in (*_parts(value), *_in_url(value))]
        new = [text for text in found if len(text) >= SHORTEST and text.lower() not in PLACEHOLDERS]
        if all(text in self._known for text in new):
            return
        known = OrderedDict(self._known)
        for text in new:
            known[text] = None
            known.move_to_end(text)
        while len(known) > MOST:
            known.popitem(last=False)
        forms = sorted({form for text in known for form in _forms(text)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms)))
        self._known = known

    def learn_environment(self) -> None:
        """Take the variables whose names are those of secrets."""
        self.learn(secrets_set().values())

    def learn_settings(self, settings: Settings) -> None:
        """Take what a configuration holds in keys whose names say that they are secret, and in its URLs."""
        self.learn(_told(settings.document.data))

    def hide(self, text: str) -> str:
        """Return a text without any of the secrets."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _told(value: Any, name: str = "") -> Iterator[str]:
    """Yield the secrets of a configuration; references to the environment are none."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _told(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _told(item, name)
    elif isinstance(value, str) and not value.startswith("os.environ/"):
        if _TELLING.search(name):
            yield value
        else:
            yield from _in_url(value)


def _parts(value: str) -> Iterator[str]:
    """Yield a secret as a whole and, where it has several lines, its long ones; without the scheme of a header."""
    text = value.strip()
    if _URL_USER.match(text) is None:
        yield text
    _, _, credentials = text.partition(" ")
    if text.lower().startswith(("bearer ", "basic ", "token ")):
        yield credentials.strip()
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= SHORTEST_LINE)


def _in_url(value: str) -> Iterator[str]:
    """Yield password, or lone user, and telling parameters of the URLs in a text."""
    for match in _URL_USER.finditer(value):
        user, _, password = match[1].rpartition(":")
        yield from {password, unquote(password)}
        if user and not password:
            yield user
    if "://" in value:
        for name, text in _URL_QUERY.findall(value):
            if _TELLING.search(name) or name.lower() in ("sig", "signature", "code"):
                yield from {text, unquote(text)}


def _forms(text: str) -> set[str]:
    """Return the ways in which a secret turns up in messages."""
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    coded = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    try:
        in_urls = {quote(text, safe=""), quote(text), quote_plus(text)}
    except UnicodeEncodeError:
        in_urls = set()
    return {text, coded, *escaped, *in_urls}
