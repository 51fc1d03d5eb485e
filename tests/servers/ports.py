"""Free ports of this machine, and the bounded wait until somebody listens on one."""

import socket
import time
from collections.abc import Callable


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def wait_for_port(port: int, limit_s: float, alive: Callable[[], bool], said: Callable[[], str]) -> None:
    """Return when a connection is taken; fails with what the server said when it ends or is too late."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and alive():
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nobody listens on port {port}:\n{said()[-4000:]}")
