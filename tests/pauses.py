"""How long the machine stood still: what a test that measures a time has to allow for."""

import threading
import time
from typing import Self

STEP_S = 0.01


class Pauses:
    """A context manager; `worst_s` is by how many seconds a thread that wants to run every 10 ms was at worst late."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            begun = time.monotonic()
            time.sleep(STEP_S)
            self.worst_s = max(self.worst_s, time.monotonic() - begun - STEP_S)
