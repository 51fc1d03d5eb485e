"""How often threads take turns while a configuration is read and compiled in one of them.

Owns Python's switch interval, which is one for the whole process: shorter while something is compiled, then as it was.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

TURN_S = 0.0005
"""How long a thread that compiles keeps the interpreter when requests want it; Python's own is ten times."""


class Turns:
    """The turns of one process; to be used from its event loop. What overlaps counts as one."""

    def __init__(self) -> None:
        self._shortened = 0
        self._usual = 0.0

    @contextmanager
    def short(self) -> Iterator[None]:
        """Have threads take turns more often: requests wait for the interpreter at every step while others compute."""
        if self._shortened == 0:
            self._usual = sys.getswitchinterval()
            sys.setswitchinterval(TURN_S)
        self._shortened += 1
        try:
            yield
        finally:
            self._shortened -= 1
            if self._shortened == 0:
                sys.setswitchinterval(self._usual)
