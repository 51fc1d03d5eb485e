"""The files of an audit: the form of a line, what ties each to the one before, and whether that still holds.

Owns reading, and copying what was read. One chain goes through all files of a folder, which are named by the number of
their first line: `audit-000000000001.jsonl`. A line is a JSON object that ends with the SHA-256 of all of it before; it
names the one of the line before as `prev`, the first line names zeros. Whoever changes, removes or puts in a line has
to write all that follow anew, and the last hash then is another: keep that one elsewhere to notice even this.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from routeiq.core.audit import AuditEvent
from routeiq.core.errors import AuditBroken, DataError

NOTHING: Final = "0" * 64
"""What the first line of a chain has as the hash of the one before."""

PRUNED: Final = "audit.pruned"
LOST: Final = "audit.lost"
TORN: Final = "audit.torn"
BROKEN: Final = "audit.broken"
"""Kinds of what an audit says of itself: a file that was kept long enough is removed, events that did not fit into
memory while nothing could be written are lost, half a line that a crash left is cut off, the line before is not what
was written."""

ENDING: Final = re.compile(rb',"hash":"([0-9a-f]{64})"}')
ENDING_BYTES: Final = 75
FILE: Final = re.compile(r"audit-(\d{12})\.jsonl")
CHAIN_ID: Final = "chain.id"

_FIELDS: Final = tuple(field.name for field in fields(AuditEvent))


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain is: the number and the hash of a line."""

    seq: int = 0
    hash: str = NOTHING


def line_of(event: AuditEvent, after: Link) -> tuple[bytes, Link]:
    """Return the line of an event, with its line break, and the link that it is."""
    found = {"seq": after.seq + 1, **{name: getattr(event, name) for name in _FIELDS}, "prev": after.hash}
    body = json.dumps(found, separators=(",", ":")).encode()
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode(), Link(after.seq + 1, digest)


def link_of(line: bytes) -> tuple[Link, str]:
    """Return the link that a line is and the hash it names as the one before; raises ValueError if it does not hold."""
    found = ENDING.fullmatch(line[-ENDING_BYTES:])
    if found is None:
        raise ValueError("it does not end with its hash")
    digest = found[1].decode()
    if hashlib.sha256(line[:-ENDING_BYTES] + b"}").hexdigest() != digest:
        raise ValueError("it is not what it was when it was written")
    said = json.loads(line)
    seq, before = said.get("seq"), said.get("prev")
    if not isinstance(seq, int) or not isinstance(before, str):
        raise ValueError("it has no number, or names no line before")
    return Link(seq, digest), before


def files_of(folder: Path) -> list[tuple[int, Path]]:
    """Return the files of a folder with the numbers of their first lines, the oldest first."""
    found = [(FILE.fullmatch(path.name), path) for path in folder.glob("audit-*.jsonl")]
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def newest_first(folder: Path, before: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield what the lines say, those before a number only; a line that cannot be read is left to `verify`.

    Blocks; reads one file at a time, each of which is bounded by the settings.
    """
    for first, path in reversed(files_of(folder)):
        if before is not None and first >= before:
            continue
        for line in reversed(_lines(path)):
            try:
                said = json.loads(line)
                seq = int(said["seq"])
            except (ValueError, TypeError, KeyError):
                continue
            if before is None or seq < before:
                yield said


def _lines(path: Path) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().split(b"\n") if line]
    except FileNotFoundError:  # removed in the meantime, because it was kept long enough
        return []


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain that holds: how many lines it has, its first and its last, in how many files."""

    lines: int
    first: int
    last: Link
    files: int

    def form(self) -> dict[str, object]:
        """Return it as JSON has it."""
        last = {"last": self.last.seq, "hash": self.last.hash}
        return {"holds": True, "lines": self.lines, "files": self.files, "first": self.first, **last}


def verify(folder: Path, head: str | None = None, copy: Callable[[bytes], object] = len) -> Verified:
    """Return that the chain of a folder holds; raises AuditBroken naming file and line of the first that does not.

    Lines may be missing at the beginning only, and only if a line that holds says that they were kept long enough. A
    `head` is the hash of a line that was seen before and must be there still. `copy` is given every line that holds, in
    order, with its line break. Blocks.
    """
    files = files_of(folder)
    if not files:
        raise DataError(f"{folder}: no file named audit-NUMBER.jsonl is there")
    return _verified(folder, files, head, copy)


def verify_file(path: Path, head: str | None = None) -> Verified:
    """Return that the chain holds which was copied from a folder to one file; raises as `verify` does. Blocks."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; `routeiq admin audit --output {path}` writes one")
    return _verified(path, [(None, path)], head)


def export(folder: Path, output: Path) -> Verified:
    """Write the chain of a folder, as it stands, to a new file that only its owner can read; raises as `verify` does.

    Nothing is written of a chain that does not hold. Raises DataError for a file that exists or cannot be written.
    """
    if output.exists():
        raise DataError(f"{output} exists already; name another file, or move it away")
    written = output.with_name(f".{output.name}.new")
    try:
        handle = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                found = verify(folder, copy=file.write)
                file.flush()
                os.fsync(file.fileno())
            os.replace(written, output)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename or output}: {error.strerror or error}") from None
    return found


def _verified(
    place: Path, files: Sequence[tuple[int | None, Path]], head: str | None, copy: Callable[[bytes], object] = len
) -> Verified:
    """Return that the lines of files, one file after the other, are a chain that holds; of a copy no name is asked."""
    start: Link | None = None
    at, lines, pruned, seen = Link(), 0, {NOTHING}, head is None
    for first, path in files:
        for row, line in enumerate(_whole_lines(path, last=first is not None and path == files[-1][1]), 1):
            link, before = _link_at(path, row, line)
            if start is None:
                start = at = Link(link.seq - 1, before)
            if (link.seq, before) != (at.seq + 1, at.hash):
                raise AuditBroken(f"{path}:{row}: line {at.seq + 1} of the chain was expected here, found {link.seq}")
            if row == 1 and first not in (None, link.seq):
                raise AuditBroken(f"{path}:1: the file is named for line {first}, but begins with line {link.seq}")
            said = json.loads(line)
            if said.get("kind") == PRUNED:
                pruned.add(str(said.get("before")))
            at, lines, seen = link, lines + 1, seen or link.hash == head
            copy(line + b"\n")
    if start is None:
        raise DataError(f"{place}: no line is there")
    if start.hash not in pruned:
        raise AuditBroken(f"{files[0][1]}:1: the lines before number {start.seq + 1} are missing, and nothing says why")
    if not seen:
        raise AuditBroken(f"{place}: no line has hash {head}: it was removed, or all after it was written anew")
    return Verified(lines, start.seq + 1, at, len(files))


def _whole_lines(path: Path, *, last: bool) -> list[bytes]:
    """Return the lines of a file; half a line at the end of the last file is being written, or a crash left it."""
    *lines, rest = path.read_bytes().split(b"\n")
    if rest and not last:
        raise AuditBroken(f"{path}:{len(lines) + 1}: half a line, where only whole ones may be")
    return lines


def _link_at(path: Path, row: int, line: bytes) -> tuple[Link, str]:
    try:
        return link_of(line)
    except ValueError as error:
        raise AuditBroken(f"{path}:{row}: the line does not hold: {error}") from None
