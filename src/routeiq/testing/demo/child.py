"""`python -m routeiq.testing.demo.child PID ARGUMENTS...`: the command line in a process that ends with its parent.

Owns that end, also when the parent was killed and could not ask for it, be it before this process had begun: so the
parent says who it is. The command is the one that operators run.
"""

import os
import runpy
import signal
import sys
import threading
import time

POLL_S = 0.5


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the command that the arguments say, behind the parent's process id."""
    parent = int(sys.argv.pop(1))
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()
    sys.argv[0] = "routeiq"
    runpy.run_module("routeiq", run_name="__main__")


if __name__ == "__main__":
    main()
