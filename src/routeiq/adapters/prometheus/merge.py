"""The expositions of several workers as one: every sample with the id of its worker.

Owns the text form 0.0.4 as far as that needs. Nothing is added up: Prometheus does that, and does it right when a
worker starts again from zero.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

LABEL: Final = "worker_id"

_NAME: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")


def merged(texts: Mapping[str, bytes]) -> bytes:
    """Return one exposition; each family once, with the samples of all workers. Ids are letters and digits."""
    heads: dict[bytes, list[bytes]] = {}
    samples: dict[bytes, list[bytes]] = {}
    for worker, text in texts.items():
        own: dict[bytes, list[bytes]] = {}
        for family, line in _lines(text):
            if line.startswith(b"#"):
                own.setdefault(family, []).append(line)
            else:
                samples.setdefault(family, []).append(_labelled(line, worker.encode()))
        for family, head in own.items():
            heads.setdefault(family, head)
    lines = [line for family, head in heads.items() for line in (*head, *samples.pop(family, ()))]
    lines += [line for rest in samples.values() for line in rest]
    return b"".join(line + b"\n" for line in lines)


def _lines(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each line with the family it belongs to: the one whose head was read last."""
    family = b""
    for line in text.split(b"\n"):
        if line.startswith((b"# HELP ", b"# TYPE ")):
            family = line.split(b" ", 3)[2]
        if line:
            yield family, line


def _labelled(line: bytes, worker: bytes) -> bytes:
    found = _NAME.match(line)
    if found is None:
        return line
    name, rest = line[: found.end()], line[found.end() :]
    label = LABEL.encode() + b'="' + worker + b'"'
    return name + (b"{" + label + b"," + rest[1:] if rest.startswith(b"{") else b"{" + label + b"}" + rest)
