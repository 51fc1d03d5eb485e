"""What must not stand in a log line: credentials in messages, and anything that an exception says.

Owns the patterns. They err on the side of taking out too much.
"""

import re
from types import TracebackType
from typing import Final

REDACTED: Final = "[redacted]"
LONGEST: Final = 2_000
"""Longest message in characters; the rest is cut off."""

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")

_NAMES: Final = (
    r"api[_-]?key|(?:access|private|master|signing|encryption|salt|secret)[_-]?(?:access[_-]?)?key(?:[_-]?id)?|secret|"
    r"(?:access|auth|refresh|id|session|bearer|api)[_-]?token|(?<![a-z_])token|passw(?:or)?d|pwd|passphrase|"
    r"(?:proxy-)?authorization|credentials?|cookie|x-goog-api-key"
)
_ASSIGNED: Final = r"\\?[\"']?\s*(?:=>|[:=])\s*"
_VALUE: Final = r"(?:\\?\"[^\"]*\"|'[^']*'|(?:(?:bearer|basic|token)\s+)?(?:\[redacted\]|[^\s,;&|)}\]]+))"

_RULES: Final = (
    # Tokens that can be told by their shape.
    (re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_\-]{4,}"), REDACTED),
    (
        re.compile(
            r"(?:AIza[\w\-]{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|hf_\w{16,}|gsk_\w{16,}|xai-\w{16,}|pplx-\w{16,}"
            r"|xox[abeoprs]-[\w\-]{8,}|(?:AKIA|ASIA)[0-9A-Z]{12,}|eyJ[\w\-]{6,}\.[\w\-]+(?:\.[\w\-]*)?)"
        ),
        REDACTED,
    ),
    (re.compile(r"(?i)(bearer)\s+[^\s\"',;]{6,}"), rf"\1 {REDACTED}"),
    # Whatever stands behind a telling name, in `name=value`, `name: value` and JSON.
    (re.compile(rf"(?i)((?:{_NAMES}){_ASSIGNED}){_VALUE}"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)([?&](?:key|sig|signature|code)=)[^&\s\"']+"), rf"\1{REDACTED}"),
    (re.compile(r"(://)[^/\s@:]*:[^/\s@]+@"), rf"\1{REDACTED}@"),
)

_TELLING: Final = (
    *("=", ":", "\x1b", "bearer", "sk-", "aiza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_"),
    *("gsk_", "xai-", "pplx-", "xox", "akia", "asia", "eyj"),
)
"""One of these is, in lower case, in every text that a rule changes; most names and ids hold none."""


def suspicious(text: str) -> bool:
    """Return whether a rule might change a text; takes a microsecond where the rules take fifty."""
    lowered = text.lower()
    return any(sign in lowered for sign in _TELLING)


def redact(text: str) -> str:
    """Return the first line of a message without colours and credentials, at most `LONGEST` characters of it."""
    first, _, more = text.strip().partition("\n")
    line = first[:LONGEST].rstrip()
    if suspicious(line):
        line = _ANSI.sub("", line).rstrip()
        for pattern, replacement in _RULES:
            line = pattern.sub(replacement, line)
    return f"{line} [...]" if more or len(first) > LONGEST else line


def describe(error: BaseException, depth: int = 3) -> str:
    """Return type and place of an exception and of what caused it, never its text: that may hold a prompt or a key."""
    said = f"{type(error).__name__}{_place(error.__traceback__)}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said if cause is None or depth <= 1 else f"{said}, from {describe(cause, depth - 1)}"


def _place(traceback: TracebackType | None) -> str:
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    parts = code.co_filename.replace("\\", "/").split("/")
    return f" at {'/'.join(parts[-2:])}:{traceback.tb_lineno} in {code.co_name}"
