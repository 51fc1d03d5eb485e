"""What a library prints becomes log lines, so that standard output holds nothing but JSON objects."""

import io
import logging
from typing import Final

LONGEST_LINE: Final = 10_000
PRINTED: Final = "stdout"
"""Name of the logger that printed lines go to."""


class PrintedLines(io.TextIOBase):
    """A text stream to stand in for standard output: every line written to it is logged, blank ones are not.

    To be used with `contextlib.redirect_stdout` by a process whose `LineHandler` holds the real stream.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("routeiq.stdout")
        self._rest = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that this text completes."""
        *lines, rest = (self._rest + text).split("\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], ""
        self._rest = rest
        for line in lines:
            if line.strip():
                self._logger.info("%s", line)
        return len(text)
