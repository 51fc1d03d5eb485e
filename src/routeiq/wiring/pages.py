"""Large memory pages for what a process holds when it begins to serve.

A request goes through a good part of LiteLLM's objects, hundreds of megabytes of them, and with pages of four kilobytes
the processor spends a noticeable share of the time looking up where they are. Linux can put them on pages of two
megabytes, where the memory is asked for it (madvise(2), MADV_COLLAPSE since 6.1). What the machine's owner says about
them stands: `never` in `SETTING` turns this off.

Not for workers that are forked: what they share would become one copy for each.
"""

import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

PAGE: Final = 2 << 20
"""Bytes of a large page."""

FILLED: Final = 0.75
"""How much of a region must be in memory: what is empty would be filled, at the cost of memory."""

SETTING: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")

COLLAPSE: Final = 25
"""MADV_COLLAPSE: put what is there on large pages now."""

_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ \S+\s*(\[heap\])?$")
_OTHER = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def regions(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield start and length, in bytes and whole large pages, of the private regions that are well filled.

    `smaps` is what Linux says of a process's memory in `/proc/PID/smaps`.
    """
    start = end = 0
    for line in smaps.splitlines():
        if _OTHER.match(line):
            found = _HEADER.match(line)
            start, end = (int(found[1], 16), int(found[2], 16)) if found else (0, 0)
        elif end and line.startswith("Rss:"):
            resident = int(line.split()[1]) * 1024
            first, last = -(-start // PAGE) * PAGE, end // PAGE * PAGE
            if last > first and resident >= FILLED * (end - start):
                yield first, last - first


def use_large_pages(setting: Path = SETTING, advise: Callable[[int, int], bool] | None = None) -> int:
    """Have well-filled memory put on large pages, and return how many bytes that was asked and done for.

    Does nothing where the system is not Linux, knows no large pages, or is told never to use them. `advise(start,
    length)` asks the system; it takes about two seconds for a gigabyte.
    """
    try:
        if sys.platform != "linux" or "[never]" in setting.read_text(encoding="ascii"):
            return 0
        smaps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    ask = advise or _collapse
    return sum(length for start, length in regions(smaps) if ask(start, length))


def _collapse(start: int, length: int) -> bool:
    """Ask for large pages; an older system, or one without memory to spare, declines and nothing changes."""
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return bool(madvise(start, length, COLLAPSE) == 0)
