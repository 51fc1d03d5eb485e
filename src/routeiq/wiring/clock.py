"""The machine's time."""

import time


class SystemClock:
    """The machine's time; implements `core.ports.Clock`."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
